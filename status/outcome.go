package status

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/outrider-mesh/outrider/annotation"
	"github.com/outrider-mesh/outrider/explain"
	"github.com/outrider-mesh/outrider/inject"
)

// Settings are the settings that pods are injected with.
type Settings struct {
	Injector *inject.Injector
	Texts    explain.Texts
}

// outcome is a pod as it runs, or as it would be if it were created under some settings.
type outcome struct {
	decision explain.Decision
	with     inject.Injected
	record   string // the annotation that with is read from
	has      *corev1.Pod
	// result is that of an injection that changes the pod; nil for one that does not, and for
	// the running pod.
	result *inject.Result
	// settings are all of them, for a pod that is not running.
	settings map[string]inject.Setting
	readsPod bool // a template reads the pod, so that its output is not that of another time
}

// injected reports whether the pod has a sidecar.
func (o *outcome) injected() bool { return o.decision.Result == Injected }

// pod is the pod with its sidecar; nil where it has none. It decodes the result of an
// injection each time.
func (o *outcome) pod() *corev1.Pod {
	switch {
	case !o.injected():
		return nil
	case o.result == nil:
		return o.has
	}
	out := &corev1.Pod{}
	if err := json.Unmarshal(o.result.Tree().AppendTo(nil), out); err != nil {
		return o.has // the injection has decoded it
	}
	return out
}

// meta is the annotations or the labels of the pod.
func (o *outcome) meta(what string) map[string]string {
	if o.result == nil {
		if what == "labels" {
			return o.has.Labels
		}
		return o.has.Annotations
	}
	out := map[string]string{}
	for _, m := range o.result.Tree().At("metadata", what).Members() {
		out[m.Key] = m.Value.Text()
	}
	return out
}

// records reads the records of injections, each once: most pods have one of a few.
type records map[string]inject.Injected

func (r records) read(text string) (inject.Injected, bool) {
	if text == "" {
		return inject.Injected{}, false
	}
	if with, ok := r[text]; ok {
		return with, true
	}
	with, ok := inject.InjectedWith(map[string]string{annotation.SidecarStatus: text})
	if ok {
		r[text] = with
	}
	return with, ok
}

// running is a pod as it runs.
func (r records) running(p *corev1.Pod) outcome {
	out := outcome{decision: explain.Decision{Result: Skipped}, record: p.Annotations[annotation.SidecarStatus], has: p}
	var ok bool
	if out.with, ok = r.read(out.record); ok {
		out.decision.Result, out.settings = Injected, out.with.Effective
	}
	return out
}

// under is the pod of a subject as it would be created under some settings. has is the pod
// itself, which the injection may not change.
func (r records) under(s Settings, subject explain.Subject, namespace explain.Namespace, has *corev1.Pod) outcome {
	result, d := subject.Inject(explain.Input{Injector: s.Injector, Texts: s.Texts, Namespace: namespace})
	out := outcome{decision: d, has: has}
	if !out.injected() {
		return out
	}
	if out.record = has.Annotations[annotation.SidecarStatus]; result.Tree() != nil {
		out.result, out.record = result, result.Tree().At("metadata", "annotations", annotation.SidecarStatus).Text()
	}
	out.with, _ = r.read(out.record)
	out.settings = map[string]inject.Setting{}
	for _, e := range result.Settings.List {
		out.settings[e.Name] = e
	}
	maps.Copy(out.settings, out.with.Effective) // what the pod's own containers replace
	out.readsPod = s.Injector.ReadsPod(result.Settings.Templates)
	return out
}

// places are where settings are; nil where that is not shown.
type places func(inject.Setting) explain.Rule

// differences compares two outcomes; none: a pod is the same under both.
func differences(was, is outcome, at places) []Difference {
	if was.decision.Result != is.decision.Result {
		r := is.decision.Rule
		return []Difference{{Name: "decision", Was: was.decision.Result, Is: is.decision.Result, Source: r.Source, Path: r.Path, File: r.File, Line: r.Line}}
	}
	if !is.injected() {
		return nil
	}
	annotations := annotationDifferences(was, is)
	if was.with.OverlayHash == is.with.OverlayHash {
		return annotations
	}
	out := settingDifferences(was, is, at)
	out = append(out, partDifferences(was.pod(), is.pod(), out)...)
	out = append(out, annotations...)
	if len(out) == 0 && !is.readsPod {
		// Something that is not in the pod any more, or a template that has changed.
		out = []Difference{{Name: "template", Was: strings.Join(was.with.Templates, ", "), Is: strings.Join(is.with.Templates, ", ")}}
	}
	return out
}

// unset is a setting that the record of a running pod omits, as it was the default.
const unset = "default"

// settingDifferences are the settings that differ. A running pod records those that are not
// the default.
func settingDifferences(was, is outcome, at places) (out []Difference) {
	for _, name := range slices.Sorted(maps.Keys(is.settings)) {
		next := is.settings[name]
		had, ok := was.settings[name]
		if !ok {
			if next.Source == inject.SourceDefault || next.Source == inject.SourceKubernetes {
				continue
			}
			had.Value = unset
		}
		if had.Value == next.Value {
			continue
		}
		d := Difference{Name: name, Was: had.Value, Is: next.Value}
		if at != nil {
			r := at(next)
			d.Source, d.Path, d.File, d.Line = r.Source, r.Path, r.File, r.Line
		}
		out = append(out, d)
	}
	return out
}

// annotationDifferences are the annotations and labels that the injection sets.
func annotationDifferences(was, is outcome) (out []Difference) {
	for what, kind := range map[string]string{"annotations": "annotation ", "labels": "label "} {
		had, has := was.meta(what), is.meta(what)
		for name, value := range has {
			if name != annotation.SidecarStatus && name != annotation.ProxyOverrides && had[name] != value {
				out = append(out, Difference{Name: kind + name, Was: had[name], Is: value})
			}
		}
	}
	slices.SortFunc(out, func(a, b Difference) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// part is a field of a container that templates set, with the settings that decide it.
type part struct {
	name     string
	of       func(*corev1.Container) any
	settings []string
}

// parts are those of an injected container.
var parts = []part{
	{"image", func(c *corev1.Container) any { return c.Image }, []string{"proxyImage", "initImage"}},
	{"command", func(c *corev1.Container) any { return c.Command }, nil},
	{"args", func(c *corev1.Container) any { return c.Args }, []string{
		"interceptionMode", "includeOutboundIPRanges", "excludeOutboundIPRanges", "includeOutboundPorts", "excludeOutboundPorts",
		"excludeInterfaces", "proxyUID", "proxyGID", "logLevel", "componentLogLevel",
	}},
	{"env", func(c *corev1.Container) any { return c.Env }, nil},
	{"envFrom", func(c *corev1.Container) any { return c.EnvFrom }, nil},
	{"ports", func(c *corev1.Container) any { return c.Ports }, nil},
	{"resources", func(c *corev1.Container) any { return c.Resources }, []string{"proxyCPU", "proxyMemory", "proxyCPULimit", "proxyMemoryLimit"}},
	{"volumeMounts", func(c *corev1.Container) any { return c.VolumeMounts }, []string{"userVolumeMount"}},
	{"startupProbe", func(c *corev1.Container) any { return c.StartupProbe }, []string{"nativeSidecar"}},
	{"readinessProbe", func(c *corev1.Container) any { return c.ReadinessProbe }, nil},
	{"livenessProbe", func(c *corev1.Container) any { return c.LivenessProbe }, nil},
	{"lifecycle", func(c *corev1.Container) any { return c.Lifecycle }, []string{"nativeSidecar"}},
	{"securityContext", func(c *corev1.Container) any { return c.SecurityContext }, []string{"proxyUID", "proxyGID"}},
	{"restartPolicy", func(c *corev1.Container) any { return c.RestartPolicy }, []string{"nativeSidecar"}},
	{"imagePullPolicy", func(c *corev1.Container) any { return c.ImagePullPolicy }, nil},
}

// partDifferences are the parts of the injected containers that differ for another reason
// than the settings that were found. What the API server has added to the running pod is
// none: only what a new pod sets is compared.
func partDifferences(was, is *corev1.Pod, found []Difference) (out []Difference) {
	found = slices.Clone(found)
	had := containers(was)
	for _, c := range containers(is) {
		if !injected(is, c.Name) {
			continue
		}
		i := slices.IndexFunc(had, func(o *corev1.Container) bool { return o.Name == c.Name })
		if i < 0 {
			out = append(out, Difference{Name: "container " + c.Name, Was: "none", Is: c.Image})
			continue
		}
		for _, p := range parts {
			if sets(p.of(c), p.of(had[i])) || slices.ContainsFunc(found, func(d Difference) bool { return slices.Contains(p.settings, d.Name) }) {
				continue
			}
			d := Difference{Name: c.Name + ": " + p.name}
			if p.name == "image" {
				d.Was, d.Is = had[i].Image, c.Image
			}
			out = append(out, d)
		}
	}
	for _, c := range had {
		if injected(was, c.Name) && !slices.ContainsFunc(containers(is), func(o *corev1.Container) bool { return o.Name == c.Name }) {
			out = append(out, Difference{Name: "container " + c.Name, Was: c.Image, Is: "none"})
		}
	}
	for i := range is.Spec.Volumes {
		v := &is.Spec.Volumes[i]
		at := slices.IndexFunc(was.Spec.Volumes, func(o corev1.Volume) bool { return o.Name == v.Name })
		if at < 0 || !sets(v.VolumeSource, was.Spec.Volumes[at].VolumeSource) {
			out = append(out, Difference{Name: "volume " + v.Name})
		}
	}
	if !sets(is.Spec.ImagePullSecrets, was.Spec.ImagePullSecrets) {
		out = append(out, Difference{Name: "imagePullSecrets"})
	}
	return out
}

// sets reports whether another value has everything that a value sets: the API server adds
// defaults.
func sets(value, in any) bool {
	tree := func(v any) (out any) {
		text, err := json.Marshal(v)
		if err == nil {
			err = json.Unmarshal(text, &out)
		}
		if err != nil {
			return nil // it was decoded before
		}
		return out
	}
	return within(tree(value), tree(in))
}

func within(value, in any) bool {
	switch v := value.(type) {
	case nil:
		return true
	case string:
		return v == "" || value == in
	case map[string]any:
		other, ok := in.(map[string]any)
		for key, field := range v {
			ok = ok && within(field, other[key])
		}
		return ok
	case []any:
		other, ok := in.([]any)
		if _, objects := first(v).(map[string]any); !objects {
			return reflect.DeepEqual(value, in) // arguments
		}
		return ok && len(v) <= len(other) && !slices.ContainsFunc(v, func(item any) bool {
			return !slices.ContainsFunc(other, func(o any) bool { return within(item, o) })
		}) && (len(v) == len(other) || mounts(v))
	}
	return value == in
}

// mounts reports whether a list is of mounts: the API server adds that of its token.
func mounts(list []any) bool {
	item, ok := first(list).(map[string]any)
	return ok && item["mountPath"] != nil
}

func first(list []any) any {
	if len(list) == 0 {
		return nil
	}
	return list[0]
}

// containers are those of both lists.
func containers(p *corev1.Pod) (out []*corev1.Container) {
	for i := range p.Spec.InitContainers {
		out = append(out, &p.Spec.InitContainers[i])
	}
	for i := range p.Spec.Containers {
		out = append(out, &p.Spec.Containers[i])
	}
	return out
}

// injected reports whether the record of the injection has a container.
func injected(p *corev1.Pod, name string) bool {
	var record struct{ InitContainers, Containers []string }
	_ = json.Unmarshal([]byte(p.Annotations[annotation.SidecarStatus]), &record) // it was read before
	return slices.Contains(record.InitContainers, name) || slices.Contains(record.Containers, name)
}
