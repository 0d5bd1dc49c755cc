package xds

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	datalogv3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	logservicev3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/test/kit"
)

// dialReports opens a stream of reports on a connection of its own.
func (s *served) dialReports(t testing.TB, token string) logservicev3.AccessLogService_StreamAccessLogsClient {
	t.Helper()
	conn, err := grpc.NewClient(s.address, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: s.roots})))
	kit.Must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	c, err := logservicev3.NewAccessLogServiceClient(conn).StreamAccessLogs(metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+token))
	kit.Must(t, err)
	return c
}

func socketOf(address string, port uint32) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address: address, PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: port},
	}}}
}

// blockedTLS is an entry of a blocked connection, with all that Envoy sends.
func blockedTLS(sni string) *datalogv3.TCPAccessLogEntry {
	return &datalogv3.TCPAccessLogEntry{
		CommonProperties: &datalogv3.AccessLogCommon{
			DownstreamLocalAddress: socketOf("192.0.2.1", 443), DownstreamRemoteAddress: socketOf("10.0.0.1", 40000), DownstreamDirectRemoteAddress: socketOf("10.0.0.1", 40000),
			StartTime: timestamppb.Now(), TlsProperties: &datalogv3.TLSProperties{TlsSniHostname: sni}, // no cluster, which is that of the upstream address
			ResponseFlags: &datalogv3.ResponseFlags{NoHealthyUpstream: true}, AccessLogType: datalogv3.AccessLogType_TcpConnectionEnd,
			StreamId: "6a0f7a7b-2d0c-4c7e-9a53-7d5e5b0a5a5e",
		},
		ConnectionProperties: &datalogv3.ConnectionProperties{ReceivedBytes: 517},
	}
}

func tcpLogs(entries ...*datalogv3.TCPAccessLogEntry) *logservicev3.StreamAccessLogsMessage {
	return &logservicev3.StreamAccessLogsMessage{LogEntries: &logservicev3.StreamAccessLogsMessage_TcpLogs{
		TcpLogs: &logservicev3.StreamAccessLogsMessage_TCPAccessLogEntries{LogEntry: entries},
	}}
}

// TestReportsAreOfTheToken has a client that claims to be another namespace's.
func TestReportsAreOfTheToken(t *testing.T) {
	s := serve(t)
	s.Publish(modelOf(t, "ALLOW_ANY"))
	c := s.dialReports(t, "shop/sleep")
	m := tcpLogs(blockedTLS("a.test"))
	m.Identifier = &logservicev3.StreamAccessLogsMessage_Identifier{LogName: "bank", Node: &corev3.Node{Id: "sidecar~10.0.0.1~vault.bank~bank.svc.cluster.local", Cluster: "vault.bank"}}
	kit.Must(t, c.Send(m))
	kit.EventuallyTrue(t, "the report", func() bool {
		return s.reported.text("shop") == "sleep a.test:443 TLS blocked block_all connections=1 requests=0"
	})
	if got := s.reported.text("bank"); got != "" {
		t.Errorf("the other namespace has %s", got)
	}
	for token, want := range map[string]codes.Code{"invalid": codes.Unauthenticated, "unavailable": codes.Unavailable} {
		if err := s.dialReports(t, token).RecvMsg(&logservicev3.StreamAccessLogsResponse{}); status.Code(err) != want {
			t.Errorf("%s: %v", token, err)
		}
	}
}

// TestReportLimits has streams and messages over the limits.
func TestReportLimits(t *testing.T) {
	s := serve(t)
	s.Publish(modelOf(t, "ALLOW_ANY"))
	ended := func(c grpc.ClientStream) codes.Code {
		return status.Code(c.RecvMsg(&logservicev3.StreamAccessLogsResponse{}))
	}
	var open []grpc.ClientStream
	for i := range reportStreamsPerPod {
		c := s.dialReports(t, "shop/sleep")
		kit.Must(t, c.Send(tcpLogs(blockedTLS(fmt.Sprintf("%d.test", i)))))
		open = append(open, c)
	}
	kit.EventuallyTrue(t, "all are read", func() bool { return strings.Count(s.reported.text("shop"), "\n") == reportStreamsPerPod-1 })
	if got := ended(s.dialReports(t, "shop/sleep")); got != codes.ResourceExhausted {
		t.Errorf("one stream more: %s", got)
	}
	kit.Must(t, s.dialReports(t, "shop/other").Send(tcpLogs(blockedTLS("other.test"))))
	kit.EventuallyTrue(t, "another pod reports", func() bool { return strings.Contains(s.reported.text("shop"), "other.test") })
	kit.Must(t, open[0].SendMsg(tcpLogs(blockedTLS(strings.Repeat("a", DefaultMessageBytes)))))
	if got := ended(open[0]); got != codes.ResourceExhausted {
		t.Errorf("a large message: %s", got)
	}
	kit.Must(t, open[1].CloseSend())
	if got := ended(open[1]); got != codes.OK && got != codes.Unknown { // io.EOF
		t.Errorf("closed by the client: %s", got)
	}
	kit.EventuallyTrue(t, "the limits are counted", func() bool { // gRPC may send the status first
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.limited[limitReportStreams] == 1 && s.limited[limitMessage] == 1
	})
}

// TestIdleReports has a stream without a message.
func TestIdleReports(t *testing.T) {
	s := serve(t)
	s.reports.idle = 50 * time.Millisecond
	s.Publish(modelOf(t, "ALLOW_ANY"))
	if err := s.dialReports(t, "shop/sleep").RecvMsg(&logservicev3.StreamAccessLogsResponse{}); !errors.Is(err, io.EOF) && status.Code(err) != codes.Internal {
		t.Errorf("an idle stream ends with %v", err)
	}
	s.reports.mu.Lock()
	defer s.reports.mu.Unlock()
	if len(s.reports.counts) != 0 {
		t.Errorf("streams are counted: %v", s.reports.counts)
	}
}

// TestReportFlood has a pod that reports as much as it can, with names that are never the
// same: it is read at its rate, and its neighbors' reports and configuration arrive.
func TestReportFlood(t *testing.T) {
	s := serve(t)
	s.Publish(modelOf(t, "ALLOW_ANY"))
	var flood sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	for n := range reportStreamsPerPod {
		c := s.dialReports(t, "evil/pod")
		flood.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				var entries []*datalogv3.TCPAccessLogEntry
				for j := range 100 {
					entries = append(entries, blockedTLS(fmt.Sprintf("%d.%d.%d.test", n, i, j)))
				}
				if c.Send(tcpLogs(entries...)) != nil {
					return
				}
			}
		})
	}
	t.Cleanup(flood.Wait)
	t.Cleanup(stop)
	kit.EventuallyTrue(t, "the flood is read", func() bool { return strings.Contains(s.reported.text("evil"), "more=") })
	for i := range 20 {
		kit.Must(t, s.dialReports(t, fmt.Sprintf("shop/pod-%d", i)).Send(tcpLogs(blockedTLS("a.test"))))
	}
	kit.EventuallyTrue(t, "the neighbors' reports", func() bool { return strings.Count(s.reported.text("shop"), "a.test") == 20 })
	c := s.dial(t, "Bearer shop/pod-0")
	c.subscribe("type.googleapis.com/envoy.config.listener.v3.Listener", "*")
	if _, err := c.Recv(); err != nil {
		t.Errorf("the configuration of a neighbor: %v", err)
	}
	before, began := s.reported.connections("evil"), time.Now()
	time.Sleep(2 * time.Second)
	if rate := float64(s.reported.connections("evil")-before) / time.Since(began).Seconds(); rate > 1.5*reportsPerPod {
		t.Errorf("%.0f entries a second are read of one pod, and its limit is %d", rate, reportsPerPod)
	}
	if n := len(s.reported.text("evil")); n > 100_000 {
		t.Errorf("the report of the flood has %d bytes", n)
	}
}

func FuzzAccessLogs(f *testing.F) {
	for _, m := range []proto.Message{tcpLogs(blockedTLS("a.test"), blockedTLS("")), httpLogs("b.test:80", egress.RouteAllowAny), httpLogs("[::1]", egress.RouteBlockPort)} {
		data, err := proto.Marshal(m)
		kit.Must(f, err)
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var logs accessLogs
		if readAccessLogs(data, &logs) != nil {
			return
		}
		if len(logs.destinations) > logs.entries {
			t.Errorf("%d destinations of %d entries", len(logs.destinations), logs.entries)
		}
		for _, d := range logs.destinations {
			if d.Host == "" || len(d.Host) > 253 || d.Port == 0 || d.Verdict == "" || d.Protocol == "" || d.Connections+d.Requests > 1 {
				t.Errorf("%+v", d)
			}
		}
	})
}

func httpLogs(authority, route string) *logservicev3.StreamAccessLogsMessage {
	return &logservicev3.StreamAccessLogsMessage{LogEntries: &logservicev3.StreamAccessLogsMessage_HttpLogs{
		HttpLogs: &logservicev3.StreamAccessLogsMessage_HTTPAccessLogEntries{LogEntry: []*datalogv3.HTTPAccessLogEntry{{
			CommonProperties: &datalogv3.AccessLogCommon{DownstreamLocalAddress: socketOf("2001:db8::1", 80), RouteName: route},
			Request:          &datalogv3.HTTPRequestProperties{Authority: authority, Path: "/secret", RequestHeadersBytes: 100, RequestBodyBytes: 20},
			Response:         &datalogv3.HTTPResponseProperties{ResponseHeadersBytes: 50, ResponseBodyBytes: 7},
		}}},
	}}
}

// TestReadAccessLogs has what an entry is counted as.
func TestReadAccessLogs(t *testing.T) {
	declared, forwarded, failed := blockedTLS("a.test"), blockedTLS("a.test"), blockedTLS("a.test")
	declared.CommonProperties.UpstreamCluster = "outbound|443||a.test"
	forwarded.CommonProperties.UpstreamCluster, forwarded.CommonProperties.UpstreamRemoteAddress = egress.PassthroughCluster, socketOf("192.0.2.1", 443)
	failed.CommonProperties.UpstreamCluster, failed.CommonProperties.ResponseFlags.UpstreamConnectionFailure = egress.PassthroughCluster, true
	failed.CommonProperties.UpstreamRemoteAddress = socketOf("192.0.2.1", 443)
	connected := proto.CloneOf(forwarded)
	connected.CommonProperties.AccessLogType = datalogv3.AccessLogType_TcpUpstreamConnected
	without := blockedTLS("")
	without.CommonProperties.DownstreamLocalAddress = nil
	for name, tt := range map[string]struct {
		m    proto.Message
		want string
	}{
		"blocked":                 {tcpLogs(blockedTLS("A.test.")), "a.test:443 TLS blocked block_all 1 0 517 0"},
		"without an SNI":          {tcpLogs(blockedTLS("")), "192.0.2.1:443 TCP blocked block_all 1 0 517 0"},
		"with an SNI of no name":  {tcpLogs(blockedTLS("a b")), "192.0.2.1:443 TCP blocked block_all 1 0 517 0"},
		"without an address":      {tcpLogs(without), ""},
		"declared":                {tcpLogs(declared), ""},
		"connected":               {tcpLogs(connected), "a.test:443 TLS passthrough allow_any 1 0 517 0"},
		"ended":                   {tcpLogs(forwarded), "a.test:443 TLS passthrough allow_any 0 0 517 0"},
		"not connected":           {tcpLogs(failed), "a.test:443 TLS passthrough allow_any 1 0 517 0"},
		"a request":               {httpLogs("b.test:81", egress.RouteAllowAny), "b.test:80 HTTP passthrough allow_any 0 1 120 57"},
		"a request to an address": {httpLogs("[2001:DB8::2]:80", egress.RouteBlockAll), "2001:db8::2:80 HTTP blocked block_all 0 1 120 57"},
		"a request without Host":  {httpLogs("", egress.RouteBlockPort), "2001:db8::1:80 HTTP blocked block_port 0 1 120 57"},
		"a declared request":      {httpLogs("b.test", egress.RouteDefault), ""},
	} {
		data, err := proto.Marshal(tt.m)
		kit.Must(t, err)
		var logs accessLogs
		kit.Must(t, readAccessLogs(data, &logs))
		got := ""
		for _, d := range logs.destinations {
			got += fmt.Sprintf("%s:%d %s %s %s %d %d %d %d", d.Host, d.Port, d.Protocol, d.Verdict, d.Rule, d.Connections, d.Requests, d.BytesSent, d.BytesReceived)
		}
		if got != tt.want || logs.entries != 1 {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

// BenchmarkReports decodes and counts an entry.
func BenchmarkReports(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	var entries []*datalogv3.TCPAccessLogEntry
	for range 20 {
		entries = append(entries, blockedTLS(fmt.Sprintf("host-%d.example.com", r.IntN(100))))
	}
	data, err := proto.Marshal(tcpLogs(entries...))
	kit.Must(b, err)
	to := newReported()
	b.ReportAllocs()
	for b.Loop() {
		var logs accessLogs
		kit.Must(b, readAccessLogs(data, &logs))
		logs.at(time.Now())
		to.Observe("shop", to.Workload(b.Context(), Identity{Pod: "a"}), logs.destinations)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(20*b.N), "ns/entry")
}
