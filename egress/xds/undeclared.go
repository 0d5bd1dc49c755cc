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
	d.Host = report.CleanHost(host)
	if d.Protocol == report.TCP && !report.IsAddress(d.Host) {
		d.Protocol = report.TLS // the name is an SNI
	}
	return d, d.Host != ""
}

// undeclaredReports appends the undeclared destinations that were counted.
func (m *metricCounts) undeclaredReports(out []report.DestinationReport, now time.Time) []report.DestinationReport {
	for i := range m.undeclared {
		if u := &m.undeclared[i]; u.any() {
			out = append(out, u.of(u.destination, now))
		}
	}
	return out
}
