package xds

import (
	"context"
	"crypto/tls"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	metricsv3 "github.com/envoyproxy/go-control-plane/envoy/service/metrics/v3"
	prometheusv1 "github.com/prometheus/client_model/go"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/egress/report"
	"github.com/outrider-mesh/outrider/test/kit"
)

// counters is a message with counters: a name and a value each.
func counters(all ...any) *metricsv3.StreamMetricsMessage {
	m := &metricsv3.StreamMetricsMessage{}
	for i := 0; i < len(all); i += 2 {
		m.EnvoyMetrics = append(m.EnvoyMetrics, &prometheusv1.MetricFamily{
			Name: new(all[i].(string)), Type: prometheusv1.MetricType_COUNTER.Enum(),
			Metric: []*prometheusv1.Metric{{Counter: &prometheusv1.Counter{Value: new(all[i+1].(float64))}, TimestampMs: new(int64(1))}},
		})
	}
	return m
}

// newCounts is an empty message.
func newCounts() *metricCounts {
	return &metricCounts{clusters: map[string]int{}, names: map[string]int{}}
}

// connect dials the server on a connection of its own.
func (s *served) connect(t testing.TB, token string) (*grpc.ClientConn, context.Context) {
	t.Helper()
	conn, err := grpc.NewClient(s.address, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: s.roots})))
	kit.Must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn, metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+token)
}

// counts opens a stream of counts of a pod that has its configuration.
func (s *served) counts(t testing.TB, token string) grpc.ClientStream {
	t.Helper()
	ads := s.dial(t, "Bearer "+token)
	ads.subscribe("type.googleapis.com/envoy.config.listener.v3.Listener", "*")
	_, err := ads.Recv()
	kit.Must(t, err)
	conn, ctx := s.connect(t, token)
	c, err := metricsv3.NewMetricsServiceClient(conn).StreamMetrics(ctx)
	kit.Must(t, err)
	return c
}

// TestReadMetrics has what the counters of a message are counted as.
func TestReadMetrics(t *testing.T) {
	gauge := &prometheusv1.MetricFamily{Name: new("cluster.outbound|80||a.test.upstream_cx_total"), Metric: []*prometheusv1.Metric{{Gauge: &prometheusv1.Gauge{Value: new(7.0)}}}}
	for name, tt := range map[string]struct {
		m    *metricsv3.StreamMetricsMessage
		want string
	}{
		"a cluster": {counters("cluster.outbound|80||a.b.test.upstream_cx_total", 1.0, "cluster.outbound|80||a.b.test.upstream_rq_total", 2.0,
			"cluster.outbound|80||a.b.test.upstream_cx_tx_bytes_total", 3.0, "cluster.outbound|80||a.b.test.upstream_cx_rx_bytes_total", 4.0), "outbound|80||a.b.test 1 2 3 4"},
		"a shared cluster": {counters("tcp.names.outbound|443||*.a.test.downstream_cx_total", 1.0, "tcp.names.outbound|443||*.a.test.downstream_cx_tx_bytes_total", 4.0,
			"tcp.names.outbound|443||*.a.test.downstream_cx_rx_bytes_total", 3.0), "outbound|443||*.a.test 1 0 3 4"},
		"a name": {counters("egress.connections.cluster.outbound|443||a.test", 1.0, "egress.sent.cluster.outbound|443||a.test", 3.0, "egress.received.cluster.outbound|443||a.test", 4.0),
			"outbound|443||a.test 1 0 3 4"},
		"zero":                  {counters("cluster.outbound|80||a.test.upstream_cx_total", 0.0), ""},
		"no number":             {counters("cluster.outbound|80||a.test.upstream_cx_total", math.NaN()), ""},
		"negative":              {counters("cluster.outbound|80||a.test.upstream_cx_total", -5.0), ""},
		"infinite":              {counters("cluster.outbound|80||a.test.upstream_cx_total", math.Inf(1)), "outbound|80||a.test 9007199254740992 0 0 0"},
		"other counters":        {counters("cluster.outbound|80||a.test.upstream_cx_connect_fail", 1.0, "http.outbound_80.downstream_rq_total", 1.0, "server.uptime", 1.0, "egress.x.cluster.a", 1.0, "egress", 1.0, "cluster.", 1.0, "", 1.0), ""},
		"the cluster of others": {counters("cluster.PassthroughCluster.upstream_cx_total", 1.0, "cluster.xds-grpc.upstream_cx_total", 1.0), ""},
		"a gauge":               {&metricsv3.StreamMetricsMessage{EnvoyMetrics: []*prometheusv1.MetricFamily{gauge}}, ""},
	} {
		data, err := proto.Marshal(tt.m)
		kit.Must(t, err)
		m := newCounts()
		kit.Must(t, readMetrics(data, m))
		var lines []string
		for _, c := range m.declared {
			lines = append(lines, strings.Trim(fmt.Sprint(c), "{}"))
		}
		slices.Sort(lines)
		if got := strings.Join(lines, "\n"); got != tt.want || m.bytes != len(data) {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

// TestCountsAreOfTheView has a client that claims to reach what its namespace does not
// have, and to be another one.
func TestCountsAreOfTheView(t *testing.T) {
	s := serve(t)
	s.Publish(modelOf(t, "REGISTRY_ONLY", entryOf(t, "shop", "httpbin", strings.Replace(httpbin, "{", `{"exportTo": ["."], `, 1)), entryOf(t, "bank", "google", strings.Replace(google, "{", `{"exportTo": ["."], `, 1)),
		func(in *egress.Input) {
			in.InCluster = []egress.InClusterAddress{
				{Address: netip.MustParseAddr("10.96.0.1"), Ports: []uint16{443}, Service: egress.ServiceName{Namespace: "default", Name: "kubernetes"}},
				{Address: netip.MustParseAddr("10.96.0.1"), Ports: []uint16{443}, Service: egress.ServiceName{Namespace: "bank", Name: "secret-project"}, ExportTo: []string{"."}},
				{Address: netip.MustParseAddr("10.96.0.2"), Namespace: "bank", Service: egress.ServiceName{Namespace: "bank", Name: "vault"}},
			}
		}))
	c := s.counts(t, "shop/sleep")
	m := counters(
		"cluster.outbound|80||httpbin.org.upstream_rq_total", 3.0,
		"cluster.outbound|443||www.google.com.upstream_cx_total", 3.0, // the other namespace's
		"egress.connections.cluster.outbound|443||www.google.com", 3.0,
		"cluster.outbound|80||undeclared.test.upstream_rq_total", 3.0,
		"egress.connections.cluster.outbound|443||10.96.0.1", 2.0,
		"egress.connections.cluster.outbound|80||10.96.0.1", 2.0, // another port
		"egress.connections.cluster.outbound|80||10.96.0.2", 2.0, // for another namespace
		"egress.connections.cluster.outbound|80||203.0.113.9", 2.0,
	)
	m.Identifier = &metricsv3.StreamMetricsMessage_Identifier{Node: &corev3.Node{Id: "sidecar~10.0.0.1~vault.bank~bank.svc.cluster.local", Cluster: "vault.bank"}}
	kit.Must(t, c.SendMsg(m))
	want := "sleep httpbin.org:80 HTTP allowed shop/httpbin connections=0 requests=3\n" +
		"sleep kubernetes.default.svc.cluster.local:443 TCP allowed Service default/kubernetes connections=2 requests=0"
	kit.EventuallyTrue(t, "the counts", func() bool { return s.reported.text("shop") != "" })
	if got := s.reported.text("shop"); got != want {
		t.Errorf("reported:\n%s\nwant\n%s", got, want)
	}
	if got := s.reported.text("bank"); got != "" {
		t.Errorf("the other namespace has %s", got)
	}
}

// TestCountsOfSharedViews has two namespaces with the same hosts from objects that only
// they see: the views are shared, and the names of the objects are not.
func TestCountsOfSharedViews(t *testing.T) {
	own := strings.Replace(httpbin, "{", `{"exportTo": ["."], `, 1)
	s := serve(t)
	s.Publish(modelOf(t, "REGISTRY_ONLY", entryOf(t, "bank", "secret-project", own), entryOf(t, "shop", "httpbin", own)))
	for _, pod := range []string{"bank/vault", "shop/sleep"} {
		kit.Must(t, s.counts(t, pod).SendMsg(counters("cluster.outbound|80||httpbin.org.upstream_rq_total", 1.0)))
	}
	if a := s.streamOf(Identity{Namespace: "bank", Pod: "vault"}); a == nil {
		t.Error("no view")
	} else if b := s.streamOf(Identity{Namespace: "shop", Pod: "sleep"}); b == nil || a.view != b.view {
		t.Error("the views are not shared")
	}
	for namespace, want := range map[string]string{"bank": "vault httpbin.org:80 HTTP allowed bank/secret-project connections=0 requests=1", "shop": "sleep httpbin.org:80 HTTP allowed shop/httpbin connections=0 requests=1"} {
		kit.EventuallyTrue(t, "the counts", func() bool { return s.reported.text(namespace) != "" })
		if got := s.reported.text(namespace); got != want {
			t.Errorf("%s reported %q, want %q", namespace, got, want)
		}
	}
}

// TestCountLimits has a client with more streams than it may have, and with messages that
// are too large: its configuration stays.
func TestCountLimits(t *testing.T) {
	s := serve(t)
	s.Publish(modelOf(t, "ALLOW_ANY", entryOf(t, "shop", "httpbin", httpbin)))
	ads := s.dial(t, "Bearer shop/sleep")
	ads.subscribe("type.googleapis.com/envoy.config.listener.v3.Listener", "*")
	_, err := ads.Recv()
	kit.Must(t, err)
	conn, ctx := s.connect(t, "shop/sleep")
	open := func() grpc.ClientStream {
		c, err := metricsv3.NewMetricsServiceClient(conn).StreamMetrics(ctx)
		kit.Must(t, err)
		return c
	}
	first := open()
	kit.Must(t, first.SendMsg(counters("cluster.outbound|80||httpbin.org.upstream_rq_total", 1.0)))
	second := open()
	kit.Must(t, second.SendMsg(counters("cluster.outbound|80||httpbin.org.upstream_rq_total", 1.0)))
	kit.EventuallyTrue(t, "both are read", func() bool { return strings.Contains(s.reported.text("shop"), "requests=2") })
	for range 2 * rejectedStreams { // of one connection
		if got := status.Code(open().RecvMsg(&metricsv3.StreamMetricsResponse{})); got != codes.ResourceExhausted {
			t.Fatalf("one stream more: %s", got)
		}
	}
	kit.Must(t, first.SendMsg(counters(strings.Repeat("a", DefaultMessageBytes), 1.0)))
	if got := status.Code(first.RecvMsg(&metricsv3.StreamMetricsResponse{})); got != codes.ResourceExhausted {
		t.Errorf("a large message: %s", got)
	}
	kit.Must(t, second.SendMsg(counters("cluster.outbound|80||httpbin.org.upstream_rq_total", 1.0)))
	kit.EventuallyTrue(t, "the other stream is still read", func() bool { return strings.Contains(s.reported.text("shop"), "requests=3") })
}

// TestCountsWithoutReports has a server that receives no reports: it reads what sidecars
// send, and keeps nothing. A stream without a message is not closed.
func TestCountsWithoutReports(t *testing.T) {
	s := serve(t)
	s.reports.to = nil
	s.reports.idle = 50 * time.Millisecond
	s.Publish(modelOf(t, "ALLOW_ANY", entryOf(t, "shop", "httpbin", httpbin)))
	c := s.counts(t, "shop/sleep")
	for range 3 {
		kit.Must(t, c.SendMsg(counters("cluster.outbound|80||httpbin.org.upstream_rq_total", 1.0)))
		time.Sleep(150 * time.Millisecond)
	}
	kit.Must(t, c.SendMsg(counters(strings.Repeat("a", DefaultMessageBytes), 1.0)))
	if got := status.Code(c.RecvMsg(&metricsv3.StreamMetricsResponse{})); got != codes.ResourceExhausted {
		t.Errorf("the stream was not read: %s", got)
	}
	if got := s.reported.text("shop"); got != "" {
		t.Errorf("reported: %s", got)
	}
}

func FuzzMetrics(f *testing.F) {
	for _, m := range []proto.Message{counters("cluster.outbound|80||a.b.test.upstream_cx_total", 1.0), counters("tcp.names.outbound|443||*.a.test.downstream_cx_total", 1.0), counters("egress.sent.cluster.outbound|443||a.test", 3.0),
		counters("egress.requests.undeclared.block_port|http|80|[2001:db8::1]:80", 3.0, "egress.connections.undeclared.allow_any|tcp|443|a.test", 1.0, entriesWritten, 4.0)} {
		data, err := proto.Marshal(m)
		kit.Must(f, err)
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m := newCounts()
		if readMetrics(data, m) != nil {
			return
		}
		for _, c := range m.declared {
			if n := max(c.connections, c.requests, c.sent, c.received); n > 1<<53 || n == 0 {
				t.Errorf("%+v", c)
			}
		}
		for _, d := range m.undeclaredReports(nil, time.Now()) {
			if report.CleanHost(d.Host) != d.Host || d.Host == "" || d.Port == 0 || d.Verdict == "" || d.Rule == "" || d.Protocol == "" {
				t.Errorf("%+v", d)
			}
		}
		if names, bytes := m.size(); names > len(data) || bytes != len(data) || m.written > 1<<53 {
			t.Errorf("%d names of %d bytes, %d entries", names, bytes, m.written)
		}
	})
}

// BenchmarkCounts decodes the message of a sidecar with 20 hosts in use, of 200 counters.
func BenchmarkCounts(b *testing.B) {
	var all []any
	for i := range 20 {
		for _, name := range []string{"upstream_cx_total", "upstream_rq_total", "upstream_cx_tx_bytes_total", "upstream_cx_rx_bytes_total", "upstream_rq_1xx", "upstream_rq_2xx", "upstream_rq_3xx", "upstream_rq_4xx", "upstream_rq_5xx", "upstream_cx_connect_fail"} {
			all = append(all, fmt.Sprintf("cluster.outbound|80||host-%d.gen.test.%s", i, name), 1.0)
		}
	}
	data, err := proto.Marshal(counters(all...))
	kit.Must(b, err)
	s := New(AuthenticatorFunc(byName), Observer{}, Limits{})
	s.ReceiveReports(newReported())
	s.Publish(modelOf(b, "ALLOW_ANY", many(b, 1000)))
	g := s.current.Load()
	v, _, err := g.view(egress.Workload{Namespace: "shop"}, nil)
	kit.Must(b, err)
	var out []report.DestinationReport
	b.ReportAllocs()
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		m := decodedCounts.Get().(*metricCounts)
		kit.Must(b, readMetrics(data, m))
		out = out[:0]
		for _, c := range m.declared {
			d, _ := declaredAs(g, v.of, "shop", c.cluster)
			out = append(out, report.DestinationReport{Destination: d})
		}
		m.release()
	}
	if len(out) != 20 || out[0].Rule == "" {
		b.Errorf("%d destinations: %+v", len(out), out[0])
	}
}
