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

// count counts the connections of a chain by a text with an SNI or an address: the name of
// a cluster.
func (b *builder) count(by string, p *tcpproxyv3.TcpProxy) {
	if !b.mesh.Reports {
		return
	}
	p.AccessLog = append(onlyEnds(p.AccessLog),
		b.counter(by, datalogv3.AccessLogType_TcpUpstreamConnected, map[string]string{egress.CountConnections: ""}),
		b.counter(by, datalogv3.AccessLogType_TcpConnectionEnd, map[string]string{egress.CountSent: "%BYTES_RECEIVED%", egress.CountReceived: "%BYTES_SENT%"}))
	p.AccessLogOptions = &tcpproxyv3.TcpProxy_TcpAccessLogOptions{FlushAccessLogOnConnected: true}
}

// counter counts events of connections: each, or values.
func (b *builder) counter(by string, event datalogv3.AccessLogType, values map[string]string) *accesslogv3.AccessLog {
	c := &statslogv3.Config{StatsScope: &typev3.Scope{Prefix: egress.CountPrefix, MaxCounters: wrapperspb.UInt32(maxCounted), EnableEviction: true}}
	for _, name := range []string{egress.CountConnections, egress.CountSent, egress.CountReceived} {
		value, ok := values[name]
		if !ok {
			continue
		}
		counter := &statslogv3.Config_Counter{
			Stat: &statslogv3.Config_Stat{Name: name, Tags: []*statslogv3.Config_Tag{{Name: egress.CountBy, ValueFormat: by}}}, ValueFormat: value,
		}
		if value == "" {
			counter.ValueFixed = wrapperspb.UInt64(1)
		}
		c.Counters = append(c.Counters, counter)
	}
	return &accesslogv3.AccessLog{
		Name: "envoy.access_loggers.stats", ConfigType: &accesslogv3.AccessLog_TypedConfig{TypedConfig: b.pack(c)}, Filter: ofEvent(event, false),
	}
}

// onlyEnds are loggers of connections that end: where connections are also reported when
// they are connected.
func onlyEnds(log []*accesslogv3.AccessLog) []*accesslogv3.AccessLog {
	out := slices.Clone(log)
	for i, l := range out {
		out[i] = &accesslogv3.AccessLog{Name: l.Name, ConfigType: l.ConfigType, Filter: ofEvent(datalogv3.AccessLogType_TcpUpstreamConnected, true)}
	}
	return out
}

func ofEvent(event datalogv3.AccessLogType, exclude bool) *accesslogv3.AccessLogFilter {
	return &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_LogTypeFilter{
		LogTypeFilter: &accesslogv3.LogTypeFilter{Types: []datalogv3.AccessLogType{event}, Exclude: exclude},
	}}
}
