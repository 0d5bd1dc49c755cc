package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	datalogv3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	logservicev3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/test/kit"
)

// loadReport is what a sidecar reports of connections to undeclared hosts.
type loadReport struct {
	connections int // a second
	// names are how many hosts a workload connects to; 0: each connection is to another.
	names int
	// forwarded connections are reported when they are connected and when they end, blocked
	// ones once.
	forwarded bool
	// start is the time in which the sidecars begin.
	start time.Duration
}

func (l loadReport) String() string {
	names, verdict := fmt.Sprintf("%d hosts of a workload", l.names), "blocked"
	if l.names == 0 {
		names = "each to another host"
	}
	if l.forwarded {
		verdict = "forwarded"
	}
	return fmt.Sprintf("%d %s connections a second of each sidecar, %s", l.connections, verdict, names)
}

// The settings of Envoy's access logger, which egress/envoy/accesslog.go has.
const (
	loadWorkers  = 2 // threads
	loadInterval = 500 * time.Millisecond
	loadBuffer   = 8 << 10
)

// loadNode is the size of what Envoy states about itself in the first message of a
// stream, which is mostly the list of its extensions.
const loadNode = 61_000

// loadHost has a number of fixed length, so that it can be replaced in an encoded message.
const loadHost, loadDigits = "host-%09d.example.com", 9

// loadMessage is an encoded message, and where the numbers of its hosts are.
type loadMessage struct {
	text   []byte
	places []int
}

// recordedEntries are those of a forwarded connection, as Envoy 1.40 has sent them: when
// it was connected, and when it has ended.
func recordedEntries(t testing.TB) []*datalogv3.TCPAccessLogEntry {
	t.Helper()
	text, err := os.ReadFile("testdata/accesslog.json")
	kit.Must(t, err)
	m := &logservicev3.StreamAccessLogsMessage{}
	kit.Must(t, protojson.Unmarshal(text, m))
	return m.GetTcpLogs().LogEntry
}

// newLoadMessage is a message of a number of entries.
func newLoadMessage(t testing.TB, entries int, forwarded bool) (m loadMessage) {
	t.Helper()
	all, recorded := &logservicev3.StreamAccessLogsMessage_TCPAccessLogEntries{}, recordedEntries(t)
	for i := range entries {
		one := proto.CloneOf(recorded[1])
		if c := one.CommonProperties; forwarded {
			one = proto.CloneOf(recorded[i%2])
		} else {
			c.UpstreamCluster, c.UpstreamRemoteAddress, c.UpstreamLocalAddress, c.UpstreamWireBytesSent, c.UpstreamWireBytesReceived = "", nil, nil, 0, 0
			c.ResponseFlags = &datalogv3.ResponseFlags{NoHealthyUpstream: true}
		}
		one.CommonProperties.TlsProperties.TlsSniHostname = fmt.Sprintf(loadHost, 0)
		all.LogEntry = append(all.LogEntry, one)
	}
	var err error
	m.text, err = proto.Marshal(&logservicev3.StreamAccessLogsMessage{LogEntries: &logservicev3.StreamAccessLogsMessage_TcpLogs{TcpLogs: all}})
	kit.Must(t, err)
	for from, host := 0, fmt.Appendf(nil, loadHost, 0); len(m.places) < entries; {
		i := bytes.Index(m.text[from:], host)
		m.places = append(m.places, from+i+len("host-"))
		from += i + len(host)
	}
	return m
}

// loadIdentifier is encoded as the part of a first message that the others do not have.
func loadIdentifier(t testing.TB, node *corev3.Node) []byte {
	t.Helper()
	out, err := proto.Marshal(&logservicev3.StreamAccessLogsMessage{Identifier: &logservicev3.StreamAccessLogsMessage_Identifier{
		LogName: "egress", Node: node,
	}})
	kit.Must(t, err)
	return out
}

// batch is how many entries Envoy sends at once, and how often: when the buffer is full,
// or else after the interval.
func (l loadReport) batch(entryBytes int) (entries int, every time.Duration) {
	perSecond := float64(l.connections) / loadWorkers
	if l.forwarded {
		perSecond *= 2
	}
	entries = max(1, min(int(perSecond*loadInterval.Seconds()+0.5), loadBuffer/entryBytes+1))
	return entries, time.Duration(float64(entries) / perSecond * float64(time.Second))
}

// report has sidecars report until ctx is done.
func (f *loadFleet) report(ctx context.Context, l loadReport) {
	f.t.Helper()
	entries, every := l.batch(proto.Size(recordedEntries(f.t)[1]))
	m := newLoadMessage(f.t, entries, l.forwarded)
	for i, of := range f.sidecars {
		start := rand.N(l.start)
		for w := range loadWorkers {
			number := uint64(i*loadWorkers + w)
			r := &reporter{loadReport: l, fleet: f, of: of, message: m, every: every, random: rand.New(rand.NewPCG(number, 1)), n: number << 24, start: start}
			f.running.Go(func() { r.run(ctx) })
		}
	}
}

// reporter is a worker thread.
type reporter struct {
	loadReport
	fleet   *loadFleet
	of      *loadSidecar
	message loadMessage
	every   time.Duration
	random  *rand.Rand
	n       uint64        // of the last name
	start   time.Duration // until it begins
	due     time.Time
}

// host is the number of the next one.
func (r *reporter) host() uint64 {
	if r.names > 0 {
		return uint64(r.random.IntN(r.names))
	}
	r.n++
	return r.n * 2654435761 % 1_000_000_000
}

// next is the next message.
func (r *reporter) next() []byte {
	text := bytes.Clone(r.message.text)
	for _, at := range r.message.places {
		digits := strconv.AppendUint(nil, 1_000_000_000+r.host(), 10)[1:]
		copy(text[at:at+loadDigits], digits)
	}
	return text
}

// run reports, by entries or counters, as Envoy does.
func (r *reporter) run(ctx context.Context) {
	select {
	case <-time.After(r.start):
	case <-ctx.Done():
	}
	r.due = time.Now()
	going := func() bool { return ctx.Err() == nil && r.fleet.ctx.Err() == nil }
	for going() {
		if r.of.counters.Load() {
			r.count()
			r.wait(ctx)
		} else if err := r.send(ctx); err != nil && going() {
			r.fleet.reconnects.Add(1)
		}
	}
}

// wait waits until the next message is due.
func (r *reporter) wait(ctx context.Context) {
	r.due = r.due.Add(r.every)
	select {
	case <-time.After(time.Until(r.due)):
	case <-ctx.Done():
	}
}

// count counts what a message would have.
func (r *reporter) count() {
	connections, rule := len(r.message.places), egress.RouteBlockAll
	if r.forwarded {
		connections, rule = connections/2, egress.RouteAllowAny
	}
	for range connections {
		r.of.count(rule + "|tcp|443|" + fmt.Sprintf(loadHost, r.host()))
	}
	r.fleet.counted.Add(int64(connections))
}

// send sends entries, until there are to be none. The control plane closes the stream when
// it is idle, and then the connection.
func (r *reporter) send(ctx context.Context) error {
	conn, out, err := r.fleet.dial(r.of.number, r.of.pod)
	if err != nil {
		return err
	}
	r.fleet.reporters.Add(1)
	closed := func() { _ = conn.Close(); r.fleet.reporters.Add(-1) }
	out, cancel := context.WithCancel(out)
	stop := context.AfterFunc(ctx, cancel)
	s, err := conn.NewStream(out, &grpc.StreamDesc{ClientStreams: true}, "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs")
	for prefix := r.fleet.identifier; err == nil && ctx.Err() == nil && !r.of.counters.Load(); prefix = nil {
		if err = s.SendMsg(loadFrame(slices.Concat(prefix, r.next()))); err == nil {
			r.of.written.Add(int64(len(r.message.places)))
			r.fleet.messages.Add(1)
			r.fleet.entries.Add(int64(len(r.message.places)))
			r.wait(ctx)
		}
	}
	if err != nil || ctx.Err() != nil {
		stop()
		cancel()
		closed()
		return err
	}
	r.fleet.running.Go(func() {
		defer closed()
		defer cancel()
		_ = s.RecvMsg(&loadResponse{}) // its end
		for state := conn.GetState(); state == connectivity.Ready && conn.WaitForStateChange(out, state); state = conn.GetState() {
		}
	})
	return nil
}

// loadStart is the time in which the sidecars begin: those of a rollout of 17 pods a second,
// with 1,000 of them.
const loadStart = time.Minute
