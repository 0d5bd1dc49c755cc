package deploy

//go:generate go test -run AreRendered|IsGenerated . -update

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/inject"
	"github.com/outrider-mesh/outrider/test/kube"
	"github.com/outrider-mesh/outrider/webhook/registration"
)

func TestMain(m *testing.M) { os.Exit(kube.MainAudited(m)) }

var update = flag.Bool("update", false, "write the generated files")

const program, settings = "outrider.yaml", "settings.yaml"

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
	// to have none. Objects apply in their own namespace, and those of the root namespace
	// where they state more.
	want, _ := config.Parse(config.Texts{Mesh: `accessLogFile: /dev/stdout
defaultServiceExportTo: ['.']
defaultVirtualServiceExportTo: ['.']
serviceEntryVisibility: {applyToSidecars: true, defaultVisibility: NAMESPACE, policies: [
  {visibility: PUBLIC, matchingRules: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: istio-system}}}]}]}`}, config.Labels{})
	if got.Hash != want.Hash {
		t.Errorf("hash %s, want that of the defaults with an access log and own namespaces, %s", got.Hash, want.Hash)
	}
}

// deployment returns one of the Deployments.
func deployment(t testing.TB, name string) appsv1.Deployment {
	t.Helper()
	for _, d := range documents[appsv1.Deployment](t, program, "Deployment") {
		if d.Name == name {
			return d
		}
	}
	t.Fatalf("%s has no Deployment %s", program, name)
	return appsv1.Deployment{}
}

// serving returns the Deployments whose pods are endpoints of a Service's port.
func serving(t testing.TB, s *corev1.Service, port corev1.ServicePort) (out []string) {
	t.Helper()
	for _, d := range documents[appsv1.Deployment](t, program, "Deployment") {
		pod := d.Spec.Template
		if !labels.SelectorFromSet(s.Spec.Selector).Matches(labels.Set(pod.Labels)) {
			continue
		}
		for _, p := range pod.Spec.Containers[0].Ports {
			if p.Name == port.TargetPort.StrVal {
				out = append(out, d.Name)
			}
		}
	}
	slices.Sort(out)
	return out
}

// Each port of a Service has the pods of one component as its endpoints.
func TestServicesReachTheirComponents(t *testing.T) {
	got := map[string][]string{}
	for _, s := range documents[corev1.Service](t, program, "Service") {
		for _, p := range s.Spec.Ports {
			got[fmt.Sprintf("%s:%d", s.Name, p.Port)] = serving(t, &s, p)
		}
	}
	want := map[string][]string{
		"outrider:443": {"outrider"}, "outrider:15012": {"outrider-xds"}, "outrider:15014": {"outrider", "outrider-xds"},
		"outrider-xds:443": {"outrider-xds"}, "outrider-xds:15012": {"outrider-xds"},
	}
	if !maps.EqualFunc(got, want, slices.Equal) {
		t.Errorf("the endpoints are of\n%v, want\n%v", got, want)
	}
	// The name that sidecars have, also those of an earlier version.
	injector, problems := inject.Compile(config.Default(), inject.Environment{})
	if injector == nil {
		t.Fatal(problems.Err())
	}
	if address := injector.Config().Mesh.GetDefaultConfig().GetDiscoveryAddress(); address != "outrider.istio-system.svc:15012" {
		t.Errorf("sidecars connect to %s, which no Service is named after", address)
	}
	for _, c := range documents[admissionregistrationv1.ValidatingWebhookConfiguration](t, program, "ValidatingWebhookConfiguration") {
		for _, w := range c.Webhooks {
			s, want := w.ClientConfig.Service, "outrider"
			if *s.Path == registration.ValidatePath {
				want = "outrider-xds" // which watches the objects
			}
			if s.Name != want || s.Namespace != namespace || *s.Port != 443 {
				t.Errorf("webhook %s calls %s/%s:%d, want %s", w.Name, s.Namespace, s.Name, *s.Port, want)
			}
		}
	}
	for _, c := range documents[admissionregistrationv1.MutatingWebhookConfiguration](t, program, "MutatingWebhookConfiguration") {
		for _, w := range c.Webhooks {
			if s := w.ClientConfig.Service; s.Name != "outrider" || s.Namespace != namespace || *s.Port != 443 {
				t.Errorf("webhook %s calls %s/%s:%d", w.Name, s.Namespace, s.Name, *s.Port)
			}
		}
	}
}

// Each component is a Deployment of its own: image, arguments, account, memory,
// disruption budget. No other selector selects its pods.
func TestComponentsAreSeparate(t *testing.T) {
	for name, component := range map[string]string{"outrider": "webhook", "outrider-xds": "xds"} {
		d := deployment(t, name)
		pod := d.Spec.Template
		c := pod.Spec.Containers[0]
		if want := "docker.io/outrider/outrider:" + config.DefaultTag; c.Image != want {
			t.Errorf("%s: image %s, want %s", name, c.Image, want)
		}
		if !slices.Contains(c.Args, "--components="+component) || pod.Spec.ServiceAccountName != name || *d.Spec.Replicas != 2 {
			t.Errorf("%s: arguments %q, account %s, %d replicas", name, c.Args, pod.Spec.ServiceAccountName, *d.Spec.Replicas)
		}
		if c.Resources.Limits.Memory().IsZero() || c.Resources.Requests.Memory().IsZero() || c.Resources.Requests.Cpu().IsZero() {
			t.Errorf("%s: resources %v", name, c.Resources)
		}
		own := map[string]string{"app": name}
		if !maps.Equal(d.Spec.Selector.MatchLabels, own) || pod.Labels["app"] != name {
			t.Errorf("%s: selector %v, labels %v", name, d.Spec.Selector.MatchLabels, pod.Labels)
		}
		if !slices.ContainsFunc(documents[policyv1.PodDisruptionBudget](t, program, "PodDisruptionBudget"), func(b policyv1.PodDisruptionBudget) bool {
			return maps.Equal(b.Spec.Selector.MatchLabels, own) && b.Spec.MaxUnavailable.IntValue() == 1
		}) {
			t.Errorf("%s: no PodDisruptionBudget", name)
		}
	}
}

// open is who may connect to each port of a component by the NetworkPolicies.
func open(t testing.TB, d appsv1.Deployment) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, n := range documents[networkingv1.NetworkPolicy](t, program, "NetworkPolicy") {
		if !maps.Equal(n.Spec.PodSelector.MatchLabels, d.Spec.Selector.MatchLabels) {
			continue
		}
		for _, rule := range n.Spec.Ingress {
			from := "everybody"
			for _, peer := range rule.From {
				from = "pods of the namespace"
				if peer.NamespaceSelector != nil {
					from = "all pods"
				}
			}
			for _, p := range rule.Ports {
				out[p.Port.StrVal] = from
			}
		}
	}
	return out
}

func TestNetworkPolicies(t *testing.T) {
	for name, want := range map[string]map[string]string{
		"outrider":     {"https-webhook": "everybody", "http-monitoring": "pods of the namespace"},
		"outrider-xds": {"https-validate": "everybody", "grpc-xds": "all pods", "http-monitoring": "pods of the namespace"},
	} {
		d := deployment(t, name)
		got := open(t, d)
		if !maps.Equal(got, want) {
			t.Errorf("%s is open to %v, want %v", name, got, want)
		}
		ports := d.Spec.Template.Spec.Containers[0].Ports
		for port := range got {
			if !slices.ContainsFunc(ports, func(p corev1.ContainerPort) bool { return p.Name == port }) {
				t.Errorf("%s: a rule for port %s, which the container does not have", name, port)
			}
		}
	}
}

// Every rule has a comment with its reason, and none is wider than necessary.
func TestRolesAreNarrowAndExplained(t *testing.T) {
	var rules []rbacv1.PolicyRule
	for _, r := range documents[rbacv1.ClusterRole](t, program, "ClusterRole") {
		rules = append(rules, r.Rules...)
	}
	for _, r := range documents[rbacv1.Role](t, program, "Role") {
		rules = append(rules, r.Rules...)
	}
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
