package status

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/outrider-mesh/outrider/annotation"
	"github.com/outrider-mesh/outrider/explain"
	"github.com/outrider-mesh/outrider/inject"
	"github.com/outrider-mesh/outrider/internal/revision"
)

// Input is what the comparison depends on besides the pods.
type Input struct {
	// Scope is the namespace of the pods; empty for all.
	Scope    string
	Revision revision.Revision
	Active   Active
	Settings Settings
	// Edited are other settings that pods are compared with, too, for a Preview.
	Edited     *Settings
	Registered explain.Registered
	Namespaces map[string]Namespace
	// Earlier are the configurations that were active, newest first; the first is the
	// active one.
	Earlier []Earlier
	Leases  []coordinationv1.Lease
	// Events are those on pods whose sidecar rejects something.
	Events []corev1.Event
	// Services are the addresses of Services, of which a Preview finds those that bypass the
	// sidecars.
	Services []Service
	// Warnings are what could not be read.
	Warnings []string
}

// Earlier is a configuration that was active from a time on.
type Earlier struct {
	Time time.Time
	// Hash names it, and Known reports whether a hash in a pod's record is its own.
	Hash  string
	Known func(hash string) bool
	// Compile is called when a pod is to be compared with it; nil where this program does
	// not accept it.
	Compile func() *inject.Injector
}

// Collector compares pods, one after the other.
type Collector struct {
	in       Input
	now      time.Time
	groups   map[string]*group
	order    []*group
	summary  Summary
	owners   map[Object]bool
	sidecars []Sidecar
	running  map[string]string // uid of pods with a sidecar, by namespace and name
	earlier  map[int]*inject.Injector
	since    map[string]time.Time
	bypassed map[string]*changes // by the records before and after
	records  records
	found    map[string][]Difference // by the records before and after

	// Injections is how often a pod was injected, to show the cost.
	Injections int
}

// group are pods that are compared once.
type group struct {
	Object
	pods     []string
	oldest   time.Time
	with     inject.Injected
	injected bool
	now      verdict
	edited   verdict
	changes  changes
	causes   map[Cause][]int  // indices of pods without a sidecar
	then     map[int]*settled // by index of Earlier
}

// verdict is what the settings make of the pods of a group.
type verdict struct {
	stale       bool
	missing     bool
	decision    explain.Decision
	selection   explain.Webhook
	differences []Difference
	since       time.Time
}

// NewCollector prepares a comparison at a time.
func NewCollector(in Input, now time.Time) *Collector {
	return &Collector{
		in: in, now: now, groups: map[string]*group{}, owners: map[Object]bool{}, running: map[string]string{},
		earlier: map[int]*inject.Injector{}, since: map[string]time.Time{}, bypassed: map[string]*changes{},
		records: records{}, found: map[string][]Difference{},
	}
}

// Add compares a pod. One that has ended, or is being deleted, is not counted.
func (c *Collector) Add(p *corev1.Pod) error {
	if ended(p) {
		return nil
	}
	k := key(p)
	g := c.groups[k]
	if g == nil {
		var err error
		if g, err = c.compare(p); err != nil {
			return err
		}
		c.groups[k] = g
		c.order = append(c.order, g)
	}
	c.add(g, p)
	return nil
}

func ended(p *corev1.Pod) bool {
	return p.DeletionTimestamp != nil || p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

// add counts a pod of a group.
func (c *Collector) add(g *group, p *corev1.Pod) {
	created := p.CreationTimestamp.UTC()
	g.pods = append(g.pods, p.Name)
	if g.oldest.IsZero() || created.Before(g.oldest) {
		g.oldest = created
	}
	c.summary.Pods++
	c.owners[g.Object] = true
	if g.injected {
		c.summary.Injected++
		c.running[p.Namespace+"/"+p.Name] = string(p.UID)
		if s, ok := notReady(p, c.now); ok {
			c.sidecars = append(c.sidecars, s)
		}
	}
	if g.now.stale {
		c.summary.Stale++
	}
	if g.now.missing {
		c.summary.Missing++
		why := cause(p, g.now.selection, c.namespace(p.Namespace), c.in.Registered, c.then(g, p))
		if g.causes == nil {
			g.causes = map[Cause][]int{}
		}
		g.causes[why] = append(g.causes[why], len(g.pods)-1)
	}
}

func (c *Collector) namespace(name string) Namespace {
	if n, ok := c.in.Namespaces[name]; ok {
		return n
	}
	return Namespace{Namespace: explain.Namespace{Name: name}}
}

// compare compares the first pod of a group.
func (c *Collector) compare(p *corev1.Pod) (*group, error) {
	g := &group{Object: objectOf(p), then: map[int]*settled{}}
	g.with, g.injected = c.records.read(p.Annotations[annotation.SidecarStatus])
	n := c.namespace(p.Namespace).Namespace
	subject, err := explain.SubjectOf(p)
	if err != nil {
		return nil, err
	}
	selection := subject.Selection(n, c.in.Registered)
	if !own(g.with, c.in.Revision) && selection.Result != explain.Selected {
		g.injected = false // by another revision, or by Istio
		return g, nil
	}
	was := c.records.running(p)
	now := c.under(c.in.Settings, subject, n, p)
	g.now = c.judge(g, selection, was, now, placesOf(subject, c.in.Settings))
	if g.now.stale {
		g.now.since = c.sinceWhen(p, subject, n, was, now)
	}
	if c.in.Edited != nil {
		edited := c.under(*c.in.Edited, subject, n, p)
		g.edited = c.judge(g, selection, was, edited, placesOf(subject, *c.in.Edited))
		g.changes = c.changed(now, edited, placesOf(subject, *c.in.Edited))
	}
	return g, nil
}

func placesOf(subject explain.Subject, s Settings) places {
	return func(e inject.Setting) explain.Rule { return subject.Place(s.Texts, e) }
}

func (c *Collector) under(s Settings, subject explain.Subject, n explain.Namespace, p *corev1.Pod) outcome {
	c.Injections++
	return c.records.under(s, subject, n, p)
}

// differences compares two outcomes. The records of both decide what differs, but for the
// parts of templates that read the pod: those of most pods are the same two.
func (c *Collector) differences(was, is outcome, at places) []Difference {
	if !was.injected() || !is.injected() || was.with.OverlayHash == is.with.OverlayHash || is.readsPod || len(annotationDifferences(was, is)) > 0 {
		return differences(was, is, at)
	}
	id := was.record + "\n" + is.record
	if found, ok := c.found[id]; ok {
		return found
	}
	found := differences(was, is, at)
	c.found[id] = found
	return found
}

// judge compares a pod as it runs with what some settings make of it.
func (c *Collector) judge(g *group, selection explain.Webhook, was, is outcome, at places) verdict {
	v := verdict{decision: is.decision, selection: selection}
	if !g.injected {
		v.missing = is.decision.Result != Skipped
		return v
	}
	v.differences = c.differences(was, is, at)
	v.stale = len(v.differences) > 0
	return v
}

// Report is the status of the pods that were added.
func (c *Collector) Report() Report {
	out := Report{
		APIVersion: APIVersion, Kind: "Status", Namespace: c.in.Scope, Active: c.in.Active, Summary: c.summary,
		Workloads: []Workload{}, Missing: []Missing{}, Warnings: append([]string{}, c.in.Warnings...),
	}
	out.Summary.Workloads = len(c.owners)
	var reported []Sidecar
	out.Replicas, reported = replicas(c.in.Leases, c.in.Revision, c.now)
	for _, g := range c.order {
		if g.now.stale {
			out.Workloads = append(out.Workloads, g.workload(g.now))
		}
		out.Missing = append(out.Missing, g.without()...)
	}
	out.Workloads = merged(out.Workloads)
	slices.SortStableFunc(out.Missing, func(a, b Missing) int { return compareObjects(a.Object, b.Object) })
	out.Sidecars = c.problems(reported)
	return out
}

// workload is the group as a workload whose pods differ.
func (g *group) workload(v verdict) Workload {
	out := Workload{
		Object: g.Object, Pods: slices.Sorted(slices.Values(g.pods)), Oldest: g.oldest, ConfigHash: g.with.ConfigHash,
		Since: v.since, Result: v.decision.Result, Differences: v.differences,
	}
	if out.Since.Before(g.oldest) {
		out.Since = time.Time{} // it is not about these pods
	}
	out.Command, out.Note = g.restart(out.Pods)
	switch v.decision.Result {
	case Denied:
		out.Problems = v.decision.Problems
		out.Command, out.Note = "", "a new pod would be denied: change it before it is restarted"
	case Skipped:
		out.Rule = &v.decision.Rule
	}
	if v.selection.Result == explain.NotSelected && v.decision.Result != Denied {
		out.Command = ""
		out.Note = "the webhook is not called for this pod (" + v.selection.Rule.Text + "); inject its manifest again with outrider kube-inject, or " + v.selection.Rule.Fix
	}
	return out
}

// without are the pods of the group that should have a sidecar, by cause.
func (g *group) without() (out []Missing) {
	for _, why := range slices.SortedFunc(maps.Keys(g.causes), func(a, b Cause) int { return cmp.Compare(g.causes[a][0], g.causes[b][0]) }) {
		m := Missing{Object: g.Object, Oldest: g.oldest, Cause: why}
		for _, i := range g.causes[why] {
			m.Pods = append(m.Pods, g.pods[i])
		}
		slices.Sort(m.Pods)
		m.Command, m.Note = g.restart(m.Pods)
		if g.now.decision.Result == Denied {
			m.Problems = g.now.decision.Problems
			m.Command, m.Note = "", "a new pod would be denied: change it before it is restarted"
		}
		out = append(out, m)
	}
	return out
}

// merged joins groups of one workload that differ alike, in the order of their names.
func merged(all []Workload) []Workload {
	out := []Workload{}
	at := map[string]int{}
	for _, w := range all {
		id := fmt.Sprint(w.Object, w.ConfigHash, w.Result, w.Differences, w.Problems)
		i, ok := at[id]
		if !ok {
			at[id] = len(out)
			out = append(out, w)
			continue
		}
		o := &out[i]
		o.Pods = slices.Sorted(slices.Values(append(o.Pods, w.Pods...)))
		if w.Oldest.Before(o.Oldest) {
			o.Oldest = w.Oldest
		}
		if o.Command != "" {
			o.Command, o.Note = o.restart(o.Pods)
		}
	}
	slices.SortStableFunc(out, func(a, b Workload) int { return compareObjects(a.Object, b.Object) })
	return out
}

func compareObjects(a, b Object) int {
	return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Kind, b.Kind), strings.Compare(a.Name, b.Name), cmp.Compare(a.Line, b.Line))
}

// problems are those of sidecars: of the pods themselves, of events, and what the control
// plane reports, of pods that were added.
func (c *Collector) problems(reported []Sidecar) []Sidecar {
	out := append([]Sidecar{}, c.sidecars...)
	for _, s := range reported {
		if _, ok := c.running[s.Namespace+"/"+s.Pod]; ok {
			out = append(out, s)
		}
	}
	for _, s := range rejections(c.in.Events, func(namespace, name, uid string) bool { return c.running[namespace+"/"+name] == uid && uid != "" }) {
		if !slices.ContainsFunc(out, func(o Sidecar) bool { return o.Namespace == s.Namespace && o.Pod == s.Pod && o.ID == s.ID }) {
			out = append(out, s)
		}
	}
	slices.SortStableFunc(out, func(a, b Sidecar) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Pod, b.Pod), strings.Compare(a.ID, b.ID))
	})
	return out
}
