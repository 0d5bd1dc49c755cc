package xds

import (
	"fmt"
	"slices"
	"testing"
	"time"

	datalogv3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	logservicev3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	metricsv3 "github.com/envoyproxy/go-control-plane/envoy/service/metrics/v3"
	runtimev3 "github.com/envoyproxy/go-control-plane/envoy/service/runtime/v3"
	"github.com/prometheus/client_golang/prometheus"
	statusv3 "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/egress/envoy"
	"github.com/outrider-mesh/outrider/test/kit"
)

func TestModeOf(t *testing.T) {
	const entries, counters, off = envoy.ReportEntries, envoy.ReportCounters, envoy.ReportNothing
	for _, tt := range []struct {
		of        sidecarReports
		now, want envoy.ReportMode
	}{
		{sidecarReports{"Deployment", 0, 0}, entries, entries},
		{sidecarReports{"Deployment", countersAfter - 1, 0}, entries, entries},
		{sidecarReports{"Deployment", countersAfter, 0}, entries, counters},
		{sidecarReports{"Pod", countersAfter, 0}, entries, counters},
		{sidecarReports{"Job", 1 << 40, 0}, entries, entries},
		{sidecarReports{"CronJob", 1 << 40, 0}, entries, entries},
		{sidecarReports{"Job", 0, 0}, counters, entries},
		{sidecarReports{"Deployment", 0, 0}, counters, counters}, // since an earlier stream
		{sidecarReports{"Deployment", countersAfter, mostCounted - 1}, counters, counters},
		{sidecarReports{"Deployment", countersAfter, mostCounted}, counters, entries},
		{sidecarReports{"Deployment", 1 << 40, mostCounted}, entries, entries},
		{sidecarReports{"Deployment", 1 << 40, 1 << 30}, off, off},
	} {
		if got := modeOf(tt.of, tt.now); got != tt.want {
			t.Errorf("%+v in %s: %s, want %s", tt.of, tt.now, got, tt.want)
		}
	}
}

// reportingSidecar is a sidecar whose bootstrap has the layer of the runtime.
type reportingSidecar struct {
	client
	counts grpc.ClientStream
}

// reporting connects a sidecar, which has a version of an earlier stream or "".
func (s *served) reporting(t *testing.T, token, had string) reportingSidecar {
	t.Helper()
	c := s.dial(t, "Bearer "+token)
	r := &discoveryv3.DeltaDiscoveryRequest{TypeUrl: envoy.TypeRuntime, ResourceNamesSubscribe: []string{egress.RuntimeName}}
	if had != "" {
		r.InitialResourceVersions = map[string]string{egress.RuntimeName: had}
	}
	kit.Must(t, c.Send(r))
	conn, ctx := s.connect(t, token)
	counts, err := metricsv3.NewMetricsServiceClient(conn).StreamMetrics(ctx)
	kit.Must(t, err)
	return reportingSidecar{c, counts}
}

// wantMode receives a mode and acknowledges it.
func (c reportingSidecar) wantMode(mode envoy.ReportMode) {
	c.t.Helper()
	r := c.want("Runtime +reports")
	of := &runtimev3.Runtime{}
	kit.Must(c.t, r.Resources[0].Resource.UnmarshalTo(of))
	values, want := of.Layer.AsMap(), map[string]any{egress.RuntimeEntries: 0.0, egress.RuntimeCounters: 0.0}
	switch mode {
	case envoy.ReportEntries:
		want[egress.RuntimeEntries] = 100.0
	case envoy.ReportCounters:
		want[egress.RuntimeCounters] = 100.0
	}
	if r.Resources[0].Version != string(mode) || fmt.Sprint(values) != fmt.Sprint(want) {
		c.t.Errorf("%s: %v, want %s", r.Resources[0].Version, values, mode)
	}
}

// wantNothing has the server answer something else first.
func (c reportingSidecar) wantNothing() {
	c.t.Helper()
	time.Sleep(50 * time.Millisecond) // of the stream of counts
	c.subscribe(envoy.TypeRoute, "80")
	c.want("RouteConfiguration +80")
}

func (c reportingSidecar) wrote(entries float64) {
	c.t.Helper()
	kit.Must(c.t, c.counts.SendMsg(counters(entriesWritten, entries)))
}

// counted reports counters of hosts from one number to another, of which half have not counted
// anything since the last message.
func (c reportingSidecar) counted(from, to int) {
	c.t.Helper()
	var all []any
	for i := from; i < to; i++ {
		all = append(all, fmt.Sprintf("egress.connections.undeclared.allow_any|tcp|443|host-%d.test", i), float64(i%2))
	}
	kit.Must(c.t, c.counts.SendMsg(counters(all...)))
}

// TestReportModes has a sidecar that reports more and more: it is switched to counters once,
// and back once.
func TestReportModes(t *testing.T) {
	s := serve(t)
	s.Publish(modelOf(t, "ALLOW_ANY"))
	c := s.reporting(t, "shop/sleep", "")
	c.wantMode(envoy.ReportEntries)
	c.wrote(60)
	c.wantNothing()
	c.wrote(40)
	c.wantMode(envoy.ReportCounters)
	c.counted(0, 300)
	c.counted(0, 300) // the same ones
	c.counted(300, mostCounted-1)
	c.wantNothing()
	c.counted(mostCounted-1, mostCounted)
	c.wantMode(envoy.ReportEntries)
	c.wrote(1000)
	c.counted(1000, 2000)
	c.wantNothing()
	if got := s.Status()[0]; got.Sent[envoy.TypeRuntime][egress.RuntimeName] != "entries" {
		t.Errorf("%+v", got)
	}
	_, all := s.Describe("shop", "sleep")
	if i := slices.IndexFunc(all[0], func(r SentResource) bool { return r.Type == "Runtime" }); i < 0 || len(all[0][i].Body) == 0 {
		t.Errorf("described as %+v", all[0])
	}
}

// TestReportModeByEntries has entries arrive at the replica that has the sidecar's stream:
// it is switched without waiting for its counts, and the connection of the entries is closed.
func TestReportModeByEntries(t *testing.T) {
	s := serve(t)
	s.connections.timeout = 1 << 40
	s.Publish(modelOf(t, "ALLOW_ANY"))
	c := s.reporting(t, "shop/sleep", "")
	c.wantMode(envoy.ReportEntries)
	logs := s.dialReports(t, "shop/sleep")
	entries := func(n int) (all []*datalogv3.TCPAccessLogEntry) {
		for range n {
			all = append(all, blockedTLS("a.test"))
		}
		return all
	}
	kit.Must(t, logs.Send(tcpLogs(entries(countersAfter-1)...)))
	kit.EventuallyTrue(t, "the report", func() bool { return s.reported.text("shop") != "" })
	c.wantNothing()
	kit.Must(t, logs.Send(tcpLogs(entries(1)...)))
	c.wantMode(envoy.ReportCounters)
	kit.Must(t, logs.Send(tcpLogs(entries(1)...))) // the rest of a buffer
	if err := logs.RecvMsg(&logservicev3.StreamAccessLogsResponse{}); err == nil {
		t.Error("a response")
	}
	want := fmt.Sprintf("sleep a.test:443 TLS blocked block_all connections=%d requests=0", countersAfter+1)
	if got := s.reported.text("shop"); got != want {
		t.Errorf("reported %s, want %s", got, want)
	}
	kit.EventuallyTrue(t, "the connection is closed", func() bool { return s.PendingConnections() == 0 })
}

// TestReportModeOfThreads has a sidecar whose other worker thread has sent its last entries
// before the sidecar is switched: its connection is closed as soon.
func TestReportModeOfThreads(t *testing.T) {
	s := serve(t)
	s.connections.timeout = 1 << 40
	s.reports.idle = 1 << 40
	s.Publish(modelOf(t, "ALLOW_ANY"))
	c := s.reporting(t, "shop/sleep", "")
	c.wantMode(envoy.ReportEntries)
	threads := []logservicev3.AccessLogService_StreamAccessLogsClient{s.dialReports(t, "shop/sleep"), s.dialReports(t, "shop/sleep")}
	for i, logs := range threads {
		kit.Must(t, logs.Send(tcpLogs(slices.Repeat([]*datalogv3.TCPAccessLogEntry{blockedTLS("a.test")}, countersAfter/2)...)))
		want := fmt.Sprintf("sleep a.test:443 TLS blocked block_all connections=%d requests=0", (i+1)*countersAfter/2)
		kit.EventuallyTrue(t, "the report", func() bool { return s.reported.text("shop") == want })
	}
	c.wantMode(envoy.ReportCounters)
	for _, logs := range threads {
		if err := logs.RecvMsg(&logservicev3.StreamAccessLogsResponse{}); err == nil {
			t.Error("a response")
		}
	}
	kit.EventuallyTrue(t, "the connections are closed", func() bool { return s.PendingConnections() == 0 })
}

// TestReportModeOfJobs has a Job, whose counts might not arrive.
func TestReportModeOfJobs(t *testing.T) {
	s := serve(t)
	s.reported.kind = "Job"
	s.Publish(modelOf(t, "ALLOW_ANY"))
	c := s.reporting(t, "shop/nightly", "")
	c.wantMode(envoy.ReportEntries)
	c.wrote(1e6)
	c.wantNothing()
}

// TestReportModeAgain has sidecars that connect again, to another replica or process.
func TestReportModeAgain(t *testing.T) {
	s := serve(t)
	s.Publish(modelOf(t, "ALLOW_ANY"))
	c := s.reporting(t, "shop/a", "counters")
	c.wantNothing()
	c.counted(0, mostCounted)
	c.wantMode(envoy.ReportEntries)
	c = s.reporting(t, "shop/b", "entries")
	c.wantNothing()
	c.wrote(countersAfter)
	c.wantMode(envoy.ReportCounters)
	s.reporting(t, "shop/c", "off").wantMode(envoy.ReportEntries)
	s.reports.to = nil
	c = s.reporting(t, "shop/d", "counters")
	c.wantMode(envoy.ReportNothing)
	c.wrote(1e6)
	c.wantNothing()
}

// TestReportModeRejected: a NACK is counted, and the sidecar is sent no other mode.
func TestReportModeRejected(t *testing.T) {
	s := serve(t)
	s.Publish(modelOf(t, "ALLOW_ANY"))
	c := s.reporting(t, "shop/sleep", "")
	nonce := c.receive("Runtime +reports")
	kit.Must(t, c.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: envoy.TypeRuntime, ResponseNonce: nonce, ErrorDetail: &statusv3.Status{Message: "no such layer"}}))
	c.wantNothing()
	c.wrote(countersAfter)
	time.Sleep(50 * time.Millisecond)
	c.subscribe(envoy.TypeRoute, "443")
	c.want("RouteConfiguration +443")
	if len(s.rejected) != 1 || s.rejected[0].Reason != "no such layer" || s.Status()[0].Rejected[envoy.TypeRuntime].Reason == "" {
		t.Errorf("rejected: %+v", s.rejected)
	}
	c.subscribe(envoy.TypeRuntime, "others", "*")
	c.subscribe(envoy.TypeRoute, "8080")
	c.want("RouteConfiguration +8080")

	c = s.reporting(t, "shop/counts", "")
	c.wantMode(envoy.ReportEntries)
	c.wrote(countersAfter)
	nonce = c.receive("Runtime +reports")
	kit.Must(t, c.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: envoy.TypeRuntime, ResponseNonce: nonce, ErrorDetail: &statusv3.Status{Message: "no counters"}}))
	c.wantNothing()
	for name, all := range s.pods {
		if mode := all[0].reporting.mode; mode != envoy.ReportEntries {
			t.Errorf("%s rejected the mode %s, and is taken to have it", name, mode)
		}
	}
}

// TestReportModeWithoutLayer has a sidecar of an earlier version, which has no such layer.
func TestReportModeWithoutLayer(t *testing.T) {
	s := serve(t)
	s.Publish(modelOf(t, "ALLOW_ANY"))
	c := s.dial(t, "Bearer shop/sleep")
	c.subscribe(envoy.TypeRoute, "80")
	c.want("RouteConfiguration +80")
	conn, ctx := s.connect(t, "shop/sleep")
	counts, err := metricsv3.NewMetricsServiceClient(conn).StreamMetrics(ctx)
	kit.Must(t, err)
	r := reportingSidecar{c, counts}
	r.wrote(1e6)
	r.counted(0, 2)
	kit.EventuallyTrue(t, "the counts", func() bool { return s.reported.text("shop") != "" })
	c.subscribe(envoy.TypeRoute, "443")
	c.want("RouteConfiguration +443")
}

// TestReportModeMetric counts sidecars by their mode.
func TestReportModeMetric(t *testing.T) {
	registry := prometheus.NewRegistry()
	o := Metrics(registry, Observer{})
	s := New(AuthenticatorFunc(byName), o, unlimited)
	s.ReceiveReports(newReported())
	a, b := newStream(s, nil, Identity{Namespace: "shop", Pod: "a"}), newStream(s, nil, Identity{Namespace: "shop", Pod: "b"})
	ends := []func(){a.reports(), b.reports()}
	a.reporting.subscribed = true
	a.observe(s.reports.seed, "Deployment", 2*countersAfter, nil)
	want := func(entries, counters int) {
		t.Helper()
		for mode, want := range map[envoy.ReportMode]int{envoy.ReportEntries: entries, envoy.ReportCounters: counters} {
			if got := gaugeOf(t, registry, "outrider_xds_reporting", string(mode)); int(got) != want {
				t.Errorf("%s: %v, want %d", mode, got, want)
			}
		}
	}
	want(1, 1)
	for _, end := range ends {
		end()
	}
	a.observe(s.reports.seed, "Job", 1, nil) // after its end
	want(0, 0)
}

// TestReportModeEnds has streams of entries of a sidecar: they are to end while it counts, and
// not when it has entries again.
func TestReportModeEnds(t *testing.T) {
	s := New(AuthenticatorFunc(byName), Observer{}, unlimited)
	s.ReceiveReports(newReported())
	st := newStream(s, nil, Identity{Namespace: "shop", Pod: "a"})
	st.reporting.subscribed = true
	ends := func(when string, counts <-chan struct{}, want bool) {
		t.Helper()
		select {
		case <-counts:
			if !want {
				t.Errorf("%s: the streams end", when)
			}
		default:
			if want {
				t.Errorf("%s: the streams do not end", when)
			}
		}
	}
	first := st.received("Deployment", countersAfter-1)
	ends("entries", first, false)
	ends("counters", st.received("Deployment", 1), true)
	ends("counters, another stream", first, true)
	many := make([]undeclaredCounts, mostCounted)
	for i := range many {
		many[i].destination.Host = fmt.Sprint(i)
	}
	st.observe(s.reports.seed, "Deployment", 0, many)
	ends("entries again", st.received("Deployment", countersAfter), false)
}

// gaugeOf is the value of a gauge with one label.
func gaugeOf(t *testing.T, from prometheus.Gatherer, name, label string) float64 {
	t.Helper()
	all, err := from.Gather()
	kit.Must(t, err)
	for _, family := range all {
		for _, m := range family.Metric {
			if family.GetName() == name && m.Label[0].GetValue() == label {
				return m.Gauge.GetValue()
			}
		}
	}
	t.Fatalf("no metric %s of %s", name, label)
	return 0
}
