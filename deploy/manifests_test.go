package deploy

import (
	"flag"
	"os"
	"slices"
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/test/kube"
	"github.com/outrider-mesh/outrider/webhook/registration"
)

func TestMain(m *testing.M) { os.Exit(kube.Main(m)) }

var update = flag.Bool("update", false, "write the rendered part of outrider.yaml")

const (
	program, settings = "outrider.yaml", "settings.yaml"

	// rendered is the first line of the part rendered from webhook/registration.
	rendered = "# Rendered from webhook/registration by `go test ./deploy -update`; do not edit.\n"
)

func read(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// documents returns the documents of a kind in a file.
func documents[T any](t testing.TB, file, kind string) (out []T) {
	t.Helper()
	for _, text := range strings.Split(read(t, file), "\n---\n") {
		var meta struct{ Kind string }
		if err := yaml.Unmarshal([]byte(text), &meta); err != nil {
			t.Fatal(err)
		}
		if meta.Kind != kind {
			continue
		}
		var object T
		if err := yaml.UnmarshalStrict([]byte(text), &object); err != nil {
			t.Fatalf("%s, %s: %v", file, kind, err)
		}
		out = append(out, object)
	}
	if len(out) == 0 {
		t.Fatalf("%s has no %s", file, kind)
	}
	return out
}

func TestWebhookConfigurationsAreRendered(t *testing.T) {
	r := registration.Options{Namespace: "istio-system", Service: "outrider"}
	want := rendered
	for i, object := range []any{r.Mutating(), r.Validating()} {
		doc, err := yaml.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		if i > 0 {
			want += "---\n"
		}
		want += string(doc)
	}
	text := read(t, program)
	written, got, _ := strings.Cut(text, "---\n"+rendered)
	if *update {
		if err := os.WriteFile(program, []byte(written+"---\n"+want), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if rendered+got != want {
		t.Errorf("%s differs from webhook/registration; run go test ./deploy -update and review the diff", program)
	}
	if strings.Contains(got, "caBundle") {
		t.Error("a caBundle in the manifest would overwrite the one that the program has set")
	}
}

func TestSettingsAreDefaults(t *testing.T) {
	var texts config.Texts
	for _, m := range documents[corev1.ConfigMap](t, settings, "ConfigMap") {
		switch m.Name {
		case "istio-sidecar-injector":
			texts.Config, texts.Values = m.Data["config"], m.Data["values"]
		case "istio":
			texts.Mesh = m.Data["mesh"]
		}
	}
	got, problems := config.Parse(texts, config.Labels{})
	if len(problems) > 0 {
		t.Fatalf("%v", problems)
	}
	// The access log is enabled, because users look for it first; Istio's default is
	// to have none.
	want, _ := config.Parse(config.Texts{Mesh: "accessLogFile: /dev/stdout"}, config.Labels{})
	if got.Hash != want.Hash {
		t.Errorf("hash %s, want that of the defaults with an access log, %s", got.Hash, want.Hash)
	}
}

func TestPortsAndImageMatchTheProgram(t *testing.T) {
	pod := documents[appsv1.Deployment](t, program, "Deployment")[0].Spec.Template
	if want := "docker.io/outrider/outrider:" + config.DefaultTag; pod.Spec.Containers[0].Image != want {
		t.Errorf("image %s, want %s", pod.Spec.Containers[0].Image, want)
	}
	ports := map[string]int32{}
	for _, p := range pod.Spec.Containers[0].Ports {
		ports[p.Name] = p.ContainerPort
	}
	service := documents[corev1.Service](t, program, "Service")[0]
	for _, p := range service.Spec.Ports {
		if ports[p.TargetPort.StrVal] == 0 {
			t.Errorf("service port %s targets %s, which the container does not have", p.Name, p.TargetPort.StrVal)
		}
	}
	for k, v := range service.Spec.Selector {
		if pod.Labels[k] != v {
			t.Errorf("the Service selects %s=%s; the pods have %q", k, v, pod.Labels[k])
		}
	}
	for _, m := range documents[admissionregistrationv1.MutatingWebhookConfiguration](t, program, "MutatingWebhookConfiguration") {
		for _, w := range m.Webhooks {
			if s := w.ClientConfig.Service; s.Name != service.Name || s.Namespace != service.Namespace || *s.Port != service.Spec.Ports[0].Port {
				t.Errorf("webhook %s calls %s/%s:%d", w.Name, s.Namespace, s.Name, *s.Port)
			}
		}
	}
}

// Every rule has a comment with its reason, and none is wider than necessary.
func TestRolesAreNarrowAndExplained(t *testing.T) {
	rules := documents[rbacv1.ClusterRole](t, program, "ClusterRole")[0].Rules
	rules = append(rules, documents[rbacv1.Role](t, program, "Role")[0].Rules...)
	for _, r := range rules {
		all := strings.Join(slices.Concat(r.Verbs, r.Resources, r.APIGroups, r.NonResourceURLs), " ")
		if strings.Contains(all, "*") {
			t.Errorf("a wildcard in %+v", r)
		}
		if len(r.NonResourceURLs) > 0 {
			if len(r.APIGroups)+len(r.Resources) > 0 || !slices.Equal(r.Verbs, []string{"get"}) {
				t.Errorf("more than reading paths: %+v", r)
			}
			continue
		}
		writes := strings.Contains(all, "update") || strings.Contains(all, "patch") || strings.Contains(all, "delete")
		own := r.APIGroups[0] == "coordination.k8s.io" || r.APIGroups[0] == "events.k8s.io" || strings.HasSuffix(r.Resources[0], "/status")
		if writes && !own && len(r.ResourceNames) == 0 {
			t.Errorf("write permission without resourceNames: %+v", r)
		}
	}
	lines := strings.Split(read(t, program), "\n")
	for i, line := range lines {
		before := lines[max(0, i-1)]
		create := i+2 < len(lines) && strings.Contains(lines[i+2], "verbs: [create]") // the reason is at the rule above
		if (strings.HasPrefix(line, "- apiGroups:") || strings.HasPrefix(line, "- nonResourceURLs:")) && !strings.HasPrefix(before, "#") && !create {
			t.Errorf("line %d: rule without a reason", i+1)
		}
	}
}
