package inject

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/outrider-mesh/outrider/config"
)

const selectorsConfig = `
policy: %s
neverInjectSelector:
- matchLabels: {never: "true"}
- {}
alwaysInjectSelector:
- matchExpressions: [{key: always, operator: Exists}]
`

// TestDecide follows the order of Istio's injectRequired: what comes first takes
// precedence.
func TestDecide(t *testing.T) {
	type meta = map[string]string
	label := func(v string) meta { return meta{"sidecar.istio.io/inject": v} }
	windows := corev1.PodSpec{OS: &corev1.PodOS{Name: corev1.Windows}}
	for _, c := range []struct {
		name        string
		policy      string
		namespace   string
		labels      meta
		annotations meta
		spec        corev1.PodSpec
		want        Reason
		inject      bool
	}{
		{name: "nothing set", want: ReasonPolicyEnabled, inject: true},
		{name: "policy disabled", policy: "disabled", want: ReasonPolicyDisabled},
		{name: "host network", spec: corev1.PodSpec{HostNetwork: true}, labels: label("true"), want: ReasonHostNetwork},
		{name: "kube-system", namespace: "kube-system", labels: label("true"), want: ReasonIgnoredNamespace},
		{name: "kube-public", namespace: "kube-public", want: ReasonIgnoredNamespace},
		{name: "kube-node-lease", namespace: "kube-node-lease", want: ReasonIgnoredNamespace},
		{name: "local-path-storage", namespace: "local-path-storage", want: ReasonIgnoredNamespace},
		{name: "istio-system is not special here", namespace: "istio-system", want: ReasonPolicyEnabled, inject: true},
		{name: "windows by os", spec: windows, labels: label("true"), want: ReasonWindows},
		{name: "windows by node selector", spec: corev1.PodSpec{NodeSelector: meta{"kubernetes.io/os": "windows"}}, want: ReasonWindows},
		{name: "linux by node selector", spec: corev1.PodSpec{NodeSelector: meta{"kubernetes.io/os": "linux"}}, want: ReasonPolicyEnabled, inject: true},
		{name: "no containers", labels: label("true"), want: ReasonNoContainers},
		{name: "init containers only", spec: corev1.PodSpec{InitContainers: []corev1.Container{{Name: "a"}}}, want: ReasonNoContainers},
		{name: "label true", policy: "disabled", labels: label("true"), want: ReasonLabelTrue, inject: true},
		{name: "label false", labels: label("false"), want: ReasonLabelFalse},
		{name: "annotation true", policy: "disabled", annotations: label("true"), want: ReasonAnnotationTrue, inject: true},
		{name: "annotation false", annotations: label("false"), want: ReasonAnnotationFalse},
		{name: "label beats annotation", labels: label("true"), annotations: label("false"), want: ReasonLabelTrue, inject: true},
		{name: "junk label hides the annotation", labels: label("yes"), annotations: label("false"), want: ReasonPolicyEnabled, inject: true},
		{name: "True is not true", policy: "disabled", labels: label("True"), want: ReasonPolicyDisabled},
		{name: "1 is not true", policy: "disabled", annotations: label("1"), want: ReasonPolicyDisabled},
		{name: "empty is the default", policy: "disabled", annotations: label(""), want: ReasonPolicyDisabled},
		{name: "never selector", labels: meta{"never": "true"}, want: ReasonNeverSelector},
		{name: "explicit true beats never", labels: meta{"never": "true", "sidecar.istio.io/inject": "true"}, want: ReasonLabelTrue, inject: true},
		{name: "always selector", policy: "disabled", labels: meta{"always": ""}, want: ReasonAlwaysSelector, inject: true},
		{name: "never beats always", labels: meta{"always": "", "never": "true"}, want: ReasonNeverSelector},
		{name: "explicit false beats always", labels: meta{"always": "", "sidecar.istio.io/inject": "false"}, want: ReasonLabelFalse},
		{name: "an empty never selector matches nothing", labels: meta{"x": "y"}, want: ReasonPolicyEnabled, inject: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			policy := c.policy
			if policy == "" {
				policy = "enabled"
			}
			cfg := mustConfig(t, config.Texts{Config: sprintf(selectorsConfig, policy)})
			if c.want != ReasonNoContainers {
				c.spec.Containers = []corev1.Container{{Name: "app"}}
			}
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Labels: c.labels, Annotations: c.annotations}, Spec: c.spec}
			got := decide(pod, c.namespace, &cfg.Injection)
			if got.Reason != c.want || got.Inject != c.inject || got.Sentence == "" {
				t.Errorf("got %+v, want %s, inject %v", got, c.want, c.inject)
			}
		})
	}
}

func TestParseVersion(t *testing.T) {
	for text, want := range map[string]Version{
		"1.37": {1, 37}, "v1.37.2": {1, 37}, "v1.31.4-gke.1256000": {1, 31}, "1.27+": {1, 27}, "v1.29.0+k3s1": {1, 29},
	} {
		if got, err := ParseVersion(text); err != nil || got != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "1", "v1", "one.two", "1.", ".1", "99999.1", "-1.2"} {
		if v, err := ParseVersion(text); err == nil {
			t.Errorf("%q: accepted as %v", text, v)
		}
	}
}
