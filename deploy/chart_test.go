package deploy

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"sigs.k8s.io/yaml"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/internal/revision"
	realhelm "github.com/outrider-mesh/outrider/test/helm"
	"github.com/outrider-mesh/outrider/webhook/registration"
)

// manifest is a file with the output of `helm template`.
type manifest struct {
	name, head string
	templates  []string // nil: those that no other file has
}

// manifests are rendered from the chart, with its default values.
var manifests = []manifest{
	{"outrider.yaml", `# Outrider: two Deployments of one program. "outrider" is the webhook, which injects
# pods; "outrider-xds" is the xDS control plane of the sidecars. Each has its own
# memory, CPU, service account and permissions, so that neither harms the other.
#
#   kubectl apply -f deploy/
#
# Rendered from deploy/chart by ` + "`go test ./deploy -update`" + `; do not edit. The webhook
# configurations have no caBundle: the program sets it, and only it, so applying this
# file again does not overwrite it.
apiVersion: v1
kind: Namespace
metadata:
  name: istio-system
---
`, nil},
	{"policy.yaml", "# Rendered from deploy/chart by `go test ./deploy -update`; do not edit.\n#\n", []string{"policy"}},
	{"settings.yaml", `# The two ConfigMaps with the configuration. They are in a separate file so that
# an upgrade, which applies outrider.yaml, keeps your edits. All values except
# accessLogFile and those about which namespaces see an object are the defaults.
#
# Rendered from deploy/chart by ` + "`go test ./deploy -update`" + `; edit a copy.
`, []string{"sidecar-injector-configmap", "mesh-configmap"}},
}

// helm runs Helm and returns its output.
func helm(t testing.TB, args ...string) string {
	t.Helper()
	out, messages, err := runHelm(t, args)
	if err != nil {
		t.Fatalf("helm %v: %v\n%s", args, err, messages)
	}
	return out
}

// helmFails runs Helm, which must fail, and returns its messages.
func helmFails(t testing.TB, args ...string) string {
	t.Helper()
	_, messages, err := runHelm(t, args)
	if err == nil {
		t.Errorf("helm %v: no error", args)
	}
	return messages
}

func runHelm(t testing.TB, args []string) (out, messages string, err error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), realhelm.Require(t), args...)
	cmd.Env = []string{"HOME=" + t.TempDir()} // no settings of the user
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	return stdout.String(), stderr.String(), err
}

// rendered are the documents of `helm template` with arguments, by the name of their
// template.
func rendered(t testing.TB, args ...string) (out []document) {
	t.Helper()
	text := helm(t, append([]string{"template", "outrider", "chart", "--namespace=istio-system", "--no-hooks"}, args...)...)
	for _, doc := range strings.Split("\n"+text, "\n---\n# Source: outrider/templates/")[1:] {
		name, body, _ := strings.Cut(doc, ".yaml\n")
		out = append(out, document{name, strings.Trim(body, "\n") + "\n"})
	}
	if len(out) == 0 {
		t.Fatalf("no documents in\n%s", text)
	}
	return out
}

// document is an object that the chart renders.
type document struct{ template, text string }

// The plain manifests are what Helm renders.
func TestManifestsAreRendered(t *testing.T) {
	schemaIsGenerated(t)
	pageIsGenerated(t)
	notesAreGenerated(t)
	copyCRDs(t)
	const metadata = "chart/Chart.yaml"
	envoy := regexp.MustCompile(`docker\.io/envoyproxy/envoy:.*`).ReplaceAllString(read(t, metadata), config.Default().Values.Global.Proxy.Image)
	for path, text := range map[string]string{webhookTemplate: webhookConfigurations(t), tagTemplate: tagConfigurations(t), metadata: envoy} {
		if *update {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if read(t, path) != text {
			t.Errorf("%s differs from webhook/registration, or from the default image of Envoy; run go test ./deploy -update and review the diff", path)
		}
	}
	docs := rendered(t)
	var elsewhere []string
	for _, m := range manifests {
		elsewhere = append(elsewhere, m.templates...)
	}
	for _, m := range manifests {
		var texts []string
		for _, d := range docs {
			if slices.Contains(m.templates, d.template) || m.templates == nil && !slices.Contains(elsewhere, d.template) {
				texts = append(texts, d.text)
			}
		}
		want := m.head + strings.Join(texts, "---\n")
		if *update {
			if err := os.WriteFile(m.name, []byte(want), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if read(t, m.name) != want {
			t.Errorf("%s differs from the chart; run go test ./deploy -update and review the diff", m.name)
		}
		if regexp.MustCompile(`(?m)^ +caBundle:`).MatchString(want) {
			t.Errorf("%s: a caBundle would overwrite the one that the program has set", m.name)
		}
	}
}

// The template of the webhook configurations renders what webhook/registration makes.
func TestChartRendersRegistration(t *testing.T) {
	for name, tt := range map[string]struct {
		args []string
		want registration.Options
	}{
		"default":    {nil, registration.Options{}},
		"a revision": {[]string{"--set=revision=canary"}, registration.Options{Revision: "canary"}},
		"a revision like a number, a namespace like one": {
			[]string{"--set-string=revision=120", "--namespace=1234"}, registration.Options{Revision: "120", Namespace: "1234"},
		},
		"the default revision elsewhere": {[]string{"--set=defaultRevision=canary"}, registration.Options{DefaultRevision: "canary"}},
		"another default revision": {
			[]string{"--set=revision=canary,defaultRevision=canary"}, registration.Options{Revision: "canary", DefaultRevision: "canary"},
		},
		"tags": {
			[]string{"--set=revision=canary,revisionTags={prod,default,canary,a1},sidecarInjectorWebhook.enableNamespacesByDefault=true"},
			registration.Options{Revision: "canary", Tags: []revision.Tag{"prod", "default", "a1"}, Auto: true},
		},
		"every namespace": {[]string{"--set=sidecarInjectorWebhook.enableNamespacesByDefault=true"}, registration.Options{Auto: true}},
	} {
		t.Run(name, func(t *testing.T) {
			want := tt.want
			if want.Namespace == "" {
				want.Namespace = "istio-system"
			}
			want.Service, want.XDSService = want.Revision.Name("outrider"), want.Revision.Name("outrider-xds")
			var mutating []*admissionregistrationv1.MutatingWebhookConfiguration
			var validating admissionregistrationv1.ValidatingWebhookConfiguration
			for _, d := range rendered(t, tt.args...) {
				var err error
				switch {
				case strings.Contains(d.text, "\nkind: MutatingWebhookConfiguration\n"):
					next := &admissionregistrationv1.MutatingWebhookConfiguration{}
					err = yaml.UnmarshalStrict([]byte(d.text), next)
					next.Annotations = nil // Helm's
					mutating = append(mutating, next)
				case strings.Contains(d.text, "\nkind: ValidatingWebhookConfiguration\n"):
					err = yaml.UnmarshalStrict([]byte(d.text), &validating)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			slices.SortFunc(mutating, func(a, b *admissionregistrationv1.MutatingWebhookConfiguration) int {
				return strings.Compare(b.Name, a.Name)
			})
			all := append(want.TagConfigurations(), want.Mutating())
			slices.SortFunc(all, func(a, b *admissionregistrationv1.MutatingWebhookConfiguration) int {
				return strings.Compare(b.Name, a.Name)
			})
			if !equality.Semantic.DeepEqual(mutating, all) || !equality.Semantic.DeepEqual(&validating, want.Validating()) {
				t.Errorf("rendered\n%+v\n%+v", mutating, validating)
			}
		})
	}
}

// copyCRDs compares the CRDs of the chart with those that the program creates.
func copyCRDs(t *testing.T) {
	t.Helper()
	for _, name := range []string{"egressreport.yaml", "serviceentry.yaml", "virtualservice.yaml", "sidecar.yaml"} {
		want, to := read(t, "crds/"+name), "chart/files/crds/"+name
		if *update {
			if err := os.WriteFile(to, []byte(want), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if read(t, to) != want {
			t.Errorf("%s differs from crds/%s; run go test ./deploy -update", to, name)
		}
	}
}
