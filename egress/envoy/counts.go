package envoy

import (
	"slices"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	datalogv3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	statslogv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/stats/v3"
	tcpproxyv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/outrider-mesh/outrider/egress"
)

// maxCounted bounds the counters of an access logger, of which a destination has one or
// two, of some 300 bytes. The declared names and the addresses of the cluster are finite;
// those that are not used for an hour are removed. A scope that loggers share would have
// one limit for all of them, and has Envoy 1.39 crash when it ends.
const maxCounted = 2000

// maxUndeclared is the number of undeclared destinations that an access logger counts. What
// is over it is lost until the sidecar has entries again. The counters of a logger at its
// limit are some 300 KB of each message.
const maxUndeclared = 2 * egress.MostCounted

// count counts the connections of a chain by a text with an SNI or an address: the name of
// a cluster.
func (b *builder) count(by string, p *tcpproxyv3.TcpProxy) {
	if !b.mesh.Reports {
		return
	}
	of := &statslogv3.Config_Tag{Name: egress.CountBy, ValueFormat: by}
	p.AccessLog = append(onlyEnds(p.AccessLog),
		b.counter(maxCounted, of, ofEvents(datalogv3.AccessLogType_TcpUpstreamConnected), one(egress.CountConnections)),
		b.counter(maxCounted, of, ofEvents(datalogv3.AccessLogType_TcpConnectionEnd), tcpBytes()...))
	p.AccessLogOptions = &tcpproxyv3.TcpProxy_TcpAccessLogOptions{FlushAccessLogOnConnected: true}
}

// countValue is a counter, and by how much an event increases it: "" by one.
type countValue struct{ name, format string }

func one(name string) countValue { return countValue{name, ""} }

// tcpBytes are from the workload's point of view, and the formats from Envoy's.
func tcpBytes() []countValue {
	return []countValue{{egress.CountSent, "%BYTES_RECEIVED%"}, {egress.CountReceived, "%BYTES_SENT%"}}
}

// counter counts events that a filter selects, with at most as many counters.
func (b *builder) counter(limit int, of *statslogv3.Config_Tag, events *accesslogv3.AccessLogFilter, values ...countValue) *accesslogv3.AccessLog {
	c := &statslogv3.Config{StatsScope: &typev3.Scope{Prefix: egress.CountPrefix, MaxCounters: wrapperspb.UInt32(uint32(limit)), EnableEviction: true}}
	for _, v := range values {
		counter := &statslogv3.Config_Counter{Stat: &statslogv3.Config_Stat{Name: v.name, Tags: []*statslogv3.Config_Tag{of}}, ValueFormat: v.format}
		if v.format == "" {
			counter.ValueFixed = wrapperspb.UInt64(1)
		}
		c.Counters = append(c.Counters, counter)
	}
	return &accesslogv3.AccessLog{
		Name: "envoy.access_loggers.stats", ConfigType: &accesslogv3.AccessLog_TypedConfig{TypedConfig: b.pack(c)}, Filter: events,
	}
}

// onlyEnds are loggers of connections that end: where connections are also reported when
// they start or are connected.
func onlyEnds(log []*accesslogv3.AccessLog) []*accesslogv3.AccessLog {
	out := slices.Clone(log)
	for i, l := range out {
		out[i] = &accesslogv3.AccessLog{Name: l.Name, ConfigType: l.ConfigType, Filter: ofEvents(datalogv3.AccessLogType_TcpConnectionEnd)}
	}
	return out
}

func ofEvents(events ...datalogv3.AccessLogType) *accesslogv3.AccessLogFilter {
	return &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_LogTypeFilter{
		LogTypeFilter: &accesslogv3.LogTypeFilter{Types: events},
	}}
}

// both selects what both filters select. The second one is asked for what the first one
// selects.
func both(first, second *accesslogv3.AccessLogFilter) *accesslogv3.AccessLogFilter {
	return &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_AndFilter{
		AndFilter: &accesslogv3.AndFilter{Filters: []*accesslogv3.AccessLogFilter{first, second}},
	}}
}

// ofRuntime selects all or nothing, by a key of the runtime whose default is all or nothing.
func ofRuntime(key string, byDefault bool) *accesslogv3.AccessLogFilter {
	percent := &typev3.FractionalPercent{Denominator: typev3.FractionalPercent_HUNDRED}
	if byDefault {
		percent.Numerator = 100
	}
	return &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_RuntimeFilter{
		RuntimeFilter: &accesslogv3.RuntimeFilter{RuntimeKey: key, PercentSampled: percent, UseIndependentRandomness: true},
	}}
}
