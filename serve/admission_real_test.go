package serve

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/outrider-mesh/outrider/internal/revision"
	"github.com/outrider-mesh/outrider/webhook/registration"
)

// validateEdits registers the instance for edits of its ConfigMaps, too, and waits
// until the API server asks.
func (i *instance) validateEdits() {
	i.t.Helper()
	r := registration.Options{Revision: revision.Revision(i.revision), Namespace: i.namespace, URL: i.url, CABundle: i.ca}
	api := i.Client.AdmissionregistrationV1().ValidatingWebhookConfigurations()
	now, err := api.Get(i.t.Context(), r.Validating().Name, metav1.GetOptions{})
	i.must(err)
	now.Webhooks = r.Validating().Webhooks
	_, err = api.Update(i.t.Context(), now, metav1.UpdateOptions{})
	i.must(err)
	i.eventually("the API server asks about ConfigMaps", func() string {
		out, err := i.kubectl(i.named("{values: x}"), "apply", "--dry-run=server", "-f", "-")
		if err == nil {
			return "not yet: " + out
		}
		return ""
	})
}

// named is the instance's istio-sidecar-injector with data.
func (i *instance) named(data string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio-sidecar-injector-%s, namespace: %s}\ndata: %s\n", i.revision, i.namespace, data)
}

// kubectl runs it with a text on standard input, and returns what it wrote.
func (i *instance) kubectl(text string, args ...string) (string, error) {
	i.t.Helper()
	cmd := i.Kubectl(i.t.Context(), args...)
	cmd.Stdin = strings.NewReader(text)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// object is a text whose object is validated by this instance.
func (i *instance) object(kind, version, name, spec string) string {
	return fmt.Sprintf("---\napiVersion: networking.istio.io/%s\nkind: %s\nmetadata: {name: %s, labels: {istio.io/rev: %s}}\nspec: %s\n", version, kind, name, i.revision, spec)
}

const (
	goodSpec = "{hosts: [a.example], ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS}"
	badSpec  = `{hosts: [a.example, "*"], ports: [{number: 0, name: http, protocol: HTTP}], resolution: DNS}`
)

// applied is an object to apply and what kubectl prints then.
type applied struct{ name, text, want string }

const deniedObject = `admission webhook "rev.validation.istio.io" denied the request: `

// What users see when they apply invalid objects, in all versions.
func TestObjectsAreValidatedAtAdmission(t *testing.T) {
	i := startInstance(t, "").ready()
	ns := i.Namespace(t, nil)
	i.awaitObjects(ns)
	for _, version := range []string{"v1", "v1beta1", "v1alpha3"} {
		i.applyAll(ns, version)
	}
	if out, err := i.kubectl("", "get", "-n", ns, "serviceentry/bad"); err == nil {
		t.Errorf("it was stored: %s", out)
	}
	i.dryRuns(ns)
	i.edits(ns)
	i.conflicts(ns)
	i.otherRevisions(ns)
	if n := i.metric("outrider_validation_requests_total", "serviceentries", "denied"); n < 9 {
		t.Errorf("%v denials counted", n)
	}

	// While the webhook is unavailable nothing is denied.
	i.replica.Stop()
	if out, err := i.kubectl(i.entry("v1", "late", badSpec), "apply", "-n", ns, "-f", "-"); err != nil {
		t.Errorf("while the webhook is unavailable: %v\n%s", err, out)
	}
}

func (i *instance) entry(version, name, spec string) string {
	return i.object("ServiceEntry", version, name, spec)
}

// applyAll applies valid and invalid objects of a version.
func (i *instance) applyAll(ns, version string) {
	i.t.Helper()
	for _, tt := range []applied{
		{"a valid object", i.entry(version, "good-"+version, goodSpec), "serviceentry.networking.istio.io/good-" + version + " created\n"},
		{"an invalid one", i.entry(version, "bad", badSpec), "Error from server (BadRequest): error when creating \"STDIN\": " + deniedObject + "ServiceEntry " + ns + "/bad: 2 problems\n" +
			`- spec.ports[0].number: "0": port number must be in the range 1..65535; use the port that applications connect to` + "\n" +
			`- spec.hosts[1]: "*": wildcard host "*" is not allowed; use a name such as httpbin.org or *.example.com` + "\n"},
		{"of several, the valid ones are stored", i.entry(version, "bad", badSpec) + i.entry(version, "second-"+version, goodSpec),
			"serviceentry.networking.istio.io/second-" + version + " created\n"},
		{"a warning", i.entry(version, "warned-"+version, `{hosts: ["`+version+`.a.example"], ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS, subjectAltNames: [x]}`),
			"Warning: ServiceEntry " + ns + "/warned-" + version + ": spec.subjectAltNames: no effect: the sidecar does not originate TLS; remove it\n" +
				"serviceentry.networking.istio.io/warned-" + version + " created\n"},
		{"routes", i.object("VirtualService", version, "bad", `{hosts: [a.example], http: [{timeout: -1s, route: [{destination: {host: a.example}}]}]}`),
			deniedObject + "VirtualService " + ns + `/bad: spec.http[0].timeout: "-1s": duration must be at least 1ms; use a duration such as 3s, or 0s for none`},
	} {
		out, err := i.kubectl(tt.text, "apply", "-n", ns, "-f", "-")
		if !strings.Contains(out, tt.want) || (err == nil) == strings.Contains(out, deniedObject) {
			i.t.Errorf("%s, %s: %v\n%s\nwant\n%s", tt.name, version, err, out, tt.want)
		}
	}
}

// dryRuns are validated alike, and store nothing.
func (i *instance) dryRuns(ns string) {
	i.t.Helper()
	for spec, want := range map[string]string{badSpec: deniedObject, goodSpec: "created (server dry run)"} {
		if out, _ := i.kubectl(i.entry("v1", "dry", spec), "apply", "-n", ns, "--dry-run=server", "-f", "-"); !strings.Contains(out, want) {
			i.t.Errorf("dry run: %s\nwant %s", out, want)
		}
	}
	if out, err := i.kubectl("", "get", "-n", ns, "serviceentry/dry"); err == nil {
		i.t.Errorf("the dry run stored: %s", out)
	}
}

// edits are validated: replace, patch and server-side apply.
func (i *instance) edits(ns string) {
	i.t.Helper()
	for _, args := range [][]string{
		{"patch", "se", "good-v1", "--type=merge", "-p", `{"spec": {"hosts": ["*"]}}`},
		{"apply", "--server-side", "--force-conflicts", "-f", "-"}, {"replace", "-f", "-"},
	} {
		out, err := i.kubectl(i.entry("v1", "good-v1", badSpec), append(args, "-n", ns)...)
		if err == nil || !strings.Contains(out, deniedObject) {
			i.t.Errorf("kubectl %v: %v\n%s", args, err, out)
		}
	}
}

// conflicts are warnings: another object takes precedence, once it is published.
func (i *instance) conflicts(ns string) {
	i.t.Helper()
	i.eventually("a conflict is a warning", func() string {
		out, err := i.kubectl(i.entry("v1", "later", goodSpec), "apply", "-n", ns, "--dry-run=server", "-f", "-")
		want := "Warning: ServiceEntry " + ns + `/later: spec.hosts: "a.example": no effect on port 80: conflicts with ServiceEntry ` + ns + "/good-v1, which takes precedence"
		if err != nil || !strings.Contains(out, want) {
			return out
		}
		return ""
	})
	elsewhere := i.Namespace(i.t, nil)
	out, err := i.kubectl(i.entry("v1", "there", goodSpec), "apply", "-n", elsewhere, "--dry-run=server", "-f", "-")
	if want := `spec.hosts: "a.example": ServiceEntry ` + ns + "/good-v1 takes precedence in other namespaces (older)"; err != nil || !strings.Contains(out, want) {
		i.t.Errorf("the same host in another namespace: %v\n%s\nwant %s", err, out, want)
	}
}

// otherRevisions' objects are not validated; and whatever is wrong with an object,
// it can be labelled, and be deleted with a finalizer.
func (i *instance) otherRevisions(ns string) {
	i.t.Helper()
	other := strings.ReplaceAll(i.entry("v1", "other", badSpec), "istio.io/rev: "+i.revision, "istio.io/rev: another")
	if out, err := i.kubectl(other, "apply", "-n", ns, "-f", "-"); err != nil {
		i.t.Errorf("another revision's: %v\n%s", err, out)
	}
	for _, args := range [][]string{
		{"label", "se", "other", "istio.io/rev=" + i.revision, "--overwrite"}, {"annotate", "se", "other", "a=b"},
		{"patch", "se", "other", "--type=merge", "-p", `{"metadata": {"finalizers": ["example.com/a"]}}`},
		{"delete", "se", "other", "--wait=false"},
		{"patch", "se", "other", "--type=merge", "-p", `{"metadata": {"finalizers": null}}`},
	} {
		if out, err := i.kubectl("", append(args, "-n", ns)...); err != nil {
			i.t.Errorf("kubectl %v: %v\n%s", args, err, out)
		}
	}
}

// awaitObjects waits until the API server asks about the instance's objects.
func (i *instance) awaitObjects(ns string) {
	i.t.Helper()
	i.eventually("the API server asks about objects", func() string {
		out, err := i.kubectl(i.object("ServiceEntry", "v1", "probe", badSpec), "apply", "-n", ns, "--dry-run=server", "-f", "-")
		if err == nil || !strings.Contains(out, "denied the request") {
			return out
		}
		return ""
	})
}

// An invalid edit of a ConfigMap is denied where it is made, with all errors.
func TestConfigMapsAreValidatedAtAdmission(t *testing.T) {
	i := startInstance(t, excludeOne).ready()
	i.validateEdits()
	const bad = `
  values: |
    global:
      proxy:
        excludeIPRanges: 10.0.0.0/33, 10.0.0.0/8
        includeIPRanges: "*, *"
        imag: x
  config: |
    policy: sometimes
`
	label := "ConfigMap " + i.namespace + "/istio-sidecar-injector-" + i.revision
	out, err := i.kubectl(i.named(bad), "apply", "-f", "-")
	for _, want := range []string{
		`admission webhook "configuration.validation.istio.io" denied the request: ` + label + ": 2 problems\n",
		"\n- " + `key "values":3:22: global.proxy.excludeIPRanges: "10.0.0.0/33": prefix length 33 exceeds 32 for IPv4; use a prefix length from 0 to 32` + "\n",
		"\n- " + `key "config":1:9: policy: "sometimes": `,
		"Warning: " + label + `: key "values":5:5: global.proxy.imag: unknown key; did you mean "image"?`,
	} {
		if err == nil || !strings.Contains(out, want) {
			t.Errorf("kubectl apply: %v\n%s\nwant %s", err, out, want)
		}
	}
	stored, err := i.kubectl("", "get", "-n", i.namespace, "configmap", "istio-sidecar-injector-"+i.revision, "-o", "jsonpath={.data}")
	if err != nil || strings.Contains(stored, "10.0.0.0/33") {
		t.Errorf("stored: %s, %v", stored, err)
	}
	mesh := func(text string) string {
		return fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio-%s, namespace: %s}\ndata: {mesh: %q}\n", i.revision, i.namespace, text)
	}
	for _, tt := range []struct{ text, want string }{
		{mesh("outboundTrafficPolicy: {mode: SOMETIMES}\n"), `key "mesh":1:31: outboundTrafficPolicy.mode: "SOMETIMES": must be one of `},
		{mesh("a: b\naccessLogFormat: 100% x\n"), `key "mesh":2:18: accessLogFormat: "100% x": `},
		{mesh("accessLogFile: /dev/stdout\n"), "created (server dry run)"},
		{mesh("acessLogFile: /dev/stdout\n"), `key "mesh":1:1: acessLogFile: unknown key; did you mean "accessLogFile"?`},
		{strings.Replace(mesh("["), "istio-", "other-", 1), "created (server dry run)"},
	} {
		if out, _ := i.kubectl(tt.text, "apply", "--dry-run=server", "-f", "-"); !strings.Contains(out, tt.want) {
			t.Errorf("%s\n%s\nwant %s", tt.text, out, tt.want)
		}
	}
	// kubectl edit fails as well, and keeps what was typed.
	editor := filepath.Join(t.TempDir(), "editor")
	i.must(os.WriteFile(editor, []byte("#!/bin/sh\nsed -i 's|excludeIPRanges: .*|excludeIPRanges: 10.0.0.0/33|' \"$1\"\n"), 0o700))
	cmd := i.Kubectl(t.Context(), "edit", "-n", i.namespace, "configmap", "istio-sidecar-injector-"+i.revision)
	cmd.Env = append(cmd.Env, "KUBE_EDITOR="+editor)
	if text, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(text), "denied the request") || !strings.Contains(string(text), `key "values":3:`) {
		t.Errorf("kubectl edit: %v\n%s", err, text)
	}

	// While the webhook is unavailable the ConfigMap can be fixed, or broken.
	i.replica.Stop()
	if out, err := i.kubectl(i.named(bad), "apply", "-f", "-"); err != nil {
		t.Errorf("while the webhook is unavailable: %v\n%s", err, out)
	}
}
