package deploy

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/prometheus/client_golang/prometheus"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"

	"github.com/outrider-mesh/outrider/serve"
	"github.com/outrider-mesh/outrider/test/kit/testca"
	"github.com/outrider-mesh/outrider/test/kube"
)

const (
	namespace         = "istio-system"
	configurationName = "outrider-sidecar-injector"
)

// kubectl runs it and returns what it wrote.
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
		t.Errorf("%d lines of answer for %d objects:\n%s", strings.Count(first, "\n"), want, first)
	}
	// kubectl says "configured" where a patch of one field's whole value is sent;
	// what counts is that nothing is stored anew.
	stored := func() string {
		return kubectl(t, s, "get", "-f", ".", "-o", `jsonpath={range .items[*]}{.kind}/{.metadata.name} {.metadata.resourceVersion}{"\n"}{end}`)
	}
	before := stored()
	kubectl(t, s, "apply", "--warnings-as-errors", "-f", ".")
	if after := stored(); after != before {
		t.Errorf("applied again, something changed:\n%s\n%s", before, after)
	}
	// What the program patches survives an upgrade, whichever way it is applied.
	kubectl(t, s, "patch", "mutatingwebhookconfiguration", configurationName, "--type=json", "-p",
		`[{"op":"add","path":"/webhooks/0/clientConfig/caBundle","value":"`+bundle(t)+`"}]`)
	for _, mode := range [][]string{{"--dry-run=server"}, {"--dry-run=none"}, {"--server-side", "--force-conflicts"}} {
		kubectl(t, s, append([]string{"apply", "--warnings-as-errors", "-f", "."}, mode...)...)
		if kubectl(t, s, "get", "mutatingwebhookconfiguration", configurationName, "-o", "jsonpath={.webhooks[0].clientConfig.caBundle}") != bundle(t) {
			t.Errorf("apply %v took the caBundle away", mode)
		}
	}
}

var someBundle = sync.OnceValues(func() (string, error) {
	ca, _, _, err := testca.Files(time.Now(), time.Hour, "a")
	return base64.StdEncoding.EncodeToString(ca), err
})

// bundle is a caBundle, the same one each time.
func bundle(t testing.TB) string {
	t.Helper()
	text, err := someBundle()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// The pods meet the strictest Pod Security level.
func TestPodsAreRestricted(t *testing.T) {
	s := kube.Require(t)
	ns := s.Namespace(t, map[string]string{"pod-security.kubernetes.io/enforce": "restricted"})
	pod := documents[appsv1.Deployment](t, program, "Deployment")[0].Spec.Template
	pod.Spec.ServiceAccountName = ""
	_, err := s.Client.CoreV1().Pods(ns).Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "outrider", Labels: pod.Labels}, Spec: pod.Spec,
	}, metav1.CreateOptions{})
	if err != nil {
		t.Error(err)
	}
}

// deployed is the manifests applied, with the webhook at an address of ours.
type deployed struct {
	*kube.Server
	t       testing.TB
	address string
	mu      sync.Mutex
	denied  []string // answers that the role did not suffice, by verb and path
}

// client is what a pod of the Deployment may do: the service account's rights.
func (d *deployed) client() *rest.Config {
	c := rest.CopyConfig(d.Config)
	c.Impersonate = rest.ImpersonationConfig{
		UserName: "system:serviceaccount:" + namespace + ":outrider",
		Groups:   []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace, "system:authenticated"},
	}
	c.Wrap(func(next http.RoundTripper) http.RoundTripper { return watching{d, next} })
	return c
}

// watching notes what was forbidden.
type watching struct {
	d    *deployed
	next http.RoundTripper
}

func (w watching) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := w.next.RoundTrip(r)
	if err == nil && resp.StatusCode == http.StatusForbidden {
		w.d.mu.Lock()
		w.d.denied = append(w.d.denied, r.Method+" "+r.URL.String())
		w.d.mu.Unlock()
	}
	return resp, err
}

func (d *deployed) must(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

func (d *deployed) eventually(what string, check func() error) {
	d.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.t.Fatalf("%s: not within 30 s: %v; forbidden: %q", what, err, d.denied)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func deploy(t testing.TB) *deployed {
	t.Helper()
	klog.SetLogger(logr.Discard())
	d := &deployed{Server: kube.Require(t), t: t, address: free(t)}
	kubectl(t, d.Server, "apply", "-f", ".")
	// There are no nodes here, so the Service leads nowhere: an address instead.
	for _, kind := range []string{"mutating", "validating"} {
		name := kind + "webhookconfiguration/" + configurationName
		var c struct {
			Webhooks []admissionregistrationv1.ValidatingWebhook // whose client is written as the other kind's
		}
		d.must(json.Unmarshal([]byte(kubectl(t, d.Server, "get", name, "-o", "json")), &c))
		var ops []map[string]any
		for n, w := range c.Webhooks {
			ops = append(ops, map[string]any{"op": "replace", "path": fmt.Sprintf("/webhooks/%d/clientConfig", n),
				"value": map[string]any{"url": "https://" + d.address + *w.ClientConfig.Service.Path}})
		}
		patch, err := json.Marshal(ops)
		d.must(err)
		kubectl(t, d.Server, "patch", name, "--type=json", "-p", string(patch))
	}
	t.Cleanup(func() {
		out, err := d.Kubectl(context.Background(), "delete", "--wait=false", "mutatingwebhookconfiguration/"+configurationName, "validatingwebhookconfiguration/"+configurationName).CombinedOutput()
		if err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
	return d
}

func free(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// start runs a replica as the Deployment does, and returns how to stop it.
func (d *deployed) start(address string) (health string, stop func()) {
	d.t.Helper()
	health = free(d.t)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- serve.Run(ctx, serve.Options{
			Cluster: d.client(), Namespace: namespace, CertHosts: []string{"127.0.0.1"},
			Address: address, XDSAddress: free(d.t), MetricsAddress: "0", HealthAddress: health, ShutdownDelay: 100 * time.Millisecond,
			Registry: prometheus.NewRegistry(),
			Log: funcr.New(func(prefix, args string) {
				if testing.Verbose() {
					fmt.Println(address, prefix, args)
				}
			}, funcr.Options{}),
		})
		close(done)
	}()
	stop = func() {
		cancel()
		if err := <-done; err != nil {
			d.t.Errorf("serve: %v", err)
		}
	}
	d.t.Cleanup(stop)
	return health, stop
}

func (d *deployed) ready(health string) {
	d.t.Helper()
	d.eventually("the replica is ready", func() error {
		resp, err := http.Get("http://" + health + "/readyz")
		if err != nil {
			return err
		}
		defer func() { _ = resp.Body.Close() }()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s", resp.Status)
		}
		return nil
	})
}

// sleep creates the pod of that name, and reports how many containers it got.
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

// Everything the program does, it does with the rights of the manifests; two
// replicas; the webhook away and back.
func TestProgramRunsWithTheseRights(t *testing.T) {
	d := deploy(t)
	shop := d.Namespace(t, map[string]string{"istio-injection": "enabled"})
	plain := d.Namespace(t, nil)

	// Nobody answers yet: labelled namespaces are refused, others are not.
	d.eventually("pods in a labelled namespace are refused", func() error {
		_, err := d.sleep(shop, "early")
		if err == nil {
			d.must(d.Client.CoreV1().Pods(shop).Delete(t.Context(), "early", metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))}))
			return fmt.Errorf("admitted")
		}
		if !strings.Contains(err.Error(), `failed calling webhook "namespace.sidecar-injector.istio.io"`) {
			t.Errorf("the refusal: %v", err)
		}
		return nil
	})
	if n, err := d.sleep(plain, "early"); err != nil || n != 1 {
		t.Errorf("a pod elsewhere: %d containers, %v", n, err)
	}

	began := time.Now()
	health, stop := d.start(d.address)
	d.ready(health)
	t.Logf("ready %s after the first start, from nothing", time.Since(began).Round(time.Millisecond))
	d.eventually("the same pod is injected", func() error {
		n, err := d.sleep(shop, "early")
		if err == nil && n != 3 {
			err = fmt.Errorf("%d containers", n)
		}
		return err
	})
	d.eventually("the namespace has its ConfigMap", func() error {
		c, err := d.Client.CoreV1().ConfigMaps(shop).Get(t.Context(), "outrider-ca", metav1.GetOptions{})
		if err == nil && (c.Data["ca.pem"] == "" || c.Data["sds-ca.yaml"] == "" || c.Data["sds-token.yaml"] == "") {
			err = fmt.Errorf("%v", c.Data)
		}
		return err
	})

	for _, kind := range []string{"serviceentries", "virtualservices"} {
		kubectl(t, d.Server, "wait", "--for=create", "--for=condition=Established", "--timeout=30s", "crd/"+kind+".networking.istio.io")
	}

	bundle := kubectl(t, d.Server, "get", "mutatingwebhookconfiguration", configurationName, "-o", "jsonpath={.webhooks[*].clientConfig.caBundle}")
	if bundle == "" {
		t.Error("no caBundle")
	}

	// What cannot work is refused where it is applied.
	wrong := []string{"-n", namespace, "patch", "configmap", "istio-sidecar-injector", "--type=merge", "-p", `{"data":{"values":"global: {proxy: {excludeIPRanges: junk}}"}}`}
	d.eventually("a wrong configuration is refused", func() error {
		out, err := d.Kubectl(t.Context(), append(wrong, "--dry-run=server")...).CombinedOutput()
		if err == nil || !strings.Contains(string(out), `admission webhook "configuration.validation.istio.io" denied the request: `) {
			return fmt.Errorf("not so: %s", out)
		}
		return nil
	})
	d.eventually("a wrong ServiceEntry is refused", func() error {
		cmd := d.Kubectl(t.Context(), "apply", "-n", shop, "-f", "-")
		cmd.Stdin = strings.NewReader("apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: a}\nspec: {hosts: ['*']}\n")
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), `admission webhook "validation.istio.io" denied the request: `) {
			return fmt.Errorf("not so: %s", out)
		}
		return nil
	})

	// A second replica takes over, with the same certificate and the same rights.
	other, _ := d.start(free(t))
	d.ready(other)
	stop()
	_, err := d.Client.AdmissionregistrationV1().MutatingWebhookConfigurations().Patch(t.Context(), configurationName, types.JSONPatchType,
		[]byte(`[{"op":"replace","path":"/webhooks/0/clientConfig/caBundle","value":""}]`), metav1.PatchOptions{})
	d.must(err)
	d.eventually("the second replica heals the caBundle", func() error {
		if now := kubectl(t, d.Server, "get", "mutatingwebhookconfiguration", configurationName, "-o", "jsonpath={.webhooks[*].clientConfig.caBundle}"); now != bundle {
			return fmt.Errorf("not yet")
		}
		return nil
	})
	// It says of objects what became of them. Nobody answers at the first one's
	// address, so nothing judged them before.
	apply := d.Kubectl(t.Context(), "apply", "-n", plain, "-f", "-")
	apply.Stdin = strings.NewReader("{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: a}, spec: {hosts: ['*']}}")
	if out, err := apply.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	kubectl(t, d.Server, "wait", "-n", plain, "--for=condition=Accepted=False", "--timeout=30s", "serviceentry/a")

	// What it writes and removes: the ConfigMap of a namespace no longer selected.
	empty := d.Namespace(t, map[string]string{"istio-injection": "enabled"})
	there := func(want bool) {
		t.Helper()
		d.eventually(fmt.Sprintf("ConfigMap of an empty namespace: %v", want), func() error {
			_, err := d.Client.CoreV1().ConfigMaps(empty).Get(t.Context(), "outrider-ca", metav1.GetOptions{})
			if (err == nil) != want {
				return fmt.Errorf("there: %v", err == nil)
			}
			return nil
		})
	}
	there(true)
	_, err = d.Client.CoreV1().ConfigMaps(empty).Patch(t.Context(), "outrider-ca", types.MergePatchType, []byte(`{"data":{"ca.pem":"junk"}}`), metav1.PatchOptions{})
	d.must(err)
	d.eventually("the ConfigMap is mended", func() error {
		c, err := d.Client.CoreV1().ConfigMaps(empty).Get(t.Context(), "outrider-ca", metav1.GetOptions{})
		if err == nil && c.Data["ca.pem"] == "junk" {
			err = fmt.Errorf("still junk")
		}
		return err
	})
	kubectl(t, d.Server, "label", "namespace", empty, "istio-injection-")
	there(false)

	// A new authority: the Secret is rewritten. A wrong configuration: an event.
	kubectl(t, d.Server, "-n", namespace, "patch", "secret", "outrider-certs", "--type=json", "-p", `[{"op":"remove","path":"/data/ca.key"}]`)
	d.eventually("the Secret has a key again", func() error {
		if kubectl(t, d.Server, "-n", namespace, "get", "secret", "outrider-certs", "-o", `jsonpath={.data.ca\.key}`) == "" {
			return errors.New("no key")
		}
		return nil
	})
	// The registered replica is gone, so nobody refuses it.
	kubectl(t, d.Server, wrong...)
	d.eventually("an event tells of the wrong configuration", func() error {
		if out := kubectl(t, d.Server, "-n", namespace, "get", "events", "-o", "jsonpath={.items[*].reason}"); !strings.Contains(out, "ConfigurationRejected") {
			return fmt.Errorf("events: %s", out)
		}
		return nil
	})
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.denied) > 0 {
		t.Errorf("the role does not suffice: %q", d.denied)
	}
}

// What the rights do not include; and proof that the server asks about rights.
func TestRightsEndThere(t *testing.T) {
	d := &deployed{Server: kube.Require(t), t: t}
	kubectl(t, d.Server, "apply", "-f", ".")
	for _, may := range []string{
		"get secrets -n kube-system", "list secrets -n " + namespace, "delete secrets/outrider-certs -n " + namespace,
		"get configmaps/other -n default", "delete pods -n default", "create pods -n default",
		"create mutatingwebhookconfigurations", "patch mutatingwebhookconfigurations/other",
		"update mutatingwebhookconfigurations/" + configurationName, "delete validatingwebhookconfigurations/" + configurationName,
		"update leases -n kube-system", "patch namespaces/default", "patch nodes/a", "create services -n default", "create servicecidrs",
		"get configmaps/extension-apiserver-authentication -n kube-system", "get networks.config.openshift.io/other",
		"get customresourcedefinitions/other", "update customresourcedefinitions/serviceentries.networking.istio.io",
		"patch serviceentries -n default", "delete virtualservices -n default", "update serviceentries/status -n default",
		"patch customresourcedefinitions/serviceentries.networking.istio.io", "delete customresourcedefinitions/serviceentries.networking.istio.io",
	} {
		args := append([]string{"auth", "can-i", "--as=system:serviceaccount:" + namespace + ":outrider"}, strings.Fields(may)...)
		out, err := d.Kubectl(t.Context(), args...).Output()
		if err == nil || strings.TrimSpace(string(out)) != "no" {
			t.Errorf("the program may %s: %s", may, out)
		}
	}
}
