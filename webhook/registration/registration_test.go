package registration

import (
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"

	"github.com/outrider-mesh/outrider/annotation"
	"github.com/outrider-mesh/outrider/internal/revision"
)

var update = flag.Bool("update", false, "write the golden files")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("%s differs; run go test with -update and read the difference\n%s", path, got)
	}
}

func TestConfigurations(t *testing.T) {
	for name, r := range map[string]Options{
		"default":  {Namespace: "istio-system", Service: "outrider", CABundle: []byte("bundle"), Auto: true},
		"tags":     {Revision: "canary", DefaultRevision: "canary", Tags: []revision.Tag{"prod"}, Namespace: "istio-system", Service: "outrider-canary", XDSService: "outrider-xds-canary"},
		"revision": {Revision: "canary", Namespace: "istio-system", URL: "https://127.0.0.1:9443/", CABundle: []byte("bundle")},
	} {
		var out []byte
		objects := []any{r.Mutating(), r.Validating()}
		for _, tag := range r.TagConfigurations() {
			objects = append(objects, tag)
		}
		for _, object := range objects {
			doc, err := yaml.Marshal(object)
			if err != nil {
				t.Fatal(err)
			}
			out = append(append(out, "---\n"...), doc...)
		}
		golden(t, name+".yaml", out)
	}
}

// selected are the entries whose selectors match a pod.
func selected(t *testing.T, r Options, namespace string, namespaceLabels, podLabels map[string]string) []string {
	t.Helper()
	withName := labels.Set{corev1.LabelMetadataName: namespace}
	for k, v := range namespaceLabels {
		withName[k] = v
	}
	var out []string
	webhooks := r.Mutating().Webhooks
	for _, c := range r.TagConfigurations() {
		for _, w := range c.Webhooks {
			w.Name = c.Name + "/" + w.Name
			webhooks = append(webhooks, w)
		}
	}
	for _, w := range webhooks {
		ns, err := metav1.LabelSelectorAsSelector(w.NamespaceSelector)
		if err != nil {
			t.Fatal(err)
		}
		object, err := metav1.LabelSelectorAsSelector(w.ObjectSelector)
		if err != nil {
			t.Fatal(err)
		}
		if ns.Matches(withName) && object.Matches(labels.Set(podLabels)) {
			out = append(out, w.Name)
		}
	}
	return out
}

// options are a label with each of the values, and without it.
func options(key string, values ...string) []map[string]string {
	out := []map[string]string{nil}
	for _, v := range values {
		out = append(out, map[string]string{key: v})
	}
	return out
}

func join(a, b map[string]string) map[string]string {
	out := map[string]string{}
	maps.Copy(out, a)
	maps.Copy(out, b)
	return out
}

func TestSelectors_AtMostOneMatches(t *testing.T) {
	for _, auto := range []bool{false, true} {
		r := Options{Namespace: "istio-system", Service: "outrider", Auto: auto}
		for _, nsInjection := range options(annotation.Injection, "enabled", "disabled") {
			for _, nsRevision := range options(annotation.Rev, "default", "other") {
				for _, podInject := range options(annotation.Inject, "true", "false", "junk") {
					for _, podRevision := range options(annotation.Rev, "default", "other") {
						ns, pod := join(nsInjection, nsRevision), join(podInject, podRevision)
						if got := selected(t, r, "shop", ns, pod); len(got) > 1 {
							t.Errorf("namespace %v, pod %v: selected by %v", ns, pod, got)
						}
						for _, system := range []string{"kube-system", "kube-public", "kube-node-lease", "istio-system"} {
							if got := selected(t, r, system, ns, pod); len(got) > 0 {
								t.Errorf("namespace %s %v, pod %v: selected by %v", system, ns, pod, got)
							}
						}
					}
				}
			}
		}
	}
}

func TestSelectors(t *testing.T) {
	def := Options{Namespace: "istio-system", Service: "outrider"}
	auto := Options{Namespace: "istio-system", Service: "outrider", Auto: true}
	canary := Options{Revision: "canary", Namespace: "istio-system", Service: "outrider"}
	tagged := Options{Revision: "canary", DefaultRevision: "canary", Tags: []revision.Tag{"prod"}, Namespace: "istio-system", Service: "outrider"}
	former := Options{DefaultRevision: "canary", Namespace: "istio-system", Service: "outrider"}
	for _, tt := range []struct {
		name    string
		r       Options
		ns, pod map[string]string
		want    string
	}{
		{"labelled namespace", def, map[string]string{annotation.Injection: "enabled"}, nil, "namespace.sidecar-injector.istio.io"},
		{"opt-out by pod label", def, map[string]string{annotation.Injection: "enabled"}, map[string]string{annotation.Inject: "false"}, ""},
		{"disabled namespace overrides the pod label", def, map[string]string{annotation.Injection: "disabled"}, map[string]string{annotation.Inject: "true"}, ""},
		{"pod label alone", def, nil, map[string]string{annotation.Inject: "true"}, "object.sidecar-injector.istio.io"},
		{"no label", def, nil, nil, ""},
		{"no label, Auto", auto, nil, nil, "auto.sidecar-injector.istio.io"},
		{"revision of the namespace", canary, map[string]string{annotation.Rev: "canary"}, nil, "rev.namespace.sidecar-injector.istio.io"},
		{"revision of the pod", canary, nil, map[string]string{annotation.Rev: "canary"}, "rev.object.sidecar-injector.istio.io"},
		{"another revision", canary, map[string]string{annotation.Rev: "default"}, nil, ""},
		{"a tag of the namespace", tagged, map[string]string{annotation.Rev: "prod"}, nil, "istio-revision-tag-prod/rev.namespace.sidecar-injector.istio.io"},
		{"a tag of the pod", tagged, nil, map[string]string{annotation.Rev: "prod"}, "istio-revision-tag-prod/rev.object.sidecar-injector.istio.io"},
		{"the default tag", tagged, map[string]string{annotation.Injection: "enabled"}, nil, "istio-revision-tag-default/namespace.sidecar-injector.istio.io"},
		{"the default tag by name", tagged, map[string]string{annotation.Rev: "default"}, nil, "istio-revision-tag-default/rev.namespace.sidecar-injector.istio.io"},
		{"the default tag by a pod's label", tagged, nil, map[string]string{annotation.Inject: "true"}, "istio-revision-tag-default/object.sidecar-injector.istio.io"},
		{"another revision is the default one", former, map[string]string{annotation.Injection: "enabled"}, nil, ""},
		{"a revision ignores istio-injection", canary, map[string]string{annotation.Injection: "enabled"}, nil, ""},
	} {
		got := selected(t, tt.r, "shop", tt.ns, tt.pod)
		if (tt.want == "") != (len(got) == 0) || (len(got) > 0 && got[0] != tt.want) {
			t.Errorf("%s: selected by %v, want %q", tt.name, got, tt.want)
		}
	}
}

// The revision "default" keeps its entries, and with them their CA bundles, while another
// revision is the default one.
func TestFormerDefaultKeepsItsEntries(t *testing.T) {
	entries := func(o Options) (names []string) {
		for _, w := range o.Mutating().Webhooks {
			names = append(names, w.Name)
		}
		return names
	}
	for _, auto := range []bool{false, true} {
		got, want := entries(Options{DefaultRevision: "canary", Auto: auto}), entries(Options{Auto: auto})
		if !slices.Equal(got, want) {
			t.Errorf("every namespace %v: %v, want %v", auto, got, want)
		}
	}
}

// No pod is selected by two of the revisions of a cluster, and a label that names one of
// them is followed by that one.
func TestRevisions_AtMostOneMatches(t *testing.T) {
	for name, cluster := range map[string][]Options{
		"two":              {{}, {Revision: "canary", Tags: []revision.Tag{"prod"}}},
		"three":            {{Auto: true}, {Revision: "canary"}, {Revision: "stable", Tags: []revision.Tag{"prod", "old"}}},
		"another default":  {{DefaultRevision: "canary"}, {Revision: "canary", DefaultRevision: "canary"}},
		"the default tag":  {{Revision: "stable"}, {Revision: "canary", Tags: []revision.Tag{"default", "prod"}}},
		"a tag of its own": {{Tags: []revision.Tag{"default"}}, {Revision: "canary", Tags: []revision.Tag{"canary"}}},
	} {
		labels := []string{"default", "canary", "stable", "prod", "old", "other"}
		injecting := 0
		for _, injection := range options(annotation.Injection, "enabled", "disabled") {
			for _, nsRevision := range options(annotation.Rev, labels...) {
				for _, inject := range options(annotation.Inject, "true", "false") {
					for _, podRevision := range options(annotation.Rev, labels...) {
						ns, pod := join(injection, nsRevision), join(inject, podRevision)
						var by []string
						for _, o := range cluster {
							o.Namespace, o.Service = "istio-system", "outrider"
							for _, w := range selected(t, o, "shop", ns, pod) {
								by = append(by, o.Revision.String()+": "+w)
							}
						}
						injecting += len(by)
						if len(by) > 1 {
							t.Errorf("%s: namespace %v, pod %v: selected by %v", name, ns, pod, by)
						}
					}
				}
			}
		}
		if injecting == 0 {
			t.Errorf("%s: selects nothing", name)
		}
	}
}

// An object without a revision is validated by the default revision alone.
func TestObjectsWithoutARevision(t *testing.T) {
	for _, tt := range []struct {
		o    Options
		want bool
	}{
		{Options{}, true},
		{Options{Revision: "canary"}, false},
		{Options{DefaultRevision: "canary"}, false},
		{Options{Revision: "canary", DefaultRevision: "canary"}, true},
		{Options{Revision: "canary", Tags: []revision.Tag{"default"}}, true},
	} {
		got := slices.ContainsFunc(tt.o.Validating().Webhooks, func(w admissionregistrationv1.ValidatingWebhook) bool { return w.Name == validationSuffix })
		if got != tt.want {
			t.Errorf("%+v: %v", tt.o, got)
		}
	}
}
