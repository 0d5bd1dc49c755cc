package xds

import (
	"strconv"
	"strings"
	"time"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/egress/report"
)

// undeclaredCountNames are what the counters of undeclared destinations count.
var undeclaredCountNames = map[string]func(*clusterCounts) *uint64{
	egress.CountConnections: func(c *clusterCounts) *uint64 { return &c.connections },
	egress.CountRequests:    func(c *clusterCounts) *uint64 { return &c.requests },
	egress.CountSent:        func(c *clusterCounts) *uint64 { return &c.sent },
	egress.CountReceived:    func(c *clusterCounts) *uint64 { return &c.received },
}

// countedVerdicts are the verdicts of rules, and countedProtocols the protocols, in the names
// of counters.
var (
	countedVerdicts = map[string]report.Verdict{
		egress.RouteAllowAny: report.Passthrough, egress.RouteBlockAll: report.Blocked, egress.RouteBlockPort: report.Blocked,
	}
	countedProtocols = map[string]report.Protocol{"http": report.HTTP, "tcp": report.TCP}
)

// undeclaredOf is the undeclared destination that a counter's name has, and what it counts;
// nil: another counter, or no destination. The names are those of the sidecar, which may send
// any.
func undeclaredOf(name string) (d report.Destination, count func(*clusterCounts) *uint64) {
	rest, ok := strings.CutPrefix(name, egress.CountPrefix+".")
	if !ok {
		return d, nil
	}
	what, rest, _ := strings.Cut(rest, ".")
	by, of, _ := strings.Cut(rest, ".")
	if count = undeclaredCountNames[what]; count == nil || by != egress.CountUndeclared {
		return d, nil
	}
	rule, of, _ := strings.Cut(of, "|")
	protocol, of, _ := strings.Cut(of, "|")
	port, host, _ := strings.Cut(of, "|")
	n, err := strconv.ParseUint(port, 10, 16)
	d.Verdict, d.Rule, d.Protocol, d.Port = countedVerdicts[rule], rule, countedProtocols[protocol], uint16(n)
	if err != nil || n == 0 || d.Verdict == "" || d.Protocol == "" {
		return d, nil
	}
	if d.Protocol == report.HTTP {
		d.Host = report.CleanHost(withoutPort(host, d.Port))
	} else {
		d.Host, d.Protocol = sniOrAddress(host)
	}
	if d.Host == "" {
		return d, nil
	}
	return d, count
}

// sniOrAddress is a host of a connection, which Envoy has written with '_' for each ':'.
func sniOrAddress(text string) (string, report.Protocol) {
	if address := strings.ReplaceAll(text, "_", ":"); report.IsAddress(address) {
		return report.CleanHost(address), report.TCP
	}
	return report.CleanHost(text), report.TLS
}

// withoutPort is the Host of a request to a port, which Envoy has written with '_' for each
// ':'. A number after the last one is a port, unless it is in a name without a domain, such as
// web_1.
func withoutPort(text string, port uint16) string {
	if address := strings.ReplaceAll(text, "_", ":"); strings.HasPrefix(text, "[") || report.IsAddress(address) {
		return address
	}
	i := strings.LastIndexByte(text, '_')
	if i < 0 {
		return text
	}
	if n, err := strconv.ParseUint(text[i+1:], 10, 16); err == nil && (uint16(n) == port || strings.Contains(text[:i], ".")) {
		return text[:i]
	}
	return text
}

// undeclaredAt are the undeclared destinations that were counted.
func (m *metricCounts) undeclaredAt(now time.Time) (out []report.DestinationReport) {
	for d, c := range m.undeclared {
		out = append(out, c.of(d, now))
	}
	return out
}
