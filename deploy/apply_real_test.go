package deploy

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"

	"github.com/outrider-mesh/outrider/internal/revision"
	"github.com/outrider-mesh/outrider/serve"
	"github.com/outrider-mesh/outrider/test/kit"
	"github.com/outrider-mesh/outrider/test/kit/instance"
	"github.com/outrider-mesh/outrider/test/kit/testca"
	"github.com/outrider-mesh/outrider/test/kube"
)

const (
	namespace         = "istio-system"
	configurationName = "outrider-sidecar-injector"
)

// kubectl runs kubectl and returns its output.
func kubectl(t testing.TB, s *kube.Server, args ...string) string {
	t.Helper()
	out, err := s.Kubectl(t.Context(), args...).CombinedOutput()
	if err != nil {
		t.Fatalf("kubectl %v: %v\n%s", args, err, out)
	}
	return string(out)
}

func TestManifestsAreAccepted(t *testing.T) {
	s := kube.Require(t)
	first := kubectl(t, s, "apply", "--warnings-as-errors", "-f", ".")
	if want := strings.Count(read(t, program)+read(t, settings), "\nkind: "); strings.Count(first, "\n") < want {
		t.Errorf("%d lines of output for %d objects:\n%s", strings.Count(first, "\n"), want, first)
	}
	// kubectl prints "configured" if it sends a patch of a field's whole value, so
	// the resource versions are compared.
	stored := func() string {
		return kubectl(t, s, "get", "-f", ".", "-o", `jsonpath={range .items[*]}{.kind}/{.metadata.name} {.metadata.resourceVersion}{"\n"}{end}`)
	}
	before := stored()
	kubectl(t, s, "apply", "--warnings-as-errors", "-f", ".")
	if after := stored(); after != before {
		t.Errorf("the second apply changed objects:\n%s\n%s", before, after)
	}
	// The patched caBundle survives an upgrade, with client-side and server-side apply.
	kubectl(t, s, "patch", "mutatingwebhookconfiguration", configurationName, "--type=json", "-p",
		`[{"op":"add","path":"/webhooks/0/clientConfig/caBundle","value":"`+bundle(t)+`"}]`)
	for _, mode := range [][]string{{"--dry-run=server"}, {"--dry-run=none"}, {"--server-side", "--force-conflicts"}} {
		kubectl(t, s, append([]string{"apply", "--warnings-as-errors", "-f", "."}, mode...)...)
		if kubectl(t, s, "get", "mutatingwebhookconfiguration", configurationName, "-o", "jsonpath={.webhooks[0].clientConfig.caBundle}") != bundle(t) {
			t.Errorf("apply %v removed the caBundle", mode)
		}
	}
}

var someBundle = sync.OnceValues(func() (string, error) {
	ca, _, _, err := testca.Files(time.Now(), time.Hour, "a")
	return base64.StdEncoding.EncodeToString(ca), err
})

// bundle returns the same caBundle on each call.
func bundle(t testing.TB) string {
	t.Helper()
	text, err := someBundle()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// The pods comply with the strictest Pod Security level.
func TestPodsAreRestricted(t *testing.T) {
	s := kube.Require(t)
	ns := s.Namespace(t, map[string]string{"pod-security.kubernetes.io/enforce": "restricted"})
	for _, d := range documents[appsv1.Deployment](t, program, "Deployment") {
		pod := d.Spec.Template
		pod.Spec.ServiceAccountName = ""
		_, err := s.Client.CoreV1().Pods(ns).Create(t.Context(), &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: d.Name, Labels: pod.Labels}, Spec: pod.Spec,
		}, metav1.CreateOptions{})
		if err != nil {
			t.Error(err)
		}
	}
}

// deployed is a server with the manifests, whose webhooks are at local addresses.
type deployed struct {
	*kube.Server
	t         testing.TB
	addresses map[serve.Component]string // that the API server calls
	tags      []revision.Tag
	log       auditLog
	mu        sync.Mutex
	denied    []string        // forbidden requests, by verb and path
	requested map[string]bool // all requests, by verb and path
}

// accounts are the names of the Deployments and of their service accounts.
var accounts = map[serve.Component]string{serve.Webhook: "outrider", serve.XDS: "outrider-xds"}

// client has the permissions of the component's service account.
func (d *deployed) client(c serve.Component) *rest.Config {
	return d.as(accounts[c])
}

func (d *deployed) as(account string) *rest.Config {
	c := rest.CopyConfig(d.Config)
	c.Impersonate = rest.ImpersonationConfig{
		UserName: "system:serviceaccount:" + namespace + ":" + account,
		Groups:   []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace, "system:authenticated"},
	}
	c.Wrap(func(next http.RoundTripper) http.RoundTripper { return watching{d, next} })
	return c
}

// watching records requests, and those that are forbidden.
type watching struct {
	d    *deployed
	next http.RoundTripper
}

func (w watching) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := w.next.RoundTrip(r)
	w.d.mu.Lock()
	defer w.d.mu.Unlock()
	if w.d.requested == nil {
		w.d.requested = map[string]bool{}
	}
	w.d.requested[r.Method+" "+r.URL.Path] = true
	// A policy that denies answers 422.
	if err == nil && (resp.StatusCode == http.StatusForbidden || resp.StatusCode == http.StatusUnprocessableEntity) {
		w.d.denied = append(w.d.denied, r.Method+" "+r.URL.String())
	}
	return resp, err
}

// asked reports whether a replica has sent a request, by verb and path.
func (d *deployed) asked(request string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.requested[request]
}

func (d *deployed) must(err error) {
	d.t.Helper()
	kit.Must(d.t, err)
}

func (d *deployed) eventually(what string, check func() error) {
	d.t.Helper()
	_, err := kit.Wait{}.Until(context.Background(), check)
	if err != nil {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.t.Fatalf("%s: %v; forbidden: %q", what, err, d.denied)
	}
}

func deploy(t testing.TB) *deployed {
	t.Helper()
	klog.SetLogger(logr.Discard())
	d := &deployed{Server: kube.Require(t), t: t, addresses: map[serve.Component]string{
		serve.Webhook: kit.FreeAddress(t), serve.XDS: kit.FreeAddress(t),
	}}
	kubectl(t, d.Server, "apply", "-f", ".")
	// There are no nodes, so the Services have no endpoints: use local addresses.
	for _, kind := range []string{"mutating", "validating"} {
		name := kind + "webhookconfiguration/" + configurationName
		var c struct {
			Webhooks []admissionregistrationv1.ValidatingWebhook // the clientConfig of both kinds has the same form
		}
		d.must(json.Unmarshal([]byte(kubectl(t, d.Server, "get", name, "-o", "json")), &c))
		var ops []map[string]any
		for n, w := range c.Webhooks {
			address := d.addresses[serve.Webhook]
			if w.ClientConfig.Service.Name == accounts[serve.XDS] {
				address = d.addresses[serve.XDS]
			}
			ops = append(ops, map[string]any{"op": "replace", "path": fmt.Sprintf("/webhooks/%d/clientConfig", n),
				"value": map[string]any{"url": "https://" + address + *w.ClientConfig.Service.Path}})
		}
		patch, err := json.Marshal(ops)
		d.must(err)
		kubectl(t, d.Server, "patch", name, "--type=json", "-p", string(patch))
	}
	t.Cleanup(func() {
		out, err := d.Kubectl(context.Background(), "delete", "--ignore-not-found", "--wait=false", "mutatingwebhookconfiguration/"+configurationName, "validatingwebhookconfiguration/"+configurationName).CombinedOutput()
		if err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
	return d
}

// running is a replica of a component.
type running struct {
	health, xds string
	stop        func()
}

// start runs a replica as the component's Deployment does, at an address.
func (d *deployed) start(c serve.Component, address string) running {
	d.t.Helper()
	r := running{health: kit.FreeAddress(d.t), xds: kit.FreeAddress(d.t)}
	replica := instance.Run(d.t, string(c), func(ctx context.Context) error {
		return serve.Run(ctx, serve.Options{
			Components: []serve.Component{c}, Tags: d.tags,
			Cluster: d.client(c), Namespace: namespace, CertHosts: []string{"127.0.0.1"},
			Address: address, XDSAddress: r.xds, MetricsAddress: "0", HealthAddress: r.health, ShutdownDelay: 100 * time.Millisecond, PodCountInterval: time.Minute,
			Registry: prometheus.NewRegistry(), Log: instance.Log(string(c) + " " + address),
		})
	})
	r.stop = replica.Stop
	return r
}

// startBoth runs a replica of each component, where the API server calls them.
func (d *deployed) startBoth() (webhook, xds running) {
	d.t.Helper()
	xds = d.start(serve.XDS, d.addresses[serve.XDS])
	webhook = d.start(serve.Webhook, d.addresses[serve.Webhook])
	d.ready(webhook)
	d.ready(xds)
	return webhook, xds
}

func (d *deployed) ready(r running) {
	d.t.Helper()
	d.eventually("the replica is ready", func() error { return instance.Readyz(r.health) })
}

// nothingDenied fails the test if the API server has denied a request of a replica.
func (d *deployed) nothingDenied() {
	d.t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.denied) > 0 {
		d.t.Errorf("denied by the roles or the policy: %q", d.denied)
	}
}

// sleep creates a pod and returns its number of containers.
func (d *deployed) sleep(ns, name string) (int, error) {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": "sleep"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "sleep", Image: "sleep"}}},
	}
	made, err := d.Client.CoreV1().Pods(ns).Create(d.t.Context(), pod, metav1.CreateOptions{})
	if err != nil {
		return 0, err
	}
	return len(made.Spec.InitContainers) + len(made.Spec.Containers), nil
}

// The program runs with the permissions of the manifests alone: two replicas of each
// component, and while none is available. The hooks of the chart run with theirs. Each
// permission is used, and no request is denied.
func TestProgramRunsWithItsPermissions(t *testing.T) {
	d := deploy(t)
	log := d.startAudit()
	d.log = log
	d.installHooks()
	d.installPlatforms()
	shop := d.Namespace(t, map[string]string{"istio-injection": "enabled"})
	plain := d.Namespace(t, nil)

	d.failsClosed(shop, plain)
	webhook, xds := d.startBoth()
	d.injects(shop)
	d.verifies()
	d.createsCRDs()
	d.deniesInvalid(shop)
	bundle := d.caBundle()
	if bundle == "" {
		t.Error("no caBundle")
	}
	d.rejects(shop, "early", xds.xds, d.addresses[serve.XDS])
	// Second replicas take over, with the same certificate and permissions.
	second := []running{d.start(serve.Webhook, kit.FreeAddress(t)), d.start(serve.XDS, kit.FreeAddress(t))}
	for _, r := range second {
		d.ready(r)
	}
	webhook.stop()
	xds.stop()
	d.restoresCABundle(bundle)
	d.writesStatus(plain)
	d.writesReports(plain)
	d.readsAfterConflict(plain)
	d.readsNamespaces()
	d.maintainsConfigMap()
	d.restoresSecret()
	d.reportsRejectedConfiguration()
	for _, r := range second {
		r.stop()
	}
	d.uninstalls()
	d.nothingDenied()
	d.rightsAreUsed(log)
}

// readsNamespaces sets a mesh configuration that selects namespaces by their labels: the
// control plane reads them from then on.
func (d *deployed) readsNamespaces() {
	d.t.Helper()
	mesh := "serviceEntryVisibility: {applyToSidecars: true, policies: [{visibility: NAMESPACE, matchingRules: [{namespaceSelector: {matchLabels: {a: b}}}]}]}\n"
	kubectl(d.t, d.Server, "patch", "configmap", "istio", "-n", namespace, "--type=merge", "-p", fmt.Sprintf(`{"data":{"mesh":%q}}`, mesh))
	d.eventually("namespaces are read", func() error {
		seen, _, err := d.log.requests()
		if err == nil && !seen[right{"outrider-xds", "watch", "namespaces", "", ""}] {
			err = errors.New("they are not watched")
		}
		return err
	})
}

// failsClosed checks the webhook before the program runs: pods of the labelled
// namespace are denied, others are not.
func (d *deployed) failsClosed(labelled, plain string) {
	d.t.Helper()
	d.eventually("pods in a labelled namespace are denied", func() error {
		_, err := d.sleep(labelled, "early")
		if err == nil {
			d.must(d.Client.CoreV1().Pods(labelled).Delete(d.t.Context(), "early", metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))}))
			return fmt.Errorf("admitted")
		}
		if !strings.Contains(err.Error(), `failed calling webhook "namespace.sidecar-injector.istio.io"`) {
			d.t.Errorf("the denial: %v", err)
		}
		return nil
	})
	if n, err := d.sleep(plain, "early"); err != nil || n != 1 {
		d.t.Errorf("a pod in another namespace: %d containers, %v", n, err)
	}
}

func (d *deployed) injects(ns string) {
	d.t.Helper()
	d.eventually("the same pod is injected", func() error {
		n, err := d.sleep(ns, "early")
		if err == nil && n != 3 {
			err = fmt.Errorf("%d containers", n)
		}
		return err
	})
	d.eventually("the namespace has its ConfigMap", func() error {
		c, err := d.Client.CoreV1().ConfigMaps(ns).Get(d.t.Context(), "outrider-ca", metav1.GetOptions{})
		if err == nil && (c.Data["ca.pem"] == "" || c.Data["sds-ca.yaml"] == "" || c.Data["sds-token.yaml"] == "") {
			err = fmt.Errorf("%v", c.Data)
		}
		return err
	})
}

func (d *deployed) createsCRDs() {
	d.t.Helper()
	for _, name := range strings.Fields(crdNames) {
		kubectl(d.t, d.Server, "wait", "--for=create", "--for=condition=Established", "--timeout=30s", "crd/"+name)
	}
}

// invalidValues are the arguments of kubectl for an edit with an error.
var invalidValues = []string{"-n", namespace, "patch", "configmap", "istio-sidecar-injector", "--type=merge", "-p", `{"data":{"values":"global: {proxy: {excludeIPRanges: junk}}"}}`}

func (d *deployed) deniesInvalid(ns string) {
	d.t.Helper()
	d.eventually("an invalid configuration is denied", func() error {
		out, err := d.Kubectl(d.t.Context(), append(slices.Clone(invalidValues), "--dry-run=server")...).CombinedOutput()
		if err == nil || !strings.Contains(string(out), `admission webhook "configuration.validation.istio.io" denied the request: `) {
			return fmt.Errorf("got %s", out)
		}
		return nil
	})
	d.eventually("an invalid ServiceEntry is denied", func() error {
		cmd := d.Kubectl(d.t.Context(), "apply", "-n", ns, "-f", "-")
		cmd.Stdin = strings.NewReader("apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: a}\nspec: {hosts: ['*']}\n")
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), `admission webhook "validation.istio.io" denied the request: `) {
			return fmt.Errorf("got %s", out)
		}
		return nil
	})
}

func (d *deployed) caBundle() string {
	d.t.Helper()
	return kubectl(d.t, d.Server, "get", "mutatingwebhookconfiguration", configurationName, "-o", "jsonpath={.webhooks[*].clientConfig.caBundle}")
}

func (d *deployed) restoresCABundle(bundle string) {
	d.t.Helper()
	_, err := d.Client.AdmissionregistrationV1().MutatingWebhookConfigurations().Patch(d.t.Context(), configurationName, types.JSONPatchType,
		[]byte(`[{"op":"replace","path":"/webhooks/0/clientConfig/caBundle","value":""}]`), metav1.PatchOptions{})
	d.must(err)
	d.eventually("the second replica restores the caBundle", func() error {
		if d.caBundle() != bundle {
			return fmt.Errorf("not yet")
		}
		return nil
	})
}

// writesStatus applies an invalid object. The first replicas, whose addresses are
// registered, have stopped, so no webhook validates it before.
func (d *deployed) writesStatus(ns string) {
	d.t.Helper()
	apply := d.Kubectl(d.t.Context(), "apply", "-n", ns, "-f", "-")
	apply.Stdin = strings.NewReader("{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: a}, spec: {hosts: ['*']}}")
	if out, err := apply.CombinedOutput(); err != nil {
		d.t.Fatalf("%v: %s", err, out)
	}
	kubectl(d.t, d.Server, "wait", "-n", ns, "--for=condition=Accepted=False", "--timeout=30s", "serviceentry/a")
}

// maintainsConfigMap follows the ConfigMap of an empty namespace: created,
// restored, and deleted when the namespace is no longer selected.
func (d *deployed) maintainsConfigMap() {
	d.t.Helper()
	ns := d.Namespace(d.t, map[string]string{"istio-injection": "enabled"})
	exists := func(want bool) {
		d.t.Helper()
		d.eventually(fmt.Sprintf("ConfigMap of an empty namespace exists: %v", want), func() error {
			_, err := d.Client.CoreV1().ConfigMaps(ns).Get(d.t.Context(), "outrider-ca", metav1.GetOptions{})
			if (err == nil) != want {
				return fmt.Errorf("exists: %v", err == nil)
			}
			return nil
		})
	}
	exists(true)
	_, err := d.Client.CoreV1().ConfigMaps(ns).Patch(d.t.Context(), "outrider-ca", types.MergePatchType, []byte(`{"data":{"ca.pem":"junk"}}`), metav1.PatchOptions{})
	d.must(err)
	d.eventually("the ConfigMap is restored", func() error {
		c, err := d.Client.CoreV1().ConfigMaps(ns).Get(d.t.Context(), "outrider-ca", metav1.GetOptions{})
		if err == nil && c.Data["ca.pem"] == "junk" {
			err = fmt.Errorf("still junk")
		}
		return err
	})
	kubectl(d.t, d.Server, "label", "namespace", ns, "istio-injection-")
	exists(false)
}

// restoresSecret deletes the CA key, and then removes it from its Secret. Each makes the
// leader issue a new CA. The key is not where the control plane reads.
func (d *deployed) restoresSecret() {
	d.t.Helper()
	for _, line := range []string{"delete secret outrider-ca-key", `patch secret outrider-ca-key --type=json -p [{"op":"remove","path":"/data"}]`} {
		kubectl(d.t, d.Server, append([]string{"-n", namespace}, strings.Fields(line)...)...)
		d.eventually("the Secret has a key again", func() error {
			s, err := d.Client.CoreV1().Secrets(namespace).Get(d.t.Context(), "outrider-ca-key", metav1.GetOptions{})
			if err == nil && len(s.Data["ca.key"]) == 0 {
				err = errors.New("no key")
			}
			return err
		})
	}
	if kubectl(d.t, d.Server, "-n", namespace, "get", "secret", "outrider-certs", "-o", `jsonpath={.data.ca\.key}`) != "" {
		d.t.Error("the CA key is in Secret outrider-certs, which the control plane reads")
	}
}

// reportsRejectedConfiguration stores an invalid configuration, which no webhook denies
// because the registered replica has stopped, and then others. Each component counts in
// its event what it reports again about the same version of the ConfigMap.
func (d *deployed) reportsRejectedConfiguration() {
	d.t.Helper()
	kubectl(d.t, d.Server, invalidValues...)
	counted := func(path string) func() error {
		return func() error {
			out := kubectl(d.t, d.Server, "-n", namespace, "get", "events.events.k8s.io", "--field-selector=reason=ConfigurationRejected", "-o", "jsonpath={range .items[*]}{"+path+"} {end}")
			if len(strings.Fields(out)) < len(accounts) {
				return fmt.Errorf("events: %s", out)
			}
			return nil
		}
	}
	d.eventually("an event of each component reports the invalid configuration", counted(".eventTime"))
	for _, mode := range []string{"NONE", "SOME"} {
		kubectl(d.t, d.Server, "-n", namespace, "patch", "configmap", "istio", "--type=merge", "-p", `{"data":{"mesh":"outboundTrafficPolicy: {mode: `+mode+`}"}}`)
		time.Sleep(time.Second) // two edits within half a second are one
	}
	d.eventually("and counts", counted(".series.count"))
}

// Permissions that the program must not have; it also shows that the server
// enforces RBAC.
func TestProgramHasNoOtherPermissions(t *testing.T) {
	d := &deployed{Server: kube.Require(t), t: t}
	kubectl(t, d.Server, "apply", "-f", ".")
	neither := []string{
		"get secrets -n kube-system", "list secrets -n " + namespace, "delete secrets/outrider-certs -n " + namespace,
		"get configmaps/other -n default", "delete pods -n default", "create pods -n default",
		"create mutatingwebhookconfigurations", "patch mutatingwebhookconfigurations/other",
		"update mutatingwebhookconfigurations/" + configurationName, "delete validatingwebhookconfigurations/" + configurationName,
		"update leases -n kube-system", "patch egressreports -n default", "patch namespaces/default", "patch nodes/a", "create services -n default", "create servicecidrs",
		"get configmaps/extension-apiserver-authentication -n kube-system", "get networks.config.openshift.io/other",
		"get customresourcedefinitions/other", "update customresourcedefinitions/serviceentries.networking.istio.io",
		"patch serviceentries -n default", "delete virtualservices -n default", "update serviceentries/status -n default",
		"patch customresourcedefinitions/serviceentries.networking.istio.io", "delete customresourcedefinitions/serviceentries.networking.istio.io",
		"create serviceaccounts/token -n " + namespace, "create rolebindings -n " + namespace, "create leases -n kube-system", "patch pods -n default",
	}
	for account, others := range map[string][]string{
		"outrider": {
			"list serviceentries", "list virtualservices", "patch serviceentries/status -n default", "create customresourcedefinitions",
			"create tokenreviews", "create subjectaccessreviews", "create events.events.k8s.io -n default",
		},
		"outrider-xds": {
			"get mutatingwebhookconfigurations/" + configurationName, "patch mutatingwebhookconfigurations/" + configurationName,
			"get secrets/outrider-ca-key -n " + namespace, "create configmaps -n default", "update configmaps/outrider-ca -n default",
			"create secrets -n " + namespace, "update secrets/outrider-certs -n " + namespace, "list leases -n " + namespace,
		},
	} {
		for _, may := range slices.Concat(neither, others) {
			args := append([]string{"auth", "can-i", "--as=system:serviceaccount:" + namespace + ":" + account}, strings.Fields(may)...)
			out, err := d.Kubectl(t.Context(), args...).Output()
			if err == nil || strings.TrimSpace(string(out)) != "no" {
				t.Errorf("%s may %s: %s", account, may, out)
			}
		}
	}
}
