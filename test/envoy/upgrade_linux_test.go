package envoy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/outrider-mesh/outrider/test/kit"
	"github.com/outrider-mesh/outrider/test/kit/netns"
	"github.com/outrider-mesh/outrider/test/kube"
	"github.com/outrider-mesh/outrider/test/previous"
	"github.com/outrider-mesh/outrider/webhook/registration"
)

func TestMain(m *testing.M) { os.Exit(kube.Main(m)) }

// upgrade is a cluster whose control plane is of one version or the other.
type upgrade struct {
	*kube.Server
	t        *testing.T
	old, new string // the programs
	address  atomic.Pointer[string]
	webhook  string
	stop     func()
	ca       string // of the Secret
}

const (
	systemNamespace = "istio-system" // whose name the certificate has, see controlPlaneName
	shop            = "shop"
	labelled        = "labelled" // for injection
)

// Sidecars of an earlier version are configured by the control plane of this one, and
// after a rollback sidecars of this version by the earlier one: the configuration
// arrives, an edit arrives, and a request succeeds. A pod that one version has injected
// is injected by the other as if that were the first.
func TestUpgradeAndRollback(t *testing.T) {
	program := Require(t)
	netns.Need(t, "ip", "nft")
	u := &upgrade{Server: kube.Require(t), t: t, old: filepath.Join(previous.Require(t), "outrider"), new: buildProduct(t)}
	for _, name := range []string{systemNamespace, shop} {
		kit.Must(t, u.CreateNamespace(t.Context(), name, nil))
	}
	kit.Must(t, u.CreateNamespace(t.Context(), labelled, map[string]string{"istio-injection": "enabled"}))
	_, err := u.Client.CoreV1().ConfigMaps(systemNamespace).Create(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "istio"}, Data: map[string]string{"mesh": "outboundTrafficPolicy: {mode: REGISTRY_ONLY}\n"},
	}, metav1.CreateOptions{})
	kit.Must(t, err)

	u.serve(u.old)
	before := u.sidecar(program, u.old, "before")
	u.declare("one")
	u.reaches(before, "one")
	const plain = "{metadata: {name: a}, spec: {automountServiceAccountToken: false, containers: [{name: app, image: app}], initContainers: [{name: setup, image: app}]}}"
	byOld := u.admitted(plain)

	u.serve(u.new) // the upgrade
	u.declare("two")
	u.reaches(before, "one", "two")
	after := u.sidecar(program, u.new, "after")
	u.reaches(after, "one", "two")
	byNew := u.admitted(plain)
	again := u.admitted(byOld)
	u.same("the new version injects a pod of the old one", again, byNew)

	u.serve(u.old) // the rollback
	u.same("the old version injects a pod of the new one", u.admitted(byNew), byOld)
	u.same("the old version injects a pod of both", u.admitted(again), byOld)
	u.declare("three")
	u.reaches(before, "two", "three")
	u.reaches(after, "two", "three")
	u.stop()
	for name, p := range map[string]*pod{"before": before, "after": after} {
		if text := p.log.String(); strings.Contains(text, "rejected") {
			t.Errorf("the sidecar %q rejected a configuration", name)
		}
	}
}

// What an earlier version injected is recognized: this version restores the user's file
// from it, and injects it as it injects that file; so does the earlier one.
func TestFilesOfTheOtherVersion(t *testing.T) {
	old, current := filepath.Join(previous.Require(t), "outrider"), buildProduct(t)
	const file = "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: shop, labels: {app: a}}\nspec:\n  containers:\n  - {name: app, image: app}\n"
	run := func(program, stdin string, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), program, args...)
		cmd.Stdin = strings.NewReader(stdin)
		var stderr strings.Builder
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s %v: %v\n%s", program, args, err, &stderr)
		}
		return string(out)
	}
	for _, c := range []struct {
		name string
		from []string
		to   string
	}{{"upgrade", []string{old}, current}, {"rollback", []string{current}, old}, {"upgrade and rollback", []string{old, current}, old}} {
		injected := file
		for _, from := range c.from {
			injected = run(from, injected, "kube-inject", "-f", "-")
		}
		if got := run(c.to, injected, "uninject", "-f", "-"); got != file {
			t.Errorf("%s: uninject: got\n%swant\n%s", c.name, got, file)
		}
		var got, want corev1.Pod
		kit.Must(t, yaml.Unmarshal([]byte(run(c.to, injected, "kube-inject", "-f", "-")), &got))
		kit.Must(t, yaml.Unmarshal([]byte(run(c.to, file, "kube-inject", "-f", "-")), &want))
		if d := cmp.Diff(got.Spec, want.Spec); d != "" {
			t.Errorf("%s: injected again: got -, want +\n%s", c.name, d)
		}
	}
}

// buildProduct builds the program of the checkout.
func buildProduct(t *testing.T) string {
	t.Helper()
	root, err := kit.Checkout()
	kit.Must(t, err)
	path := filepath.Join(t.TempDir(), "outrider")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", path, "./cmd/outrider")
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build outrider: %v\n%s", err, out)
	}
	return path
}

// serve replaces the control plane by that of a program, which reads what the one before
// has stored.
func (u *upgrade) serve(program string) {
	u.t.Helper()
	if u.stop != nil {
		u.stop()
	}
	addresses, err := kit.FreeAddresses(3) // of 127.0.0.1
	kit.Must(u.t, err)
	log := &kit.Buffer{}
	cmd := exec.Command(program, "serve", "--kubeconfig="+u.Kubeconfig, "--namespace="+systemNamespace, "--shutdown-delay=0s", "--cert-host=127.0.0.1",
		"--port="+addresses[0], "--xds-address="+addresses[1], "--health-address="+addresses[2], "--metrics-address=0")
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = log, log, &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	kit.Must(u.t, cmd.Start())
	ended := false
	u.stop = func() {
		if !ended {
			ended = true
			_ = cmd.Process.Signal(syscall.SIGTERM)
			_ = cmd.Wait()
		}
	}
	u.t.Cleanup(func() {
		u.stop()
		if u.t.Failed() {
			u.t.Logf("the log of %s:\n%s", program, log.String())
		}
	})
	start := time.Now()
	kit.Eventually(u.t, "the control plane is ready", func() error {
		r, err := http.Get("http://" + addresses[2] + "/readyz")
		if err != nil {
			return err
		}
		defer func() { _ = r.Body.Close() }()
		if text, _ := io.ReadAll(r.Body); r.StatusCode != http.StatusOK {
			return fmt.Errorf("%s", text)
		}
		return nil
	})
	u.t.Logf("%s is ready after %s", filepath.Base(filepath.Dir(program)), time.Since(start).Round(time.Millisecond))
	u.address.Store(&addresses[1])
	u.webhook = "https://" + addresses[0]

	secret, err := u.Client.CoreV1().Secrets(systemNamespace).Get(u.t.Context(), "outrider-certs", metav1.GetOptions{})
	kit.Must(u.t, err)
	switch ca := string(secret.Data["ca.crt"]); {
	case u.ca == "":
		u.ca = ca
	case !strings.Contains(ca, u.ca): // a new one may be before it, until all sidecars trust that
		u.t.Errorf("%s has removed the CA certificate from the Secret", program)
	}
	u.register(secret.Data["ca.crt"])
}

// register has the API server call the control plane of the time.
func (u *upgrade) register(bundle []byte) {
	u.t.Helper()
	api := u.Client.AdmissionregistrationV1().MutatingWebhookConfigurations()
	c := registration.Options{Namespace: systemNamespace, URL: u.webhook, CABundle: bundle}.Mutating()
	_ = api.Delete(u.t.Context(), c.Name, metav1.DeleteOptions{})
	_, err := api.Create(u.t.Context(), c, metav1.CreateOptions{})
	kit.Must(u.t, err)
}

// admitted is a pod, in YAML, as the API server admits it with the webhook of the time.
func (u *upgrade) admitted(text string) string {
	u.t.Helper()
	var p, admitted *corev1.Pod
	kit.Must(u.t, yaml.Unmarshal([]byte(text), &p))
	p.Namespace = labelled
	kit.Eventually(u.t, "the API server calls the webhook", func() (err error) {
		admitted, err = u.Client.CoreV1().Pods(labelled).Create(u.t.Context(), p, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if err == nil && admitted.Annotations["sidecar.istio.io/status"] == "" {
			err = errors.New("the pod is not injected")
		}
		return err
	})
	admitted.ObjectMeta = metav1.ObjectMeta{Name: admitted.Name, Labels: admitted.Labels, Annotations: admitted.Annotations}
	out, err := yaml.Marshal(admitted)
	kit.Must(u.t, err)
	return string(out)
}

// same fails unless two pods are the same but for the order of what they list.
func (u *upgrade) same(what, got, want string) {
	u.t.Helper()
	var pods [2]corev1.Pod
	for i, text := range []string{got, want} {
		kit.Must(u.t, yaml.Unmarshal([]byte(text), &pods[i]))
		byName := func(a, b corev1.Container) int { return strings.Compare(a.Name, b.Name) }
		slices.SortFunc(pods[i].Spec.Containers, byName)
		slices.SortFunc(pods[i].Spec.InitContainers, byName)
		slices.SortFunc(pods[i].Spec.Volumes, func(a, b corev1.Volume) int { return strings.Compare(a.Name, b.Name) })
	}
	if d := cmp.Diff(pods[0], pods[1]); d != "" {
		u.t.Errorf("%s: got -, want +\n%s", what, d)
	}
}

// sidecar is a running sidecar that the program's kube-inject has injected.
func (u *upgrade) sidecar(envoy, program, name string) *pod {
	t := u.t
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, "kube-inject", "-f", "-")
	cmd.Stdin = strings.NewReader(fmt.Sprintf("apiVersion: v1\nkind: Pod\nmetadata: {name: %s, namespace: %s}\nspec: {containers: [{name: app, image: app}]}\n", name, shop))
	out, err := cmd.Output()
	kit.Must(t, err)
	var injected corev1.Pod
	kit.Must(t, yaml.Unmarshal(out, &injected))
	created, err := u.Client.CoreV1().Pods(shop).Create(t.Context(), &injected, metav1.CreateOptions{})
	kit.Must(t, err)
	token, err := u.Client.CoreV1().ServiceAccounts(shop).CreateToken(t.Context(), "default", &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{Audiences: []string{"outrider"}, BoundObjectRef: &authenticationv1.BoundObjectReference{
			APIVersion: "v1", Kind: "Pod", Name: name, UID: created.UID,
		}},
	}, metav1.CreateOptions{})
	kit.Must(t, err)

	p := newPod(t)
	p.Must(t, "table inet sidecar_egress {\n chain output {\n type nat hook output priority -100\n meta skuid 1337 return\n oifname lo return\n meta l4proto tcp redirect to :15001\n }\n}", "nft", "-f", "-")
	u.forward(p)
	p.serveHello(t)
	fillSecrets(t, p.volume, "..1", map[string]string{"token": token.Status.Token, "ca.pem": u.ca, "sds-token.yaml": sdsToken, "sds-ca.yaml": sdsCA})
	injected.Status.PodIP = pod4
	for _, c := range append(injected.Spec.InitContainers, injected.Spec.Containers...) {
		if c.Name == "istio-proxy" {
			p.run(t, start(t, &injected, c), envoy)
			p.ready(t)
			return p
		}
	}
	t.Fatalf("no sidecar in\n%s", out)
	return nil
}

// forward connects port 15012 of the pod's node with the control plane of the time.
func (u *upgrade) forward(p *pod) {
	var l net.Listener
	var err error
	p.node.Do(func() { l, err = net.Listen("tcp", net.JoinHostPort(node4, "15012")) })
	kit.Must(u.t, err)
	u.t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = from.Close() }()
				to, err := net.Dial("tcp", *u.address.Load())
				if err != nil {
					return
				}
				go func() { _, _ = io.Copy(to, from); _ = to.Close() }()
				_, _ = io.Copy(from, to)
			}()
		}
	}()
}

// serveHello answers HTTP on port 80 of the node, with the host of the request.
func (p *pod) serveHello(t *testing.T) {
	t.Helper()
	var l net.Listener
	var err error
	p.node.Do(func() { l, err = net.Listen("tcp", net.JoinHostPort(node4, "80")) })
	kit.Must(t, err)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "hello from "+r.Host) })}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
}

// declare applies a ServiceEntry for the host NAME.example.
func (u *upgrade) declare(name string) {
	u.t.Helper()
	kit.Eventually(u.t, "ServiceEntry "+name+" is applied", func() error { // the CRDs come with the control plane
		cmd := u.Kubectl(u.t.Context(), "apply", "-f", "-")
		cmd.Stdin = strings.NewReader(fmt.Sprintf(`apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: %s, namespace: %s}
spec: {hosts: [%[1]s.example], location: MESH_EXTERNAL, resolution: STATIC, endpoints: [{address: %[3]s}], ports: [{number: 80, name: http, protocol: HTTP}]}
`, name, shop, node4))
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%w\n%s", err, out)
		}
		return nil
	})
}

// reaches waits until the pod's application reaches the declared hosts, through its
// sidecar; another host is blocked.
func (u *upgrade) reaches(p *pod, names ...string) {
	u.t.Helper()
	for _, name := range names {
		took := kit.Eventually(u.t, "a request to "+name+".example", func() error {
			status, text, err := p.request(name + ".example")
			if err == nil && (status != http.StatusOK || text != "hello from "+name+".example") {
				err = fmt.Errorf("%d %q", status, text)
			}
			return err
		})
		u.t.Logf("%s.example is reached after %s", name, took.Round(time.Millisecond))
	}
	if status, text, err := p.request("other.example"); err != nil || status != http.StatusBadGateway {
		u.t.Errorf("a host that is not declared: %d %q, %v; want 502", status, text, err)
	}
}

// request is an HTTP request of the application for a host at the node's address.
func (p *pod) request(host string) (status int, body string, err error) {
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, _ string) (conn net.Conn, err error) {
			p.Do(func() { conn, err = (&net.Dialer{}).DialContext(ctx, network, net.JoinHostPort(node4, "80")) })
			return conn, err
		},
	}}
	r, err := client.Get("http://" + host + "/")
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = r.Body.Close() }()
	text, err := io.ReadAll(r.Body)
	return r.StatusCode, string(text), err
}
