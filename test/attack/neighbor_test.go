package attack

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/outrider-mesh/outrider/test/kit"
)

// bank is the neighbor's namespace.
const bank = "bank"

// neighbor is an ordinary tenant.
type neighbor struct {
	b     *battery
	edits int
	pods  int
}

// tally is what cmd/tenant serves of its requests.
type tally struct {
	OK, Failed int
	Failures   []string
}

// newNeighbor has a pod with a sidecar that sends requests to two hosts that the
// namespace declares, and to a Service.
func newNeighbor(t *testing.T, b *battery) *neighbor {
	t.Helper()
	n := &neighbor{b: b}
	b.namespace(t, bank, true)
	b.namespace(t, "servers", false)
	if out, err := b.Bash(ended, "kubectl -n servers apply -f test/cluster/testdata/web.yaml && kubectl -n servers rollout status deployment/httpbin --timeout=90s").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	n.declare(t, "httpbin.org", 80, "HTTP")
	n.declare(t, "www.google.com", 443, "HTTPS")
	p := pod("ordinary", "requests http://httpbin.org/status/200 https://www.google.com/ http://httpbin.servers:8000/status/200")
	_, err := b.kube.CoreV1().Pods(bank).Create(ended, p, metav1.CreateOptions{})
	kit.Must(t, err)
	b.ready(t, bank, "ordinary")
	var last tally
	eventually(t, "the neighbor's requests succeed", func() error {
		now := n.tally(t)
		defer func() { last = now }()
		if now.OK < last.OK+20 || now.Failed > last.Failed {
			time.Sleep(time.Second)
			return fmt.Errorf("%+v", now)
		}
		return nil
	})
	return n
}

// call calls the neighbor's pod through the API server.
func (n *neighbor) call(path string, values url.Values) (string, error) {
	r := n.b.kube.CoreV1().RESTClient().Get().Namespace(bank).Resource("pods").Name("ordinary:8099").SubResource("proxy").Suffix(path)
	for name, value := range values {
		r = r.Param(name, value[0])
	}
	out, err := r.DoRaw(ended)
	return string(out), err
}

func (n *neighbor) tally(t *testing.T) (out tally) {
	t.Helper()
	text, err := n.call("tally", nil)
	kit.Must(t, err)
	kit.Must(t, json.Unmarshal([]byte(text), &out))
	return out
}

// get is the response of one request of the neighbor, its status first, or
// "error ...".
func (n *neighbor) get(t *testing.T, to string, more ...string) string {
	t.Helper()
	values := url.Values{"url": {to}}
	for i := 0; i+1 < len(more); i += 2 {
		values.Set(more[i], more[i+1])
	}
	out, err := n.call("get", values)
	kit.Must(t, err)
	return out
}

var entries = schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: "serviceentries"}
var services = schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: "virtualservices"}

func (n *neighbor) declare(t *testing.T, host string, port int, protocol string) {
	t.Helper()
	kit.Must(t, n.b.object(entries, bank, nameOf(host), entrySpec(host, port, protocol)))
}

func entrySpec(host string, port int, protocol string) string {
	return fmt.Sprintf(`{"hosts":[%q],"location":"MESH_EXTERNAL","resolution":"DNS","ports":[{"number":%d,"name":"p","protocol":%q}]}`, host, port, protocol)
}

func nameOf(host string) string { return strings.NewReplacer(".", "-", "*", "any").Replace(host) }

// object creates a ServiceEntry or a VirtualService.
func (b *battery) object(kind schema.GroupVersionResource, namespace, name, spec string) error {
	var parsed map[string]any
	if err := json.Unmarshal([]byte(spec), &parsed); err != nil {
		return err
	}
	u := &unstructured.Unstructured{Object: map[string]any{"spec": parsed}}
	u.SetAPIVersion(kind.GroupVersion().String())
	u.SetKind(map[string]string{"serviceentries": "ServiceEntry", "virtualservices": "VirtualService"}[kind.Resource])
	u.SetName(name)
	_, err := b.objects.Resource(kind).Namespace(namespace).Create(ended, u, metav1.CreateOptions{})
	return err
}

// goesOn is the neighbor's work while an attack runs; edits have their effect soon.
func (n *neighbor) goesOn(t *testing.T, rounds int) {
	t.Helper()
	declared, removed := n.work(t, rounds)
	for what, took := range map[string][]time.Duration{"declared": declared, "removed": removed} {
		if median(took) > within {
			t.Errorf("a host is %s %s", what, spread(took))
		}
	}
}

// work is the neighbor's ordinary work: a pod starts; then, in each round, a pod is
// created, and a host is declared and removed again. It prints how long that takes.
func (n *neighbor) work(t *testing.T, rounds int) (declared, removed []time.Duration) {
	t.Helper()
	start := n.starts(t)
	var created []time.Duration
	for range rounds {
		if took, err := n.create(); err != nil {
			t.Errorf("a pod of the neighbor is not created: %v", err)
		} else {
			created = append(created, took)
		}
		n.edits++
		host := fmt.Sprintf("edit-%d.example.com", n.edits)
		n.declare(t, host, 80, "HTTP")
		declared = append(declared, n.until(t, host, 200))
		kit.Must(t, n.b.objects.Resource(entries).Namespace(bank).Delete(ended, nameOf(host), metav1.DeleteOptions{}))
		removed = append(removed, n.until(t, host, 502))
	}
	t.Logf("the neighbor: a pod is ready after %s; %d pods created %s; %d hosts declared %s, removed %s",
		start.Round(10*time.Millisecond), len(created), spread(created), rounds, spread(declared), spread(removed))
	if len(created) > 0 && created[len(created)-1] > 3*time.Second {
		t.Errorf("pods are created %s", spread(created))
	}
	return declared, removed
}

// until waits until requests to a host have the status.
func (n *neighbor) until(t *testing.T, host string, code int) time.Duration {
	t.Helper()
	out, err := n.call("until", url.Values{"url": {"http://" + host + "/"}, "code": {strconv.Itoa(code)}})
	if err != nil {
		t.Errorf("%s: want status %d: %v", host, code, err)
		return time.Hour
	}
	ms, err := strconv.Atoi(out)
	kit.Must(t, err)
	return time.Duration(ms) * time.Millisecond
}

// create creates a pod that no scheduler takes, which must get its sidecar.
func (n *neighbor) create() (time.Duration, error) {
	n.pods++
	p := pod(fmt.Sprintf("created-%d", n.pods), "sink")
	p.Spec.SchedulerName = "none"
	began := time.Now()
	out, err := n.b.kube.CoreV1().Pods(bank).Create(ended, p, metav1.CreateOptions{})
	took := time.Since(began)
	if err != nil {
		return took, fmt.Errorf("after %s: %w", took, err)
	}
	if !injected(out) {
		return took, errors.New("it has no sidecar")
	}
	return took, n.b.kube.CoreV1().Pods(bank).Delete(ended, p.Name, metav1.DeleteOptions{GracePeriodSeconds: new(int64)})
}

func injected(p *corev1.Pod) bool {
	return slices.ContainsFunc(slices.Concat(p.Spec.InitContainers, p.Spec.Containers), func(c corev1.Container) bool { return c.Name == "istio-proxy" })
}

// starts starts a pod, with a sidecar that must get its configuration, and returns
// after how long it is ready.
func (n *neighbor) starts(t *testing.T) time.Duration {
	t.Helper()
	n.pods++
	p := pod(fmt.Sprintf("starts-%d", n.pods), "sink")
	began := time.Now()
	_, err := n.b.kube.CoreV1().Pods(bank).Create(ended, p, metav1.CreateOptions{})
	kit.Must(t, err)
	n.b.ready(t, bank, p.Name)
	took := time.Since(began)
	kit.Must(t, n.b.kube.CoreV1().Pods(bank).Delete(ended, p.Name, metav1.DeleteOptions{GracePeriodSeconds: new(int64)}))
	return took
}

// closed checks that a host that nobody has declared is rejected.
func (n *neighbor) closed(t *testing.T) {
	t.Helper()
	if got := n.get(t, "http://undeclared.example.com/"); !strings.HasPrefix(got, "502 ") {
		t.Errorf("a host that is not declared: %.200s", got)
	}
}

func median(took []time.Duration) time.Duration {
	if len(took) == 0 {
		return 0
	}
	return slices.Sorted(slices.Values(took))[len(took)/2]
}

// spread is the median, the 99th percentile and the maximum.
func spread(took []time.Duration) string {
	if len(took) == 0 {
		return "never"
	}
	slices.Sort(took)
	return fmt.Sprintf("in %s (p50), %s (p99), %s (max)", took[len(took)/2].Round(time.Millisecond), took[len(took)*99/100].Round(time.Millisecond), took[len(took)-1].Round(time.Millisecond))
}
