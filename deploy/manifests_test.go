package deploy

import (
	"flag"
	"os"
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

	// rendered begins what comes from webhook/registration.
	rendered = "# Rendered from webhook/registration; `go test ./deploy -update` writes it anew.\n"
)

func read(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// documents are those of a file, of one kind.
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

func TestRegistrationsAreThoseOfTheProgram(t *testing.T) {
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
		t.Errorf("%s differs from webhook/registration; run go test ./deploy -update and read the difference", program)
	}
	if strings.Contains(got, "caBundle") {
		t.Error("a caBundle in the manifest would overwrite what the program has patched")
	}
}

func TestSettingsAreTheDefaults(t *testing.T) {
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
	// A log is what people look for first, and Istio's default is to have none.
	want, _ := config.Parse(config.Texts{Mesh: "accessLogFile: /dev/stdout"}, config.Labels{})
	if got.Hash != want.Hash {
		t.Errorf("hash %s, of the defaults with a log %s", got.Hash, want.Hash)
	}
}

func TestPortsAndImageAreThoseOfTheProgram(t *testing.T) {
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
			t.Errorf("service port %s goes to %s, which the container does not have", p.Name, p.TargetPort.StrVal)
		}
	}
	for k, v := range service.Spec.Selector {
		if pod.Labels[k] != v {
			t.Errorf("the Service selects %s=%s, the pods have %q", k, v, pod.Labels[k])
		}
	}
	for _, m := range documents[admissionregistrationv1.MutatingWebhookConfiguration](t, program, "MutatingWebhookConfiguration") {
		for _, w := range m.Webhooks {
			if s := w.ClientConfig.Service; s.Name != service.Name || s.Namespace != service.Namespace || *s.Port != service.Spec.Ports[0].Port {
				t.Errorf("webhook %s goes to %s/%s:%d", w.Name, s.Namespace, s.Name, *s.Port)
			}
		}
	}
}

// Every rule has a comment before it, and none is wider than it needs to be.
func TestRolesAreNarrowAndExplained(t *testing.T) {
	rules := documents[rbacv1.ClusterRole](t, program, "ClusterRole")[0].Rules
	rules = append(rules, documents[rbacv1.Role](t, program, "Role")[0].Rules...)
	for _, r := range rules {
		all := strings.Join(append(append(append([]string{}, r.Verbs...), r.Resources...), r.APIGroups...), " ")
		if strings.Contains(all, "*") {
			t.Errorf("a wildcard in %+v", r)
		}
		writes := strings.Contains(all, "update") || strings.Contains(all, "patch") || strings.Contains(all, "delete")
		own := r.APIGroups[0] == "coordination.k8s.io" || r.APIGroups[0] == "events.k8s.io" || strings.HasSuffix(r.Resources[0], "/status")
		if writes && !own && len(r.ResourceNames) == 0 {
			t.Errorf("writes without a name: %+v", r)
		}
	}
	lines := strings.Split(read(t, program), "\n")
	for i, line := range lines {
		before := lines[max(0, i-1)]
		create := i+2 < len(lines) && strings.Contains(lines[i+2], "verbs: [create]") // explained with the rule above it
		if strings.HasPrefix(line, "- apiGroups:") && !strings.HasPrefix(before, "#") && !create {
			t.Errorf("line %d: a rule without its reason", i+1)
		}
	}
}
