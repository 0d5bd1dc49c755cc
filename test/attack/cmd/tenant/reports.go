package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"math"
	"os"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	datalogv3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	logservicev3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	metricsv3 "github.com/envoyproxy/go-control-plane/envoy/service/metrics/v3"
	prometheus "github.com/prometheus/client_model/go"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
)

const (
	streamAccessLogs = "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs"
	streamMetrics    = "/envoy.service.metrics.v3.MetricsService/StreamMetrics"
)

// text is a codec of messages that are bytes already.
type text struct{}

func (text) Marshal(v any) ([]byte, error)      { return v.([]byte), nil }
func (text) Unmarshal(data []byte, v any) error { *v.(*[]byte) = data; return nil }
func (text) Name() string                       { return "proto" }

// counted are the kinds of reports that are counts; the others are entries.
const counted = "counters"

// reported are the messages of a stream, by kind: message i of it; nil ends the stream.
var reported = map[string]func(i int) []byte{
	// new names of the neighbor, in the neighbor's name, 100 in a message
	"names": func(i int) []byte {
		var all []*datalogv3.TCPAccessLogEntry
		for j := range 100 {
			all = append(all, blocked(fmt.Sprintf("stolen-%d-%d-%d.bank.example.com", os.Getpid(), i, j)))
		}
		return logs(all...)
	},
	// one name of a message's size, and then one that is too large
	"huge": func(i int) []byte { return logs(blocked(strings.Repeat("h", (200+100*(i%2))<<10))) },
	// no message
	"malformed": malformed,
	// messages in messages, as many as fit
	"empty": func(int) []byte { return []byte(strings.Repeat("\x1a\x02\x0a\x00", 60_000)) },
	// streams that end after one message
	"churn": func(i int) []byte {
		if i > 0 {
			return nil
		}
		return logs(blocked("churn.bank.example.com"))
	},
	// counters of new names of the neighbor, 1,000 in a message, each with the largest count
	counted: func(i int) []byte {
		var all []string
		for j := range 1000 {
			all = append(all, fmt.Sprintf("egress.connections.undeclared.block_all|tcp|443|stolen-%d-%d-%d.bank.example.com", os.Getpid(), i, j))
		}
		return countersOf(all...)
	},
	// one name of a message's size, and then one that is too large
	counted + "-huge": func(i int) []byte {
		return countersOf("egress.requests.undeclared.allow_any|http|80|" + strings.Repeat("h", (200+100*(i%2))<<10))
	},
	// no message
	counted + "-malformed": malformed,
	// families without anything, as many as fit
	counted + "-empty": func(int) []byte { return []byte(strings.Repeat("\x12\x00", 120_000)) },
	// streams that end after one message
	counted + "-churn": func(i int) []byte {
		if i > 0 {
			return nil
		}
		return countersOf("egress.connections.undeclared.block_all|tcp|443|churn.bank.example.com")
	},
}

func malformed(int) []byte {
	b := make([]byte, 64<<10)
	_, _ = rand.Read(b)
	return b
}

// countersOf is a message with a counter of each name.
func countersOf(names ...string) []byte {
	m := &metricsv3.StreamMetricsMessage{Identifier: &metricsv3.StreamMetricsMessage_Identifier{Node: &corev3.Node{Id: "sidecar~10.0.0.1~ordinary.bank~bank.svc.cluster.local", Cluster: "ordinary.bank"}}}
	for _, name := range names {
		m.EnvoyMetrics = append(m.EnvoyMetrics, &prometheus.MetricFamily{
			Name: &name, Type: prometheus.MetricType_COUNTER.Enum(), Metric: []*prometheus.Metric{{Counter: &prometheus.Counter{Value: proto.Float64(math.MaxFloat64)}}},
		})
	}
	out, _ := proto.Marshal(m)
	return out
}

func blocked(name string) *datalogv3.TCPAccessLogEntry {
	return &datalogv3.TCPAccessLogEntry{CommonProperties: &datalogv3.AccessLogCommon{
		UpstreamCluster: "BlackHoleCluster", TlsProperties: &datalogv3.TLSProperties{TlsSniHostname: name},
		DownstreamLocalAddress: &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
			Address: "203.0.113.99", PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: 443},
		}}},
	}}
}

func logs(entries ...*datalogv3.TCPAccessLogEntry) []byte {
	out, _ := proto.Marshal(&logservicev3.StreamAccessLogsMessage{
		Identifier: &logservicev3.StreamAccessLogsMessage_Identifier{LogName: "bank", Node: &corev3.Node{Id: "sidecar~10.0.0.1~ordinary.bank~bank.svc.cluster.local", Cluster: "ordinary.bank"}},
		LogEntries: &logservicev3.StreamAccessLogsMessage_TcpLogs{TcpLogs: &logservicev3.StreamAccessLogsMessage_TCPAccessLogEntries{LogEntry: entries}},
	})
	return out
}

// reports sends messages of a kind on as many streams as it gets, as fast as it can, with
// the pod's own token.
func reports(args []string) error {
	kind, targets := args[0], args[1:]
	message := reported[kind]
	if message == nil {
		return fmt.Errorf("no kind %q of reports", kind)
	}
	token, err := os.ReadFile(tokenFile)
	if err != nil {
		return err
	}
	method := streamAccessLogs
	if strings.HasPrefix(kind, counted) {
		method = streamMetrics
	}
	count := counting("reports "+kind, "sent", "ended", "failed")
	var conns []*grpc.ClientConn
	for i := range 8 {
		conn, err := dialXDS(targets[i%len(targets)])
		if err != nil {
			return err
		}
		conns = append(conns, conn)
	}
	workers(32, func(i int) {
		ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(context.Background(), "authorization", "Bearer "+string(token)), time.Minute)
		defer cancel()
		s, err := conns[i%len(conns)].NewStream(ctx, &grpc.StreamDesc{ClientStreams: true}, method, grpc.ForceCodec(text{}))
		if err != nil {
			count.failed("failed", err)
			time.Sleep(10 * time.Millisecond)
			return
		}
		for n := 0; err == nil; n++ {
			m := message(n)
			if m == nil {
				_ = s.CloseSend()
				break
			}
			if err = s.SendMsg(m); err == nil {
				count.add("sent")
			}
		}
		var answer []byte
		if err = s.RecvMsg(&answer); err != nil {
			count.failed("ended", err)
		}
	})
	return nil
}
