package xds

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	metricsv3 "github.com/envoyproxy/go-control-plane/envoy/service/metrics/v3"
	"google.golang.org/protobuf/proto"

	"github.com/outrider-mesh/outrider/egress/report"
	"github.com/outrider-mesh/outrider/test/kit"
)

// TestReadUndeclared has what counters of undeclared destinations are counted as.
func TestReadUndeclared(t *testing.T) {
	long := strings.Repeat("a.", 127)
	for of, want := range map[string]string{
		"allow_any|tcp|443|a.test":                 "a.test:443 TLS passthrough allow_any",
		"block_all|tcp|443|A.Test":                 "a.test:443 TLS blocked block_all",
		"block_all|tcp|9000|192.0.2.1":             "192.0.2.1:9000 TCP blocked block_all",
		"allow_any|tcp|9000|2001:db8::1":           "2001:db8::1:9000 TCP passthrough allow_any",
		"allow_any|tcp|9000|::ffff:192.0.2.1":      "192.0.2.1:9000 TCP passthrough allow_any",
		"allow_any|tcp|443|a_b.test":               "a_b.test:443 TLS passthrough allow_any",
		"allow_any|http|80|a.test":                 "a.test:80 HTTP passthrough allow_any",
		"allow_any|http|8080|a.test:8080":          "a.test:8080 HTTP passthrough allow_any",
		"block_port|http|80|a.test:81":             "a.test:80 HTTP blocked block_port",
		"allow_any|http|80|192.0.2.1:80":           "192.0.2.1:80 HTTP passthrough allow_any",
		"allow_any|http|80|[2001:db8::1]":          "2001:db8::1:80 HTTP passthrough allow_any",
		"allow_any|http|8080|[2001:db8::1]:8080":   "2001:db8::1:8080 HTTP passthrough allow_any",
		"allow_any|http|80|2001:db8::1":            "2001:db8::1:80 HTTP passthrough allow_any", // without a Host
		"allow_any|http|80|web_1":                  "web_1:80 HTTP passthrough allow_any",
		"allow_any|http|8080|web:8080":             "web:8080 HTTP passthrough allow_any",
		"allow_any|http|80|a_b.test":               "a_b.test:80 HTTP passthrough allow_any",
		"allow_any|http|80|a.test_99999":           "a.test_99999:80 HTTP passthrough allow_any",
		"allow_any|http|80|" + long + "test":       "", // too long
		"allow_any|http|80|a b":                    "",
		"allow_any|http|80|":                       "",
		"allow_any|http|80|-":                      "",
		"allow_any|http|80|a.test|b":               "",
		"allow_any|http|80|[a.test]":               "",
		"allow_any|http|0|a.test":                  "",
		"allow_any|http|65536|a.test":              "",
		"allow_any|http|-1|a.test":                 "",
		"allow_any|udp|80|a.test":                  "",
		"default|http|80|a.test":                   "",
		"bank/entry|http|80|a.test":                "",
		"http|80|a.test":                           "",
		"":                                         "",
		"allow_any|http|80|\xff\x00.test":          "",
		"allow_any|http|80|a.test\nallow_any|tcp|": "",
	} {
		for what, values := range map[string]string{"connections": "7 0 0 0", "requests": "0 7 0 0", "sent": "0 0 7 0", "received": "0 0 0 7", "": "", "x": "", "connections.x": ""} {
			data, err := proto.Marshal(counters("egress."+what+".undeclared."+strings.ToValidUTF8(of, "?"), 7.0))
			kit.Must(t, err)
			m := newCounts()
			kit.Must(t, readMetrics(data, m))
			var got []string
			for _, c := range m.undeclared {
				d := c.destination
				got = append(got, fmt.Sprintf("%s:%d %s %s %s %d %d %d %d", d.Host, d.Port, d.Protocol, d.Verdict, d.Rule, c.connections, c.requests, c.sent, c.received))
			}
			line := want + " " + values
			if want == "" || values == "" {
				line = ""
			}
			if strings.Join(got, "\n") != line || len(m.declared) != 0 {
				t.Errorf("%s of %q: %q, want %q", what, of, got, line)
			}
		}
	}
}

// TestUndeclaredCounts has a client that claims to be another namespace's, and that counts
// what the others have declared.
func TestUndeclaredCounts(t *testing.T) {
	s := serve(t)
	s.Publish(modelOf(t, "ALLOW_ANY", entryOf(t, "bank", "google", google)))
	c := s.counts(t, "shop/sleep")
	m := counters(
		"egress.connections.undeclared.allow_any|tcp|443|a.test", 3.0,
		"egress.sent.undeclared.allow_any|tcp|443|a.test", 400.0,
		"egress.received.undeclared.allow_any|tcp|443|a.test", 500.0,
		"egress.requests.undeclared.allow_any|http|80|b.test", 2.0,
		"egress.requests.undeclared.allow_any|http|80|b.test:80", 5.0, // the same host
		"egress.connections.undeclared.allow_any|tcp|443|zero.test", 0.0,
		"egress.requests.undeclared.allowed|http|80|c.test", 2.0,
		"egress.connections.cluster.allow_any|tcp|443|a.test", 9.0, // the same text as a cluster
	)
	m.Identifier = &metricsv3.StreamMetricsMessage_Identifier{Node: &corev3.Node{Id: "sidecar~10.0.0.1~vault.bank~bank.svc.cluster.local", Cluster: "vault.bank"}}
	kit.Must(t, c.SendMsg(m))
	want := "sleep a.test:443 TLS passthrough allow_any connections=3 requests=0\nsleep b.test:80 HTTP passthrough allow_any connections=0 requests=7"
	kit.EventuallyTrue(t, "the counts", func() bool { return s.reported.text("shop") != "" })
	if got := s.reported.text("shop"); got != want {
		t.Errorf("reported:\n%s\nwant\n%s", got, want)
	}
	if sent, received := s.reported.bytes("shop", "a.test"); sent != 400 || received != 500 {
		t.Errorf("%d bytes are sent, %d received", sent, received)
	}
	if got := s.reported.text("bank"); got != "" {
		t.Errorf("the other namespace has %s", got)
	}
}

// TestNamesOfCountsAreLimited: names of counters are within the rate of entries.
func TestNamesOfCountsAreLimited(t *testing.T) {
	var all []any
	for i := range 200 {
		for _, what := range []string{"connections", "sent", "received"} {
			all = append(all, fmt.Sprintf("egress.%s.undeclared.allow_any|tcp|443|%d.test", what, i), 1.0)
		}
	}
	data, err := proto.Marshal(counters(all...))
	kit.Must(t, err)
	m := newCounts()
	kit.Must(t, readMetrics(data, m))
	if names, bytes := m.size(); names != 200 || bytes != len(data) {
		t.Errorf("%d names of %d bytes", names, bytes)
	}
	hosts := m.undeclaredReports(nil, time.Now())
	if len(hosts) != 200 || slices.ContainsFunc(hosts, func(d report.DestinationReport) bool {
		return d.Connections != 1 || d.BytesSent != 1 || d.BytesReceived != 1
	}) {
		t.Errorf("%d hosts: %+v", len(hosts), hosts)
	}
}
