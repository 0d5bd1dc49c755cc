package live

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"

	"github.com/outrider-mesh/outrider/egress/report"
	"github.com/outrider-mesh/outrider/egress/xds"
	"github.com/outrider-mesh/outrider/test/kit"
	"github.com/outrider-mesh/outrider/test/kube"
)

func TestMain(m *testing.M) { os.Exit(kube.Main(m)) }

var sleep = report.Workload{Kind: "Deployment", Name: "sleep"}

func seen(host string, when time.Time) []report.DestinationReport {
	return []report.DestinationReport{{
		Destination: report.Destination{Host: host, Port: 443, Protocol: report.TLS, Verdict: report.Blocked, Rule: "block_all"},
		Counts:      report.Counts{First: when, Last: when, Connections: 1, BytesSent: 10},
	}}
}

// cluster is a real API server with the CRD.
type cluster struct {
	*kube.Server
	t *testing.T
}

var defined sync.Once

func newCluster(t *testing.T) *cluster {
	c := &cluster{kube.Require(t), t}
	defined.Do(func() {
		c.kubectl("create", "-f", "../../../deploy/crds/egressreport.yaml")
		c.kubectl("wait", "--for=condition=Established", "--timeout=30s", "crd/egressreports.outrider.dev")
	})
	return c
}

func (c *cluster) kubectl(args ...string) string {
	c.t.Helper()
	out, err := c.Kubectl(context.Background(), args...).CombinedOutput()
	if err != nil {
		c.t.Fatalf("kubectl %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// replica is a recorder that writes at once, and its metrics.
type replica struct {
	*Recorder
	registry *prometheus.Registry
}

func (c *cluster) replica(name string, retention time.Duration) replica {
	c.t.Helper()
	config := rest.CopyConfig(c.Config)
	config.QPS = -1
	objects, err := dynamic.NewForConfig(config)
	kit.Must(c.t, err)
	meta, err := metadata.NewForConfig(config)
	kit.Must(c.t, err)
	registry := prometheus.NewRegistry()
	r, err := New(Options{
		Pods: c.Client.CoreV1(), Dynamic: objects, Metadata: meta, Identity: name, Retention: retention, Interval: 10 * time.Millisecond, Counts: 20 * time.Millisecond,
		Log: logr.Discard(), Registry: registry,
	})
	kit.Must(c.t, err)
	r.limit.SetLimit(10_000)
	return replica{r, registry}
}

// wrote is the number of writes with a result.
func (r replica) wrote(result string) float64 {
	var m dto.Metric
	if err := r.metrics.writes.WithLabelValues(result).Write(&m); err != nil {
		return -1
	}
	return m.GetCounter().GetValue()
}

// run runs a replica until stop is called.
func (c *cluster) run(r replica) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- r.Start(ctx) }()
	stop = sync.OnceFunc(func() { cancel(); kit.Must(c.t, <-done) })
	c.t.Cleanup(stop)
	return stop
}

func (c *cluster) content(ns string) report.Content {
	c.t.Helper()
	text := c.kubectl("get", "-n", ns, "egressreports", "--ignore-not-found", "-o", "json", "egress")
	if text == "" {
		return report.Content{}
	}
	content, err := report.Read([]byte(text))
	kit.Must(c.t, err)
	return content
}

// hosts are the hosts of a report, with their connections.
func (c *cluster) hosts(ns string) string {
	var out []string
	for _, w := range c.content(ns).Workloads {
		for _, d := range w.Destinations {
			out = append(out, fmt.Sprintf("%s %s %d", w.Workload, d.Host, d.Connections))
		}
	}
	return strings.Join(out, ", ")
}

// TestReplicas has two replicas that write to the objects of two namespaces at once, and
// stop; a third one continues. No count is lost, and none is of another namespace.
func TestReplicas(t *testing.T) {
	c := newCluster(t)
	shop, bank := c.Namespace(t, nil), c.Namespace(t, nil)
	const rounds, hosts = 200, 5
	var stops []func()
	var load sync.WaitGroup
	for _, name := range []string{"a", "b"} {
		r := c.replica(name, 0)
		stops = append(stops, c.run(r))
		load.Go(func() {
			for i := range rounds {
				r.Observe(shop, sleep, seen(fmt.Sprintf("host-%d.test", i%hosts), time.Now()))
				r.Observe(bank, sleep, seen("bank.test", time.Now()))
				if i%10 == 0 {
					r.flush(t.Context(), shop)
				}
				time.Sleep(5 * time.Millisecond)
			}
		})
	}
	load.Wait()
	for _, stop := range stops {
		stop()
	}
	want := "Deployment/sleep host-0.test 80, Deployment/sleep host-1.test 80, Deployment/sleep host-2.test 80, Deployment/sleep host-3.test 80, Deployment/sleep host-4.test 80"
	if got := c.hosts(shop); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	if got := c.hosts(bank); got != "Deployment/sleep bank.test 400" {
		t.Errorf("the other namespace: %s", got)
	}
	version := c.kubectl("get", "-n", shop, "egressreports", "egress", "-o", "jsonpath={.metadata.generation}")
	t.Logf("%s generations of the object for %d reports", version, 2*rounds)

	r := c.replica("c", 0) // after a restart
	stop := c.run(r)
	r.Observe(shop, sleep, seen("host-0.test", time.Now()))
	stop()
	if got := c.hosts(shop); got != strings.Replace(want, "80", "81", 1) {
		t.Errorf("after a restart: %s", got)
	}
	if n := r.wrote("written"); n != 1 {
		t.Errorf("%v writes are counted", n)
	}
	if out := c.kubectl("get", "-n", shop, "egr"); !strings.Contains(out, "WORKLOADS   PASSTHROUGH   BLOCKED   LAST") || !strings.Contains(out, "egress   1           0             5 ") {
		t.Errorf("kubectl get:\n%s", out)
	}
}

// TestWritesOnChange counts the writes: one for what is new, none without a report, and
// one for all counts of a longer interval.
func TestWritesOnChange(t *testing.T) {
	c := newCluster(t)
	ns := c.Namespace(t, nil)
	r := c.replica("a", 0)
	now := time.Now()
	r.now = func() time.Time { return now }
	r.options.Interval, r.options.Counts = time.Minute, 10*time.Minute
	writes := func() float64 {
		for _, namespace := range r.due() {
			r.flush(t.Context(), namespace)
		}
		return r.wrote("written")
	}
	for i, step := range []struct {
		later time.Duration
		host  string
		want  float64
	}{
		{0, "a.test", 0}, {settle, "", 1}, // more may follow
		{time.Minute, "", 1}, {time.Minute, "a.test", 1}, {time.Minute, "a.test", 1}, // counts
		{8 * time.Minute, "a.test", 2},
		{settle, "b.test", 2}, {time.Minute, "", 3}, // new, and the interval
		{time.Hour + time.Minute, "", 3},
	} {
		now = now.Add(step.later)
		if step.host != "" {
			r.Observe(ns, sleep, seen(step.host, now))
		}
		if got := writes(); got != step.want {
			t.Errorf("step %d: %v writes, want %v", i, got, step.want)
		}
	}
	if got := c.hosts(ns); got != "Deployment/sleep a.test 4, Deployment/sleep b.test 1" {
		t.Errorf("%s", got)
	}
	if r.bytes != 0 || len(r.namespaces) != 0 {
		t.Errorf("%d bytes of %d namespaces are kept", r.bytes, len(r.namespaces))
	}
}

// TestRetention removes what was not seen for the retention, also where nobody reports
// any more, and the object with the last of it.
func TestRetention(t *testing.T) {
	c := newCluster(t)
	idle, used := c.Namespace(t, nil), c.Namespace(t, nil)
	r := c.replica("a", time.Hour)
	now := time.Now()
	r.now = func() time.Time { return now }
	for _, ns := range []string{idle, used} {
		r.Observe(ns, sleep, seen("old.test", now))
		r.flush(t.Context(), ns)
	}
	now = now.Add(50 * time.Minute)
	r.Observe(used, sleep, seen("new.test", now))
	r.flush(t.Context(), used)
	kit.Must(t, r.sweep(t.Context()))
	if a, b := c.hosts(idle), c.hosts(used); a != "Deployment/sleep old.test 1" || b != "Deployment/sleep new.test 1, Deployment/sleep old.test 1" {
		t.Errorf("too early: %s, %s", a, b)
	}
	now = now.Add(20 * time.Minute)
	kit.Must(t, r.sweep(t.Context()))
	if a, b := c.hosts(idle), c.hosts(used); a != "" || b != "Deployment/sleep new.test 1" {
		t.Errorf("after the retention: %s, %s", a, b)
	}
	if out := c.kubectl("get", "-n", idle, "egressreports"); !strings.Contains(out, "No resources found") {
		t.Errorf("the object without an entry: %s", out)
	}
}

// failing fails the first requests.
type failing struct {
	http.RoundTripper
	left atomic.Int32
}

func (f *failing) RoundTrip(q *http.Request) (*http.Response, error) {
	if f.left.Add(-1) >= 0 {
		return nil, errors.New("connection refused")
	}
	return f.RoundTripper.RoundTrip(q)
}

// TestSweep_Retries: a sweep that fails is tried again soon, not after the hour until the
// next one, and later each time.
func TestSweep_Retries(t *testing.T) {
	c := newCluster(t)
	ns := c.Namespace(t, nil)
	r := c.replica("a", time.Hour)
	now := time.Now()
	r.now = func() time.Time { return now }
	r.Observe(ns, sleep, seen("old.test", now))
	r.flush(t.Context(), ns)
	now = now.Add(2 * time.Hour)
	transport := &failing{}
	transport.left.Store(3)
	config := rest.CopyConfig(c.Config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { transport.RoundTripper = next; return transport })
	objects, err := dynamic.NewForConfig(config)
	kit.Must(t, err)
	r.options.Dynamic = objects
	r.retry.Duration = time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); r.Sweep(ctx) }()
	kit.Wait{For: time.Minute, Every: 50 * time.Millisecond}.Eventually(t, "the object is removed", func() error {
		if got := c.hosts(ns); got != "" {
			return errors.New(got)
		}
		return nil
	})
	cancel()
	<-done
	backoff, last := sweepRetry, time.Duration(0)
	for n := range 20 {
		next := min(backoff.Step(), sweepInterval)
		if next < last && next < sweepInterval*9/10 || n > 9 && next < sweepInterval*9/10 {
			t.Errorf("attempt %d after %s, the one before after %s", n, next, last)
		}
		last = next
	}
}

// TestFullObject has the largest object: the API server accepts it, and what others
// wrote into one is replaced.
func TestFullObject(t *testing.T) {
	c := newCluster(t)
	ns := c.Namespace(t, nil)
	r := c.replica("a", 0)
	label := strings.Repeat("a", 60)
	for w := range 1100 {
		for i := range 20 {
			r.Observe(ns, report.Workload{Kind: "Deployment", Name: fmt.Sprintf("w-%d", w)}, seen(fmt.Sprintf("%04d.%s.%s.%s", i, label, label, label), time.Now()))
		}
	}
	r.flush(t.Context(), ns)
	content := c.content(ns)
	text, err := json.Marshal(content)
	kit.Must(t, err)
	if len(content.Workloads) < 100 || content.MoreWorkloads == nil || len(text) > report.DefaultLimits.Bytes {
		t.Errorf("%d workloads, and %+v, in %d bytes", len(content.Workloads), content.MoreWorkloads, len(text))
	}
	t.Logf("%d workloads in %d bytes", len(content.Workloads), len(text))
	c.kubectl("patch", "-n", ns, "egressreports", "egress", "--type=merge", "-p", `{"workloads":[{"kind":"Deployment","name":"x","more":{"sketch":"AAAA"}}],"moreWorkloads":null}`)
	r.Observe(ns, sleep, seen("a.test", time.Now()))
	r.flush(t.Context(), ns)
	if got := c.hosts(ns); got != "Deployment/sleep a.test 1" {
		t.Errorf("after an edit: %s", got)
	}
}

// TestFailedWrites keeps what could not be written.
func TestFailedWrites(t *testing.T) {
	c := newCluster(t)
	r := c.replica("a", 0)
	r.Observe("missing", sleep, seen("a.test", time.Now()))
	r.flush(t.Context(), "missing")
	if n := r.wrote("failed"); n != 1 {
		t.Errorf("%v failed writes", n)
	}
	r.Observe("missing", sleep, seen("a.test", time.Now()))
	_, err := c.Client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "missing"}}, metav1.CreateOptions{})
	kit.Must(t, err)
	r.flush(t.Context(), "missing")
	r.flush(t.Context(), "missing")
	if got := c.hosts("missing"); got != "Deployment/sleep a.test 2" {
		t.Errorf("a count is lost: %s", got)
	}
	// An attempt whose answer was lost.
	r.Observe("missing", sleep, seen("a.test", time.Now()))
	b := r.take("missing")
	_, err = r.write(t.Context(), "missing", b)
	kit.Must(t, err)
	r.failed("missing")
	r.flush(t.Context(), "missing")
	if got := c.hosts("missing"); got != "Deployment/sleep a.test 3" {
		t.Errorf("written twice: %s", got)
	}
	if r.bytes != r.namespaces["missing"].table.Bytes() {
		t.Errorf("%d bytes are counted", r.bytes)
	}
}

// TestWorkloads finds what a pod belongs to.
func TestWorkloads(t *testing.T) {
	c := newCluster(t)
	ns := c.Namespace(t, nil)
	r := c.replica("a", 0)
	owner := func(kind, name string) []metav1.OwnerReference {
		return []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: kind, Name: name, UID: "1", Controller: new(true)}}
	}
	for name, tt := range map[string]struct {
		owners []metav1.OwnerReference
		labels map[string]string
		uid    string
		want   string
	}{
		"sleep-6d5-x":    {owner("ReplicaSet", "sleep-6d5"), map[string]string{"pod-template-hash": "6d5"}, "", "Deployment/sleep"},
		"nightly-1-x":    {owner("Job", "nightly-29012345"), nil, "", "CronJob/nightly"},
		"db-0":           {owner("StatefulSet", "db"), nil, "", "StatefulSet/db"},
		"alone":          {nil, nil, "", "Pod/alone"},
		"another-of-uid": {owner("StatefulSet", "db"), nil, "2", "Pod/another-of-uid"},
	} {
		pod, err := c.Client.CoreV1().Pods(ns).Create(t.Context(), &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: name, OwnerReferences: tt.owners, Labels: tt.labels},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "app"}}},
		}, metav1.CreateOptions{})
		kit.Must(t, err)
		id := xds.Identity{Namespace: ns, ServiceAccount: "default", Pod: name, PodUID: string(pod.UID)}
		if tt.uid != "" {
			id.PodUID = tt.uid
		}
		for range 2 { // the second is cached
			if got := r.Workload(t.Context(), id).String(); got != tt.want {
				t.Errorf("%s is of %s, want %s", name, got, tt.want)
			}
		}
	}
	for id, want := range map[xds.Identity]string{
		{Namespace: ns, ServiceAccount: "default", Pod: "gone", PodUID: "1"}: "Pod/gone",
		{Namespace: ns, ServiceAccount: "default"}:                           "ServiceAccount/default",
	} {
		if got := r.Workload(t.Context(), id).String(); got != want {
			t.Errorf("%s is of %s, want %s", id, got, want)
		}
	}
}

// TestPendingMemory has more namespaces with more names than the memory for them.
func TestPendingMemory(t *testing.T) {
	r, err := New(Options{Log: logr.Discard()})
	kit.Must(t, err)
	for n := range 200 {
		for i := range 1000 {
			r.Observe(fmt.Sprint("ns-", n), report.Workload{Kind: "Deployment", Name: fmt.Sprint("w-", i%4)}, seen(fmt.Sprintf("host-%d.test", i), time.Now()))
		}
	}
	if r.bytes > pendingBytes+200*leastPending || r.bytes < pendingBytes {
		t.Errorf("%d bytes, of %d", r.bytes, pendingBytes)
	}
	bytes := 0
	for n := range 200 {
		p := r.namespaces[fmt.Sprint("ns-", n)]
		bytes += p.table.Bytes()
		if len(p.table.Content().Workloads) == 0 {
			t.Errorf("namespace %d has nothing", n)
		}
	}
	if bytes != r.bytes {
		t.Errorf("%d bytes are counted, and there are %d", r.bytes, bytes)
	}
}
