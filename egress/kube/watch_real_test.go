package kube

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"

	"github.com/outrider-mesh/outrider/cidr"
	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/egress/envoy"
	"github.com/outrider-mesh/outrider/test/kit"
	"github.com/outrider-mesh/outrider/test/kube"
)

func TestMain(m *testing.M) {
	klog.SetLogger(logr.Discard())
	os.Exit(kube.Main(m))
}

// watched is a watcher of a real API server.
type watched struct {
	*kube.Server
	*Watcher
	t         *testing.T
	forbidden atomic.Pointer[string] // a resource that cannot be listed

	mu     sync.Mutex
	latest Result
	built  int
}

type transport struct {
	w    *watched
	next http.RoundTripper
}

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if f := t.w.forbidden.Load(); f != nil && strings.HasSuffix(r.URL.Path, "/"+*f) {
		return nil, errors.New("cannot be listed now")
	}
	if f := t.w.forbidden.Load(); f != nil && *f == "forbidden "+path.Base(r.URL.Path) {
		r = r.Clone(r.Context())
		r.Header.Set("Impersonate-User", "nobody")
	}
	return t.next.RoundTrip(r)
}

func watch(t *testing.T, forbidden string) *watched {
	t.Helper()
	w := &watched{Server: kube.Require(t), t: t}
	if forbidden != "" {
		w.forbidden.Store(&forbidden)
	}
	c := rest.CopyConfig(w.Config)
	c.Wrap(func(next http.RoundTripper) http.RoundTripper { return transport{w, next} })
	client, err := kubernetes.NewForConfig(c)
	w.must(err)
	objects, err := dynamic.NewForConfig(c)
	w.must(err)
	w.Watcher, err = New(Options{Client: client, Dynamic: objects, Quiet: 10 * time.Millisecond,
		Built: func(r Result) { w.mu.Lock(); defer w.mu.Unlock(); w.latest, w.built = r, w.built+1 },
		Log: funcr.New(func(prefix, args string) {
			if testing.Verbose() {
				fmt.Fprintln(os.Stderr, prefix, args)
			}
		}, funcr.Options{Verbosity: 1})})
	w.must(err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Start: %v", err)
			}
		case <-time.After(10 * time.Second):
			t.Error("Start does not return")
		}
	})
	return w
}

func (w *watched) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *watched) configure() {
	w.t.Helper()
	c, problems := config.Parse(config.Texts{}, config.Labels{})
	w.must(problems.Err())
	w.SetMesh(egress.CompileMesh(c.Mesh))
	w.SetRanges(cidr.FromPrefixes(netip.MustParsePrefix("10.244.0.0/16")), true)
}

func (w *watched) kubectl(stdin string, args ...string) {
	w.t.Helper()
	cmd := w.Kubectl(w.t.Context(), args...)
	cmd.Stdin = strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		w.t.Fatalf("kubectl %v: %v\n%s", args, err, out)
	}
}

// state is the latest result as text: objects, problems, hosts and listeners.
func (w *watched) state() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.built == 0 {
		return ""
	}
	var b strings.Builder
	for _, o := range w.latest.Objects {
		fmt.Fprintf(&b, "object %s %s/%s generation %d\n", o.Kind, o.Meta.Namespace, o.Meta.Name, o.Generation)
	}
	for _, p := range w.latest.Problems {
		fmt.Fprintln(&b, "problem", p)
	}
	v := w.latest.Model.View("any")
	for _, d := range v.InCluster() {
		fmt.Fprintf(&b, "\nreached %s\n", d.Address)
	}
	for _, d := range w.latest.Input.InCluster {
		if d.Namespace != "" {
			fmt.Fprintln(&b, "own", d.Address, d.Namespace)
		}
	}
	fmt.Fprintln(&b, "hosts", v.Hosts())
	listeners, err := envoy.Listeners(v)
	w.must(err)
	for _, l := range listeners {
		b.Write(l.Body.Value)
	}
	return b.String()
}

// eventually waits until the state contains every want, and none of those that
// begin with "!".
func (w *watched) eventually(wants ...string) {
	w.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		state, missing := w.state(), ""
		for _, want := range wants {
			if text, not := strings.CutPrefix(want, "!"); strings.Contains(state, text) == not {
				missing = want
			}
		}
		if state != "" && missing == "" {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("timed out after 30 s: %q; ready: %v; state:\n%.2000q", missing, w.Ready(nil), state)
		}
	}
}

func (w *watched) builds() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.built
}

// entry is a ServiceEntry; the API server does not default its resolution.
func entry(version, ns, name, host string) string {
	return fmt.Sprintf(`{"apiVersion":"networking.istio.io/%s","kind":"ServiceEntry","metadata":{"namespace":%q,"name":%q},
		"spec":{"hosts":[%q],"ports":[{"number":80,"name":"http","protocol":"HTTP"}],"resolution":"DNS"}}`, version, ns, name, host)
}

// Nothing is built before all initial lists are complete, whichever is pending.
func TestWatcher_WaitsForInitialLists(t *testing.T) {
	for _, missing := range []string{"services", "endpointslices", "nodes", "customresourcedefinitions", "mesh"} {
		t.Run(missing, func(t *testing.T) {
			w := watch(t, missing)
			if missing != "mesh" {
				w.configure()
			}
			time.Sleep(700 * time.Millisecond)
			if err := w.Ready(nil); w.builds() > 0 || err == nil {
				t.Fatalf("built %d times, ready: %v", w.builds(), err)
			} else {
				t.Log(err)
			}
			w.forbidden.Store(nil)
			w.configure()
			w.eventually("hosts")
			kit.Eventually(t, "it is ready", func() error { return w.Ready(nil) }) // after the first build
		})
	}
}

// Without permission to read nodes, a model does not wait for them, and endpoints with
// their addresses are for their own namespace.
func TestWatcher_NodesForbidden(t *testing.T) {
	w := watch(t, "forbidden nodes")
	w.configure()
	ns := w.Namespace(t, nil)
	w.kubectl(`{"apiVersion":"v1","kind":"Node","metadata":{"name":"unread"},"status":{"addresses":[{"type":"InternalIP","address":"192.0.2.30"}]}}`, "create", "-f", "-")
	w.kubectl(`{"apiVersion":"v1","kind":"Service","metadata":{"namespace":"`+ns+`","name":"web"},"spec":{"clusterIP":"10.0.0.78","ports":[{"port":80}]}}`, "apply", "-f", "-")
	w.kubectl(`{"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice","metadata":{"namespace":"`+ns+`","name":"web-1","labels":{"kubernetes.io/service-name":"web"}},
		"addressType":"IPv4","endpoints":[{"addresses":["192.0.2.30"]}],"ports":[{"port":80}]}`, "apply", "-f", "-")
	w.eventually("own 10.0.0.78 "+ns, "!\nreached 10.0.0.78", "\nreached 10.0.0.1\n")
	if err := w.Ready(nil); err != nil {
		t.Error(err)
	}
	w.forbidden.Store(nil)
	w.eventually("\nreached 10.0.0.78", "!own 10.0.0.78")
	w.kubectl("", "delete", "node", "unread")
}

func TestWatcher_Objects(t *testing.T) {
	w := watch(t, "")
	w.configure()
	ns := w.Namespace(t, nil)
	// The CRDs are not installed: no objects, but the API server's address.
	w.eventually("10.0.0.1", "!object")

	w.kubectl("", "create", "-f", "../../deploy/crds")
	w.kubectl("", "wait", "--for=condition=Established", "--timeout=30s", "-f", "../../deploy/crds")
	w.kubectl(entry("v1", ns, "bin", "httpbin.org"), "apply", "-f", "-")
	w.eventually("object ServiceEntry "+ns+"/bin generation 1", "outbound|80||httpbin.org")
	w.kubectl(entry("v1alpha3", ns, "bin", "httpbin.example"), "apply", "-f", "-")
	w.eventually("/bin generation 2", "outbound|80||httpbin.example", "!httpbin.org")
	w.kubectl(strings.Replace(entry("v1beta1", ns, "bad", "10.0.0.1"), `"spec"`, `"annotations":{"a":"b"},"spec"`, 1), "apply", "--validate=false", "-f", "-")
	w.eventually("object ServiceEntry "+ns+"/bad", "problem ServiceEntry "+ns+"/bad: spec.hosts[0]", "outbound|80||httpbin.example")
	w.kubectl(`{"apiVersion":"networking.istio.io/v1","kind":"VirtualService","metadata":{"namespace":"`+ns+`","name":"bin"},
		"spec":{"hosts":["httpbin.example"],"http":[{"timeout":"3s","route":[{"destination":{"host":"httpbin.example"}}]}]}}`, "apply", "-f", "-")
	w.eventually("object VirtualService " + ns + "/bin generation 1")
	w.kubectl("", "delete", "serviceentry", "-n", ns, "bad")
	w.eventually("!problem", "!"+ns+"/bad")

	before := w.builds()
	w.kubectl("", "label", "serviceentry", "-n", ns, "bin", "touched=yes")
	time.Sleep(200 * time.Millisecond)
	if now := w.builds(); now != before {
		t.Errorf("%d builds for a label", now-before)
	}
	// Objects of another revision are ignored.
	w.kubectl("", "label", "serviceentry", "-n", ns, "bin", "istio.io/rev=canary")
	w.eventually("hosts []", "!object ServiceEntry")
	w.kubectl("", "label", "serviceentry", "-n", ns, "bin", "istio.io/rev=default", "--overwrite")
	w.eventually("outbound|80||httpbin.example", "object ServiceEntry")
	w.kubectl("", "delete", "crd", "serviceentries.networking.istio.io")
	w.eventually("!object ServiceEntry", "object VirtualService", "hosts []")
	if now := w.builds(); now == before {
		t.Error("the state changed without a build")
	}
	w.kubectl("", "create", "-f", "../../deploy/crds/serviceentry.yaml")
	w.kubectl("", "wait", "--for=condition=Established", "--timeout=30s", "-f", "../../deploy/crds/serviceentry.yaml")
	w.kubectl(entry("v1", ns, "again", "again.example"), "apply", "-f", "-")
	w.eventually("outbound|80||again.example")
}

func TestWatcher_Addresses(t *testing.T) {
	w := watch(t, "")
	w.configure()
	ns := w.Namespace(t, nil)
	w.eventually("10.0.0.1")
	w.kubectl(`{"apiVersion":"v1","kind":"Service","metadata":{"namespace":"`+ns+`","name":"web"},"spec":{"clusterIP":"10.0.0.77","ports":[{"port":80}]}}`, "apply", "-f", "-")
	w.eventually("10.0.0.77")

	slice := func(service, address string) string {
		return `{"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice","metadata":{"namespace":"` + ns + `","name":"` + service + `-1",
			"labels":{"kubernetes.io/service-name":"` + service + `"}},"addressType":"IPv4",
			"endpoints":[{"addresses":["` + address + `"],"targetRef":{"kind":"Pod","name":"p"}}],"ports":[{"port":80}]}`
	}
	// The most frequent change: the endpoints of a Service with a ClusterIP.
	before := w.builds()
	for n := range 5 {
		w.kubectl(slice("web", fmt.Sprintf("10.244.0.%d", n+1)), "apply", "-f", "-")
	}
	time.Sleep(200 * time.Millisecond)
	if now := w.builds(); now != before {
		t.Errorf("%d builds for endpoints behind a ClusterIP", now-before)
	}
	w.kubectl(slice("db", "10.244.0.88"), "apply", "-f", "-") // before its Service
	w.kubectl(`{"apiVersion":"v1","kind":"Service","metadata":{"namespace":"`+ns+`","name":"db"},"spec":{"clusterIP":"None","ports":[{"port":80}]}}`, "apply", "-f", "-")
	w.eventually("10.244.0.88", "!10.244.0.5")
	w.kubectl(slice("db", "10.244.0.89"), "apply", "-f", "-")
	w.eventually("10.244.0.89", "!10.244.0.88")
	// An address that is not the cluster's own is for its namespace, and the
	// endpoints of other namespaces stay as they are.
	w.kubectl(slice("db", "198.51.100.7"), "apply", "-f", "-")
	w.eventually("own 198.51.100.7 "+ns, "!\nreached 198.51.100.7", "!10.244.0.89", "10.0.0.77")
	w.kubectl(slice("db", "10.244.0.89"), "apply", "-f", "-")
	w.eventually("!198.51.100.7", "\nreached 10.244.0.89")
	w.SetRanges(cidr.List{}, false)
	w.eventually("own 10.244.0.89 "+ns, "!\nreached 10.244.0.89", "\nreached 10.0.0.77", "\nreached 10.0.0.1\n")
	// A ClusterIP relays to its Service's endpoints: one outside the cluster makes it
	// its namespace's, and a node's address is the cluster's.
	w.configure()
	w.eventually("\nreached 10.244.0.89", "\nreached 10.0.0.77")
	w.kubectl(slice("web", "198.51.100.7"), "apply", "-f", "-")
	w.eventually("own 10.0.0.77 "+ns, "!\nreached 10.0.0.77", "\nreached 10.244.0.89", "\nreached 10.0.0.1\n")
	w.kubectl(slice("db", "192.0.2.20"), "apply", "-f", "-")
	w.eventually("own 192.0.2.20 "+ns, "!\nreached 192.0.2.20")
	w.kubectl(slice("web", "192.0.2.20"), "apply", "-f", "-")
	w.kubectl(`{"apiVersion":"v1","kind":"Node","metadata":{"name":"addresses"},"status":{"addresses":[{"type":"InternalIP","address":"192.0.2.20"}]}}`, "create", "-f", "-")
	w.eventually("\nreached 192.0.2.20", "\nreached 10.0.0.77")
	w.kubectl("", "delete", "node", "addresses")
	w.eventually("!\nreached 192.0.2.20", "own 10.0.0.77 "+ns)
	w.kubectl("", "delete", "service", "-n", ns, "db", "web")
	w.eventually("!10.244.0.89", "!10.0.0.77", "10.0.0.1")
}
