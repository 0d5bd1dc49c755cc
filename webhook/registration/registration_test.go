package registration

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"

	"github.com/outrider-mesh/outrider/annotation"
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
		"revision": {Revision: "canary", Namespace: "istio-system", URL: "https://127.0.0.1:9443/", CABundle: []byte("bundle")},
	} {
		var out []byte
		for _, object := range []any{r.Mutating(), r.Validating()} {
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
	for _, w := range r.Mutating().Webhooks {
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

func TestSelectors_AtMostOneMatches(t *testing.T) {
	options := func(key string, values ...string) []map[string]string {
		out := []map[string]string{nil}
		for _, v := range values {
			out = append(out, map[string]string{key: v})
		}
		return out
	}
	join := func(a, b map[string]string) map[string]string {
		out := map[string]string{}
		for _, m := range []map[string]string{a, b} {
			for k, v := range m {
				out[k] = v
			}
		}
		return out
	}
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
		{"a revision ignores istio-injection", canary, map[string]string{annotation.Injection: "enabled"}, nil, ""},
	} {
		got := selected(t, tt.r, "shop", tt.ns, tt.pod)
		if (tt.want == "") != (len(got) == 0) || (len(got) > 0 && got[0] != tt.want) {
			t.Errorf("%s: selected by %v, want %q", tt.name, got, tt.want)
		}
	}
}
