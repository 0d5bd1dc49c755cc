package webhook

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"
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

func TestRegistrationGolden(t *testing.T) {
	for name, r := range map[string]Registration{
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
		golden(t, "registration-"+name+".yaml", out)
	}
}

// chosen counts the entries whose selectors match.
func chosen(t *testing.T, r Registration, namespace string, namespaceLabels, podLabels map[string]string) []string {
	t.Helper()
	withName := labels.Set{labelName: namespace}
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

func TestEachPodIsChosenAtMostOnce(t *testing.T) {
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
		r := Registration{Namespace: "istio-system", Service: "outrider", Auto: auto}
		for _, nsInjection := range options(labelNamespace, "enabled", "disabled") {
			for _, nsRevision := range options(labelRevision, "default", "other") {
				for _, podInject := range options(labelInject, "true", "false", "junk") {
					for _, podRevision := range options(labelRevision, "default", "other") {
						ns, pod := join(nsInjection, nsRevision), join(podInject, podRevision)
						if got := chosen(t, r, "shop", ns, pod); len(got) > 1 {
							t.Errorf("namespace %v, pod %v: chosen by %v", ns, pod, got)
						}
						for _, system := range []string{"kube-system", "kube-public", "kube-node-lease", "istio-system"} {
							if got := chosen(t, r, system, ns, pod); len(got) > 0 {
								t.Errorf("namespace %s %v, pod %v: chosen by %v", system, ns, pod, got)
							}
						}
					}
				}
			}
		}
	}
}

func TestWhoIsChosen(t *testing.T) {
	def := Registration{Namespace: "istio-system", Service: "outrider"}
	auto := Registration{Namespace: "istio-system", Service: "outrider", Auto: true}
	canary := Registration{Revision: "canary", Namespace: "istio-system", Service: "outrider"}
	for _, tt := range []struct {
		name    string
		r       Registration
		ns, pod map[string]string
		want    string
	}{
		{"labelled namespace", def, map[string]string{labelNamespace: "enabled"}, nil, "namespace.sidecar-injector.istio.io"},
		{"opt-out by pod label", def, map[string]string{labelNamespace: "enabled"}, map[string]string{labelInject: "false"}, ""},
		{"disabled namespace beats the pod", def, map[string]string{labelNamespace: "disabled"}, map[string]string{labelInject: "true"}, ""},
		{"pod label alone", def, nil, map[string]string{labelInject: "true"}, "object.sidecar-injector.istio.io"},
		{"nothing said", def, nil, nil, ""},
		{"nothing said, automatic", auto, nil, nil, "auto.sidecar-injector.istio.io"},
		{"revision of the namespace", canary, map[string]string{labelRevision: "canary"}, nil, "rev.namespace.sidecar-injector.istio.io"},
		{"revision of the pod", canary, nil, map[string]string{labelRevision: "canary"}, "rev.object.sidecar-injector.istio.io"},
		{"another revision", canary, map[string]string{labelRevision: "default"}, nil, ""},
		{"a revision does not answer to the plain label", canary, map[string]string{labelNamespace: "enabled"}, nil, ""},
	} {
		got := chosen(t, tt.r, "shop", tt.ns, tt.pod)
		if (tt.want == "") != (len(got) == 0) || (len(got) > 0 && got[0] != tt.want) {
			t.Errorf("%s: chosen by %v, want %q", tt.name, got, tt.want)
		}
	}
}
