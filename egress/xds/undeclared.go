package xds

import (
	"bytes"
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

// undeclaredCounts are those of a destination.
type undeclaredCounts struct {
	destination report.Destination
	clusterCounts
}

// undeclaredCounterOf is the destination in a counter's name, and what it counts; nil:
// another counter.
func undeclaredCounterOf(name []byte) (of []byte, count func(*clusterCounts) *uint64) {
	rest, ok := bytes.CutPrefix(name, []byte(egress.CountPrefix+"."))
	if !ok {
		return nil, nil
	}
	what, rest, _ := bytes.Cut(rest, dot)
	by, of, _ := bytes.Cut(rest, dot)
	if string(by) != egress.CountUndeclared {
		return nil, nil
	}
	return of, undeclaredCountNames[string(what)]
}

// undeclaredAs is the place of a destination by its name; -1: it is none.
func (m *metricCounts) undeclaredAs(name []byte) int {
	if i, ok := m.names[string(name)]; ok {
		return i
	}
	text, place := string(name), -1
	if d, ok := undeclaredOf(text); ok { // several names may be of one: a host with a port and without
		place = len(m.undeclared)
		m.undeclared = append(m.undeclared, undeclaredCounts{destination: d})
	}
	m.names[text] = place
	return place
}

// undeclaredOf is the undeclared destination of a name, RULE|PROTOCOL|PORT|HOST. The names
// are those of the sidecar, which may send any.
func undeclaredOf(name string) (d report.Destination, ok bool) {
	rule, rest, _ := strings.Cut(name, "|")
	protocol, rest, _ := strings.Cut(rest, "|")
	port, host, _ := strings.Cut(rest, "|")
	n, err := strconv.ParseUint(port, 10, 16)
	d.Verdict, d.Rule, d.Protocol, d.Port = countedVerdicts[rule], rule, countedProtocols[protocol], uint16(n)
	if err != nil || n == 0 || d.Verdict == "" || d.Protocol == "" {
		return d, false
	}
	if d.Protocol == report.HTTP {
		d.Host = report.CleanHost(withoutPort(host, d.Port))
	} else {
		d.Host, d.Protocol = sniOrAddress(host)
	}
	return d, d.Host != ""
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

// undeclaredReports appends the undeclared destinations that were counted.
func (m *metricCounts) undeclaredReports(out []report.DestinationReport, now time.Time) []report.DestinationReport {
	for i := range m.undeclared {
		out = append(out, m.undeclared[i].of(m.undeclared[i].destination, now))
	}
	return out
}
