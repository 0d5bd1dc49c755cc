package inject

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	kjson "sigs.k8s.io/json"

	"github.com/outrider-mesh/outrider/annotation"
	"github.com/outrider-mesh/outrider/internal/jsontree"
	"github.com/outrider-mesh/outrider/internal/problem"
)

// The containers of Istio's interface whose order matters.
const (
	initContainerName       = "istio-init"
	proxyContainerName      = "istio-proxy"
	validationContainerName = "istio-validation"
	coreDumpContainerName   = "enable-core-dump"
)

// Inject decides about one pod and, if it is to be injected, does so. The error
// is always an *Error.
func (i *Injector) Inject(r Request) (*Result, error) {
	pod, err := decodePod(r.Pod)
	if err != nil {
		return nil, err
	}
	decision := decide(pod, r.Namespace, &i.cfg.Injection)
	bad, odd := annotation.Check(pod.Annotations, pod.Labels)
	if !decision.Inject {
		return &Result{Decision: decision, came: r.Pod, Warnings: skipWarnings(odd)}, nil
	}
	if len(bad) > 0 {
		return nil, refuseAnnotations(bad, i.names.badNames(pod.Annotations))
	}
	m := &mutation{Injector: i, request: r, pod: pod, incoming: jsontree.Parse(string(r.Pod))}
	for _, step := range mutators {
		if err := step(m); err != nil {
			return nil, err
		}
	}
	return m.result(decision, odd), nil
}

// mutators is an injection, in order. Each step leaves m.tree a valid pod.
var mutators = []func(*mutation) error{
	(*mutation).strip,               // the earlier injection: all below starts from the user's pod
	(*mutation).resolve,             // settings and overlays, by annotations the user wrote
	(*mutation).setUserAside,        // the user's own istio-proxy would mix with ours
	(*mutation).merge,               // the templates, in order
	(*mutation).reapplyUser,         // the user's word on our containers wins
	(*mutation).injectedAnnotations, // the admin's annotations for every injected pod
	(*mutation).defaultContainer,    // kubectl should open the application, not the sidecar
	(*mutation).order,               // what starts before what
	(*mutation).status,              // last: it records what the steps above did
}

// mutation is one injection under way.
type mutation struct {
	*Injector
	request  Request
	pod      *corev1.Pod    // the user's pod: base, decoded
	incoming *jsontree.Node // the pod as it came
	base     *jsontree.Node // the pod without an earlier injection
	tree     *jsontree.Node // the pod as far as it is done
	prior    *status        // what the earlier injection recorded, if any
	again    bool           // the earlier injection was with the same overlays
	resolved *resolved
	overlays []*overlay
	user     overrides // the user's versions of injected containers
}

func decodePod(text []byte) (*corev1.Pod, error) {
	pod := &corev1.Pod{}
	if err := kjson.UnmarshalCaseSensitivePreserveInts(text, pod); err != nil {
		return nil, refuse(RefusedPod, noPod(err))
	}
	return pod, nil
}

func refuseAnnotations(problems problem.List, names []string) *Error {
	e := &Error{Code: RefusedAnnotation}
	for _, p := range problems {
		e.Problems = append(e.Problems, p.Error())
	}
	e.Problems = append(e.Problems, names...)
	return e
}

// strip takes an earlier injection out of the pod.
func (m *mutation) strip() error {
	m.base = m.incoming
	text, ok := m.pod.Annotations[annotation.SidecarStatus]
	if !ok {
		m.tree = m.base
		return nil
	}
	if m.prior = parseStatus(text); m.prior == nil {
		m.tree = m.base
		return nil
	}
	m.base = m.prior.strip(m.incoming, parseOverrides(m.pod.Annotations[annotation.ProxyOverrides]))
	pod, err := decodePod([]byte(m.base.JSON()))
	m.tree, m.pod = m.base, pod
	return err
}

// resolve finds settings and overlays. Where configuration and overlays are
// those of the earlier injection, the pod as it came is the better start: whatever other
// webhooks have added to our containers since then stays.
func (m *mutation) resolve() (err error) {
	in := podInputs{annotations: m.pod.Annotations, namespace: m.request.NamespaceAnnotations, uid: m.userUID()}
	if m.resolved, err = m.Injector.resolved(in); err != nil {
		return err
	}
	m.overlays = slices.Clone(m.resolved.overlays)
	for n, o := range m.overlays {
		if o != nil {
			continue
		}
		if m.overlays[n], err = m.render(m.templates[m.resolved.settings.Templates[n]], m.templateData()); err != nil {
			return refuse(RefusedTemplate, err.Error())
		}
	}
	if m.prior != nil && m.prior.ConfigHash == m.hash && m.prior.OverlayHash == overlayHash(m.overlays) {
		m.again, m.tree = true, m.incoming
	}
	return nil
}

// templateData adds the pod to what templates see.
func (m *mutation) templateData() templateData {
	data := m.data(m.resolved.settings)
	owner := ownerOf(m.pod, m.request)
	data.TypeMeta = metav1.TypeMeta{APIVersion: owner.APIVersion, Kind: owner.Kind}
	data.DeploymentMeta = types.NamespacedName{Name: owner.Name, Namespace: m.namespace()}
	data.ObjectMeta, data.Spec = m.pod.ObjectMeta, m.pod.Spec
	data.ObjectMeta.Annotations = resolvedAnnotations(m.pod.Annotations, m.resolved.settings)
	return data
}

func (m *mutation) namespace() string {
	if m.request.Namespace != "" {
		return m.request.Namespace
	}
	return m.pod.Namespace
}

// userUID is the uid of the pod's own istio-proxy container, if it sets one.
func (m *mutation) userUID() *int64 {
	for _, list := range [][]corev1.Container{m.pod.Spec.Containers, m.pod.Spec.InitContainers} {
		for c := range list {
			if list[c].Name == proxyContainerName && list[c].SecurityContext != nil {
				return list[c].SecurityContext.RunAsUser
			}
		}
	}
	return nil
}

// merge applies the overlays. What they delete is gone since the first time;
// what is there again has been put there by the user's word or by others.
func (m *mutation) merge() error {
	for n, o := range m.overlays {
		patch := o.tree
		if m.again {
			patch = withoutDeletes(patch)
		}
		merged, err := merge(m.tree, patch, m.schema)
		if err != nil {
			return refuse(RefusedMerge, fmt.Sprintf("template %q: %v", m.resolved.settings.Templates[n], err))
		}
		m.tree = merged
	}
	return nil
}

// injectedAnnotations sets the configuration's injectedAnnotations, which win
// over the pod's own, as in Istio.
func (m *mutation) injectedAnnotations() error {
	for _, name := range sortedKeys(m.cfg.Injection.InjectedAnnotations) {
		m.annotate(name, m.cfg.Injection.InjectedAnnotations[name])
	}
	return nil
}

// defaultContainer names the first application container, unless the user or a
// template did, or the earlier injection: a container that another webhook has
// put first since then is not the application.
func (m *mutation) defaultContainer() error {
	if m.tree.At("metadata", "annotations", annotation.DefaultContainer) != nil {
		return nil
	}
	for c := range m.pod.Spec.Containers {
		if name := m.pod.Spec.Containers[c].Name; name != proxyContainerName {
			m.annotate(annotation.DefaultContainer, name)
			break
		}
	}
	return nil
}

func (m *mutation) annotate(name, value string) {
	annotations := m.tree.At("metadata", "annotations")
	if old := annotations.Get(name); old != nil && old.Text() == value {
		return
	}
	m.tree = m.tree.Put(jsontree.NewString(value), "metadata", "annotations", name)
}

// order arranges the containers. Native: redirect and proxy come before the
// user's init containers, whose traffic then goes through the proxy. Classic:
// the redirect comes last, since no proxy runs yet to take the traffic.
func (m *mutation) order() error {
	s := m.resolved.settings
	if s.NativeSidecar {
		m.arrange("initContainers", []string{validationContainerName, initContainerName, proxyContainerName, coreDumpContainerName}, nil)
		return nil
	}
	m.arrange("initContainers", []string{validationContainerName}, []string{initContainerName, coreDumpContainerName})
	if s.HoldApp {
		m.arrange("containers", []string{proxyContainerName}, nil)
	} else {
		m.arrange("containers", nil, []string{proxyContainerName})
	}
	return nil
}

// arrange moves the injected containers of the given names to the two ends.
func (m *mutation) arrange(list string, first, last []string) {
	items := m.tree.At("spec", list).Items()
	rank := func(n *jsontree.Node) int {
		name := n.Get("name").Text()
		if i := slices.Index(first, name); i >= 0 && m.injects(list, name) {
			return i - len(first)
		}
		if i := slices.Index(last, name); i >= 0 && m.injects(list, name) {
			return i + 1
		}
		return 0
	}
	byRank := func(a, b *jsontree.Node) int { return rank(a) - rank(b) }
	if slices.IsSortedFunc(items, byRank) {
		return
	}
	sorted := slices.Clone(items)
	slices.SortStableFunc(sorted, byRank)
	m.tree = m.tree.Put(jsontree.NewArray(sorted...), "spec", list)
}

// injects says whether the templates brought an item of one of injectedLists.
func (m *mutation) injects(list, name string) bool {
	for _, o := range m.overlays {
		if slices.Contains(o.names[list], name) {
			return true
		}
	}
	return false
}

func (m *mutation) result(d Decision, odd problem.List) *Result {
	r := &Result{Decision: d, Settings: m.resolved.settings, came: m.request.Pod, Warnings: m.warnings(odd)}
	ops := jsontree.Diff(m.incoming, m.tree)
	if len(ops) == 0 {
		return r
	}
	r.Patch, r.tree = operations(ops), m.tree
	return r
}

func operations(ops []jsontree.Op) []Operation {
	out := make([]Operation, len(ops))
	for n, op := range ops {
		out[n] = Operation{Op: op.Op, Path: op.Path}
		if op.Value != nil {
			out[n].Value = op.Value.JSON()
		}
	}
	return out
}

// effectiveJSON is what the status annotation says of the settings: the ranges
// always, as they are what one looks for, all else where somebody set it.
func effectiveJSON(s *Settings) json.RawMessage {
	b := []byte{'{'}
	for _, e := range s.List {
		set := e.Source != SourceDefault && e.Source != SourceKubernetes
		if !set && e.Name != "includeOutboundIPRanges" && e.Name != "excludeOutboundIPRanges" {
			continue
		}
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = append(jsontree.AppendString(b, e.Name), `:{"value":`...)
		b = append(jsontree.AppendString(b, e.Value), `,"source":`...)
		b = append(jsontree.AppendString(b, string(e.Source)), '}')
	}
	return append(b, '}')
}

func quoted(s string) string { return strconv.Quote(s) }
