package xds

import (
	"bytes"
	"math"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/egress/report"
)

// The field numbers that are read of a StreamMetricsMessage and of its parts.
const (
	metricsFamily = 2

	familyName   = 1
	familyMetric = 4

	metricCounter = 3
	counterValue  = 1
)

// metricCounts are the counters of a message. What has names is found by them, and kept in
// lists, so that a message that is used again allocates the names alone.
type metricCounts struct {
	declared   []clusterCounts
	undeclared []undeclaredCounts
	clusters   map[string]int // places in declared, by the name of a cluster
	names      map[string]int // places in undeclared, by the name of a destination; -1: it is none
	written    uint64         // entries of access logs that the sidecar has sent
	bytes      int
	reports    []report.DestinationReport // for countMetrics
}

// countsMessage is what a stream receives.
type countsMessage struct{ data mem.BufferSlice }

var decodedCounts = sync.Pool{New: func() any { return &metricCounts{clusters: map[string]int{}, names: map[string]int{}} }}

// release makes the message free for another one. The caller keeps nothing of it.
func (m *metricCounts) release() {
	if len(m.clusters)+len(m.names) > mostKept {
		return
	}
	clear(m.declared)
	clear(m.undeclared)
	clear(m.reports[:cap(m.reports)])
	clear(m.clusters)
	clear(m.names)
	*m = metricCounts{declared: m.declared[:0], undeclared: m.undeclared[:0], reports: m.reports[:0], clusters: m.clusters, names: m.names}
	decodedCounts.Put(m)
}

func (m *metricCounts) size() (names, bytes int) { return len(m.clusters) + len(m.names), m.bytes }

// clusterCounts are what has happened since the last message.
type clusterCounts struct {
	cluster                               string
	connections, requests, sent, received uint64
}

// countNames are the ends of the names of counters of clusters, and what they count.
var countNames = map[string]func(*clusterCounts) *uint64{
	"upstream_cx_total":          func(c *clusterCounts) *uint64 { return &c.connections },
	"upstream_rq_total":          func(c *clusterCounts) *uint64 { return &c.requests },
	"upstream_cx_tx_bytes_total": func(c *clusterCounts) *uint64 { return &c.sent },
	"upstream_cx_rx_bytes_total": func(c *clusterCounts) *uint64 { return &c.received },
}

// tcpCountNames are those of connections to a cluster that destinations share.
var tcpCountNames = map[string]func(*clusterCounts) *uint64{
	"downstream_cx_total":          func(c *clusterCounts) *uint64 { return &c.connections },
	"downstream_cx_rx_bytes_total": func(c *clusterCounts) *uint64 { return &c.sent },
	"downstream_cx_tx_bytes_total": func(c *clusterCounts) *uint64 { return &c.received },
}

var sniCountNames = map[string]func(*clusterCounts) *uint64{
	egress.CountConnections: func(c *clusterCounts) *uint64 { return &c.connections },
	egress.CountSent:        func(c *clusterCounts) *uint64 { return &c.sent },
	egress.CountReceived:    func(c *clusterCounts) *uint64 { return &c.received },
}

// readMetrics decodes a message: the counters of declared destinations, and nothing else.
func readMetrics(data []byte, m *metricCounts) error {
	m.bytes = len(data)
	return eachField(data, func(number protowire.Number, family []byte) error {
		if number != metricsFamily {
			return nil // who it is of: whose token it came with decides
		}
		return m.readFamily(family)
	})
}

func (m *metricCounts) readFamily(data []byte) error {
	var name []byte
	var value float64
	err := eachField(data, func(number protowire.Number, field []byte) error {
		switch number {
		case familyName:
			name = field
		case familyMetric:
			return eachField(field, func(number protowire.Number, counter []byte) error {
				if number != metricCounter {
					return nil
				}
				return readCounter(counter, &value)
			})
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case value >= 1: // most are zero
		m.add(name, value)
	default:
		if of, count := undeclaredCounterOf(name); count != nil { // it takes a place in Envoy
			m.undeclaredAs(of)
		}
	}
	return nil
}

// readCounter reads a counter: Envoy's have integers as floating point numbers.
func readCounter(data []byte, value *float64) error {
	for len(data) > 0 {
		number, kind, n := protowire.ConsumeTag(data)
		if n < 0 {
			return errMalformed
		}
		data = data[n:]
		if number == counterValue && kind == protowire.Fixed64Type {
			bits, n := protowire.ConsumeFixed64(data)
			if n < 0 {
				return errMalformed
			}
			*value, data = math.Float64frombits(bits), data[n:]
			continue
		}
		if n = protowire.ConsumeFieldValue(number, kind, data); n < 0 {
			return errMalformed
		}
		data = data[n:]
	}
	return nil
}

// entriesWritten is the counter of the entries of access logs that a sidecar has sent.
const entriesWritten = "access_logs.grpc_access_log.logs_written"

// add counts a counter by its name.
func (m *metricCounts) add(name []byte, value float64) {
	n := uint64(min(value, 1<<53))
	if string(name) == entriesWritten {
		m.written = n
		return
	}
	if of, count := undeclaredCounterOf(name); count != nil {
		if i := m.undeclaredAs(of); i >= 0 {
			*count(&m.undeclared[i].clusterCounts) = n
		}
		return
	}
	cluster, count := counterOf(name)
	if count == nil {
		return
	}
	i, ok := m.clusters[string(cluster)]
	if !ok {
		i = len(m.declared)
		c := clusterCounts{cluster: string(cluster)}
		m.clusters[c.cluster] = i
		m.declared = append(m.declared, c)
	}
	*count(&m.declared[i]) = n
}

// counterOf is the cluster that a counter's name has, and what it counts; nil: another
// counter.
func counterOf(name []byte) (cluster []byte, count func(*clusterCounts) *uint64) {
	kind, rest, _ := bytes.Cut(name, dot)
	switch string(kind) {
	case "cluster":
		if i := bytes.LastIndexByte(rest, '.'); i >= 0 && (bytes.HasPrefix(rest, []byte("outbound|")) || bytes.HasPrefix(rest, []byte("mirror|"))) {
			return rest[:i], countNames[string(rest[i+1:])]
		}
	case "tcp":
		rest, ok := bytes.CutPrefix(rest, []byte(egress.CountedNames))
		if i := bytes.LastIndexByte(rest, '.'); ok && i >= 0 {
			return rest[:i], tcpCountNames[string(rest[i+1:])]
		}
	case egress.CountPrefix:
		what, rest, _ := bytes.Cut(rest, dot)
		by, cluster, _ := bytes.Cut(rest, dot)
		if string(by) == egress.CountBy {
			return cluster, sniCountNames[string(what)]
		}
	}
	return nil, nil
}

var dot = []byte{'.'}

// declaredReports appends the counted destinations that the sidecar has. What it does not
// have it cannot have reached.
func (st *stream) declaredReports(out []report.DestinationReport, all []clusterCounts, now time.Time) []report.DestinationReport {
	if st == nil || len(all) == 0 {
		return out
	}
	st.mu.Lock()
	g, v := st.generation, st.view
	st.mu.Unlock()
	for i := range all {
		if d, ok := declaredAs(g, v.of, st.identity.Namespace, all[i].cluster); ok {
			out = append(out, all[i].of(d, now))
		}
	}
	return out
}

func (c *clusterCounts) any() bool { return c.connections|c.requests|c.sent|c.received != 0 }

// of are the counts of a destination.
func (c *clusterCounts) of(d report.Destination, now time.Time) report.DestinationReport {
	counts := report.Counts{First: now, Last: now, BytesSent: c.sent, BytesReceived: c.received}
	if d.Protocol == report.HTTP {
		counts.Requests = c.requests
	} else {
		counts.Connections = c.connections
	}
	return report.DestinationReport{Destination: d, Counts: counts}
}

// declaredAs is the destination that a cluster's name is of, in a namespace.
func declaredAs(g *generation, v *egress.View, namespace, cluster string) (d report.Destination, ok bool) {
	d.Verdict = report.Allowed
	if h, ok := v.Counted(cluster); ok {
		by, ok := g.model.DeclaredBy(h, namespace)
		if !ok {
			return d, false
		}
		d.Host, d.Port, d.Rule = strings.ToLower(h.RoutesName()), uint16(h.Port), by.Namespace+"/"+by.Name
		switch {
		case h.Protocol.IsHTTP():
			d.Protocol = report.HTTP
		case h.Protocol == egress.ProtocolTLS:
			d.Protocol = report.TLS
		default:
			d.Protocol = report.TCP
		}
		return d, true
	}
	a, ok := v.CountedInCluster(cluster)
	if !ok {
		return d, false
	}
	d.Host, d.Port, d.Protocol = a.Addr().String(), a.Port(), report.TCP
	if service, ok := g.services().Of(a, namespace); ok {
		d.Host, d.Rule = service.Host(), "Service "+service.Namespace+"/"+service.Name
	}
	return d, true
}

// streamOf is a pod's stream of configuration, which comes over the same connection as its
// counts; nil if there is none with a view.
func (s *Server) streamOf(id Identity) *stream {
	s.mu.Lock()
	of := s.pods[id.String()]
	s.mu.Unlock()
	for i := len(of) - 1; i >= 0; i-- {
		st := of[i]
		st.mu.Lock()
		has := st.view != nil
		st.mu.Unlock()
		if st.identity == id && has {
			return st
		}
	}
	return nil
}
