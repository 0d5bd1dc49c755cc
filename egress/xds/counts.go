package xds

import (
	"math"
	"strings"
	"time"

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

// metricCounts are the counters of a message, by the name of a cluster.
type metricCounts struct {
	of    map[string]*clusterCounts
	bytes int
}

func (*metricCounts) release() {}

func (m *metricCounts) size() (entries, bytes int) { return len(m.of), m.bytes }

// clusterCounts are what has happened since the last message.
type clusterCounts struct {
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
	if err == nil && value >= 1 { // most are zero
		m.add(string(name), value)
	}
	return err
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

// add counts a counter by its name.
func (m *metricCounts) add(name string, value float64) {
	cluster, count := counterOf(name)
	if count == nil {
		return
	}
	c := m.of[cluster]
	if c == nil {
		if m.of == nil {
			m.of = map[string]*clusterCounts{}
		}
		c = &clusterCounts{}
		m.of[cluster] = c
	}
	*count(c) = uint64(min(value, 1<<53))
}

// counterOf is the cluster that a counter's name has, and what it counts; nil: another
// counter.
func counterOf(name string) (cluster string, count func(*clusterCounts) *uint64) {
	kind, rest, _ := strings.Cut(name, ".")
	switch kind {
	case "cluster":
		if i := strings.LastIndexByte(rest, '.'); i >= 0 && (strings.HasPrefix(rest, "outbound|") || strings.HasPrefix(rest, "mirror|")) {
			return rest[:i], countNames[rest[i+1:]]
		}
	case "tcp":
		rest, ok := strings.CutPrefix(rest, egress.CountedNames)
		if i := strings.LastIndexByte(rest, '.'); ok && i >= 0 {
			return rest[:i], tcpCountNames[rest[i+1:]]
		}
	case egress.CountPrefix:
		what, rest, _ := strings.Cut(rest, ".")
		by, cluster, _ := strings.Cut(rest, ".")
		if by == egress.CountBy {
			return cluster, sniCountNames[what]
		}
	}
	return "", nil
}

// declared are the counted destinations that the sidecar has. What it does not have it
// cannot have reached.
func (s *Server) declared(id Identity, all map[string]*clusterCounts) (out []report.DestinationReport) {
	if len(all) == 0 {
		return nil
	}
	g, v := s.viewOf(id)
	if v == nil {
		return nil
	}
	now := time.Now()
	for cluster, c := range all {
		d, ok := declaredAs(g, v.of, id.Namespace, cluster)
		if !ok {
			continue
		}
		counts := report.Counts{First: now, Last: now, BytesSent: c.sent, BytesReceived: c.received}
		if d.Protocol == report.HTTP {
			counts.Requests = c.requests
		} else {
			counts.Connections = c.connections
		}
		out = append(out, report.DestinationReport{Destination: d, Counts: counts})
	}
	return out
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

// viewOf is the view of a pod's stream of configuration, which comes over the same
// connection; nil if there is none.
func (s *Server) viewOf(id Identity) (*generation, *view) {
	s.mu.Lock()
	of := s.pods[id.String()]
	s.mu.Unlock()
	for i := len(of) - 1; i >= 0; i-- {
		st := of[i]
		st.mu.Lock()
		g, v := st.generation, st.view
		st.mu.Unlock()
		if st.identity == id && v != nil {
			return g, v
		}
	}
	return nil, nil
}
