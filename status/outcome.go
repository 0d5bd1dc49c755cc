package status

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"

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
	// pod is the pod with its sidecar; nil where it has none.
	pod *corev1.Pod
	// settings are all of them, for a pod that is not running.
	settings map[string]inject.Setting
	readsPod bool // a template reads the pod, so that its output is not that of another time
}

// running is a pod as it runs.
func running(p *corev1.Pod) outcome {
	with, ok := inject.InjectedWith(p.Annotations)
	if !ok {
		return outcome{decision: explain.Decision{Result: Skipped}}
	}
	return outcome{decision: explain.Decision{Result: Injected}, with: with, pod: p, settings: with.Effective}
}

// under is the pod of a subject as it would be created under some settings. has is the pod
// itself, which the injection may not change.
func under(s Settings, subject explain.Subject, namespace explain.Namespace, has *corev1.Pod) outcome {
	r, d := subject.Inject(explain.Input{Injector: s.Injector, Texts: s.Texts, Namespace: namespace})
	out := outcome{decision: d}
	if d.Result != Injected {
		return out
	}
	out.settings = map[string]inject.Setting{}
	for _, e := range r.Settings.List {
		out.settings[e.Name] = e
	}
	if out.pod = has; r.Tree() != nil {
		out.pod = &corev1.Pod{}
		if err := json.Unmarshal(r.Tree().AppendTo(nil), out.pod); err != nil {
			out.pod = has // the injection has decoded it
		}
	}
	out.with, _ = inject.InjectedWith(out.pod.Annotations)
	maps.Copy(out.settings, out.with.Effective) // what the pod's own containers replace
	out.readsPod = s.Injector.ReadsPod(r.Settings.Templates)
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
	if is.decision.Result != Injected {
		return nil
	}
	annotations := annotationDifferences(was.pod, is.pod)
	if was.with.OverlayHash == is.with.OverlayHash {
		return annotations
	}
	out := settingDifferences(was, is, at)
	out = append(out, partDifferences(was, is, out)...)
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
func annotationDifferences(was, is *corev1.Pod) (out []Difference) {
	for _, of := range []struct {
		kind    string
		had, is map[string]string
	}{{"annotation ", was.Annotations, is.Annotations}, {"label ", was.Labels, is.Labels}} {
		for _, name := range slices.Sorted(maps.Keys(of.is)) {
			if name != annotation.SidecarStatus && name != annotation.ProxyOverrides && of.had[name] != of.is[name] {
				out = append(out, Difference{Name: of.kind + name, Was: of.had[name], Is: of.is[name]})
			}
		}
	}
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
func partDifferences(was, is outcome, found []Difference) (out []Difference) {
	found = slices.Clone(found)
	had := containers(was.pod)
	for _, c := range containers(is.pod) {
		if !injected(is.pod, c.Name) {
			continue
		}
		i := slices.IndexFunc(had, func(o *corev1.Container) bool { return o.Name == c.Name })
		if i < 0 {
			out = append(out, Difference{Name: "container " + c.Name, Was: "none", Is: c.Image})
			continue
		}
		for _, p := range parts {
			if equality.Semantic.DeepDerivative(p.of(c), p.of(had[i])) || slices.ContainsFunc(found, func(d Difference) bool { return slices.Contains(p.settings, d.Name) }) {
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
		if injected(was.pod, c.Name) && !slices.ContainsFunc(containers(is.pod), func(o *corev1.Container) bool { return o.Name == c.Name }) {
			out = append(out, Difference{Name: "container " + c.Name, Was: c.Image, Is: "none"})
		}
	}
	for i := range is.pod.Spec.Volumes {
		v := &is.pod.Spec.Volumes[i]
		at := slices.IndexFunc(was.pod.Spec.Volumes, func(o corev1.Volume) bool { return o.Name == v.Name })
		if at < 0 || !equality.Semantic.DeepDerivative(v.VolumeSource, was.pod.Spec.Volumes[at].VolumeSource) {
			out = append(out, Difference{Name: "volume " + v.Name})
		}
	}
	if !equality.Semantic.DeepDerivative(is.pod.Spec.ImagePullSecrets, was.pod.Spec.ImagePullSecrets) {
		out = append(out, Difference{Name: "imagePullSecrets"})
	}
	return out
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
