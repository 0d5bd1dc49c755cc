package main

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/egress/envoy"
)

// The settings of Envoy's metrics service, which templates/sidecar.yaml has.
const (
	loadFlush = 15 * time.Second
	loadBatch = 30 // counters in a message
	// loadCounters are those of a sidecar without undeclared destinations, which have 8.5 KB.
	loadCounters = 100
	// loadCounted is the number of undeclared destinations that a sidecar counts, which
	// egress/envoy/counts.go has.
	loadCounted = 500
)

// loadSidecar is what the connections of a simulated sidecar share.
type loadSidecar struct {
	number   int
	pod      loadPod
	counters atomic.Bool // its mode
	written  atomic.Int64

	mu     sync.Mutex
	counts map[string]*uint64 // connections since the last message by destination, of which Envoy removes none for an hour
}

// setMode takes the version of the runtime.
func (s *loadSidecar) setMode(version string) {
	s.counters.Store(version == string(envoy.ReportCounters))
}

// count counts a connection to a destination, unless there are too many.
func (s *loadSidecar) count(destination string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.counts[destination]
	switch {
	case n == nil && len(s.counts) >= loadCounted:
		return
	case n == nil:
		n = new(uint64)
		s.counts[destination] = n
	}
	*n++
}

// flush are the messages with what was counted since the last one.
func (s *loadSidecar) flush(all *loadMetrics) {
	all.counter("access_logs.grpc_access_log.logs_written", float64(s.written.Swap(0)))
	for i := range loadCounters {
		value := 0.0
		if i%10 == 0 { // of the hosts in use
			value = 1
		}
		all.counter(fmt.Sprintf("cluster.outbound|80||shared-%d.example.com.upstream_rq_%dxx_of_it", i%hostsInUse, i), value)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for destination, n := range s.counts {
		of := "." + egress.CountUndeclared + "." + destination
		all.counter("egress.connections"+of, float64(*n))
		all.counter("egress.sent"+of, float64(*n*517))
		all.counter("egress.received"+of, float64(*n*3000))
		*n = 0
	}
}

// loadMetrics are messages of the metrics service.
type loadMetrics struct {
	messages [][]byte
	n        int
}

// The field numbers of a message and of its parts.
const (
	loadFamily, loadFamilyName, loadFamilyMetric = 2, 1, 4
	loadMetricCounter, loadMetricTime            = 3, 6
)

func (m *loadMetrics) counter(name string, value float64) {
	if m.n%loadBatch == 0 {
		m.messages = append(m.messages, nil)
	}
	m.n++
	counter := protowire.AppendFixed64(protowire.AppendTag(nil, 1, protowire.Fixed64Type), math.Float64bits(value))
	metric := protowire.AppendBytes(protowire.AppendTag(nil, loadMetricCounter, protowire.BytesType), counter)
	metric = protowire.AppendVarint(protowire.AppendTag(metric, loadMetricTime, protowire.VarintType), uint64(time.Now().UnixMilli()))
	family := protowire.AppendString(protowire.AppendTag(nil, loadFamilyName, protowire.BytesType), name)
	family = protowire.AppendBytes(protowire.AppendTag(family, loadFamilyMetric, protowire.BytesType), metric)
	last := &m.messages[len(m.messages)-1]
	*last = protowire.AppendBytes(protowire.AppendTag(*last, loadFamily, protowire.BytesType), family)
}

// sendCounts sends the counts of a sidecar on the connection of its configuration.
func (f *loadFleet) sendCounts(ctx context.Context, conn *grpc.ClientConn, of *loadSidecar) {
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true}, "/envoy.service.metrics.v3.MetricsService/StreamMetrics")
	if err != nil {
		return // with the connection
	}
	prefix := f.identifier
	for next := time.Duration(rand.Int64N(int64(loadFlush))); ; next = loadFlush {
		select {
		case <-ctx.Done():
			return
		case <-time.After(next):
		}
		var all loadMetrics
		of.flush(&all)
		for _, text := range all.messages {
			if stream.SendMsg(loadFrame(append(prefix[:len(prefix):len(prefix)], text...))) != nil {
				return
			}
			prefix = nil
		}
	}
}
