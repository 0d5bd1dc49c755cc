package envoy

import (
	"slices"
	"strings"
	"time"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	datalogv3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	filelogv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/file/v3"
	grpclogv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/grpc/v3"
	statslogv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/stats/v3"
	streamlogv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/stream/v3"
	setmetadatav3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/set_metadata/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tcpproxyv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/outrider-mesh/outrider/egress"
)

// withCluster is the access log with a text in place of the cluster's name.
func withCluster(l egress.AccessLog, text string) egress.AccessLog {
	return with(l, strings.NewReplacer("%UPSTREAM_CLUSTER_RAW%", text, "%UPSTREAM_CLUSTER%", text))
}

// withRoute is the access log of connections, which have no route, with a text in place of
// its name.
func withRoute(l egress.AccessLog, text string) egress.AccessLog {
	return with(l, strings.NewReplacer("%ROUTE_NAME%", text))
}

func with(l egress.AccessLog, replace *strings.Replacer) egress.AccessLog {
	l.Text = replace.Replace(l.Text)
	if l.Fields != nil {
		l.Fields = proto.CloneOf(l.Fields)
		for _, v := range l.Fields.Fields {
			replaceIn(v, replace)
		}
	}
	return l
}

func replaceIn(v *structpb.Value, with *strings.Replacer) {
	switch k := v.GetKind().(type) {
	case *structpb.Value_StringValue:
		k.StringValue = with.Replace(k.StringValue)
	case *structpb.Value_StructValue:
		for _, inner := range k.StructValue.GetFields() {
			replaceIn(inner, with)
		}
	case *structpb.Value_ListValue:
		for _, inner := range k.ListValue.GetValues() {
			replaceIn(inner, with)
		}
	}
}

// loggers are the access loggers of a filter.
func (b *builder) loggers(l egress.AccessLog) []*accesslogv3.AccessLog {
	if l.File == "" {
		return nil
	}
	format := &corev3.SubstitutionFormatString{}
	if l.Fields != nil {
		format.Format = &corev3.SubstitutionFormatString_JsonFormat{JsonFormat: l.Fields}
	} else {
		format.Format = &corev3.SubstitutionFormatString_TextFormatSource{TextFormatSource: inline(l.Text)}
	}
	var name string
	var config *anypb.Any
	switch l.File {
	// /dev/stdout as a file belongs to the user of the container runtime;
	// Envoy, which runs as another user, would fail to start.
	case "/dev/stdout":
		name, config = "envoy.access_loggers.stdout", b.pack(&streamlogv3.StdoutAccessLog{
			AccessLogFormat: &streamlogv3.StdoutAccessLog_LogFormat{LogFormat: format}})
	case "/dev/stderr":
		name, config = "envoy.access_loggers.stderr", b.pack(&streamlogv3.StderrAccessLog{
			AccessLogFormat: &streamlogv3.StderrAccessLog_LogFormat{LogFormat: format}})
	default:
		name, config = "envoy.access_loggers.file", b.pack(&filelogv3.FileAccessLog{
			Path: l.File, AccessLogFormat: &filelogv3.FileAccessLog_LogFormat{LogFormat: format}})
	}
	return []*accesslogv3.AccessLog{{Name: name, ConfigType: &accesslogv3.AccessLog_TypedConfig{TypedConfig: config}}}
}

const (
	// controlPlaneCluster is the cluster of the control plane, in the sidecar's bootstrap.
	controlPlaneCluster = "xds-grpc"
	// A report is sent when it has this many bytes, or after this time: a Job may end, and
	// its sidecar with it, a second after its last request.
	reportBytes    = 8 << 10
	reportInterval = 500 * time.Millisecond
)

func reportsTo() *grpclogv3.CommonGrpcAccessLogConfig {
	return &grpclogv3.CommonGrpcAccessLogConfig{
		LogName: "egress", TransportApiVersion: corev3.ApiVersion_V3,
		GrpcService: &corev3.GrpcService{TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{
			EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{ClusterName: controlPlaneCluster},
		}},
		BufferFlushInterval: durationpb.New(reportInterval), BufferSizeBytes: wrapperspb.UInt32(reportBytes),
	}
}

// undeclaredTCP are the loggers of connections to undeclared destinations: log, and the
// reports of them. The runtime decides whether these are entries or counters. A connection
// is also reported when it starts or is connected, because it may be open for days; log has
// it once.
func (b *builder) undeclaredTCP(p *tcpproxyv3.TcpProxy) {
	if !b.mesh.Reports {
		return
	}
	entries, counters := ofRuntime(egress.RuntimeEntries, true), ofRuntime(egress.RuntimeCounters, false)
	start, connected, end := datalogv3.AccessLogType_TcpConnectionStart, datalogv3.AccessLogType_TcpUpstreamConnected, datalogv3.AccessLogType_TcpConnectionEnd
	of := undeclaredAs(b.undeclaredRule()+"|tcp", sniOrAddress)
	p.AccessLog = append(onlyEnds(p.AccessLog),
		&accesslogv3.AccessLog{Name: "envoy.access_loggers.tcp_grpc", Filter: both(ofEvents(connected, end), entries), ConfigType: &accesslogv3.AccessLog_TypedConfig{
			TypedConfig: b.pack(&grpclogv3.TcpGrpcAccessLogConfig{CommonConfig: reportsTo()})}},
		b.counter(maxUndeclared, of, both(ofEvents(start), counters), one(egress.CountConnections)),
		b.counter(2*maxUndeclared, of, both(ofEvents(end), counters), tcpBytes()...))
	p.AccessLogOptions = &tcpproxyv3.TcpProxy_TcpAccessLogOptions{FlushAccessLogOnConnected: !b.mesh.RegistryOnly, FlushAccessLogOnStart: true}
}

// undeclaredRule is the rule for connections to undeclared destinations.
func (b *builder) undeclaredRule() string {
	if b.mesh.RegistryOnly {
		return egress.RouteBlockAll
	}
	return egress.RouteAllowAny
}

// undeclaredHTTP are log, and the reports of requests to undeclared hosts: entries or
// counters. A route configuration of undeclared hosts alone needs no filter for them.
func (b *builder) undeclaredHTTP(route string, log []*accesslogv3.AccessLog) []*accesslogv3.AccessLog {
	if !b.mesh.Reports {
		return log
	}
	entries, counters := ofRuntime(egress.RuntimeEntries, true), ofRuntime(egress.RuntimeCounters, false)
	if route != catchAllRoute {
		entries, counters = both(ofUndeclared(), entries), both(ofUndeclared(), counters)
	}
	return append(slices.Clip(log),
		&accesslogv3.AccessLog{Name: "envoy.access_loggers.http_grpc", Filter: entries, ConfigType: &accesslogv3.AccessLog_TypedConfig{
			TypedConfig: b.pack(&grpclogv3.HttpGrpcAccessLogConfig{CommonConfig: reportsTo()})}},
		b.counter(3*maxUndeclared, undeclaredAs("%ROUTE_NAME%|http", authorityOrAddress), counters, one(egress.CountRequests),
			countValue{egress.CountSent, "%DOWNSTREAM_WIRE_BYTES_RECEIVED%"}, countValue{egress.CountReceived, "%DOWNSTREAM_WIRE_BYTES_SENT%"}))
}

// undeclaredAs is the tag of the counters of an undeclared destination.
func undeclaredAs(rule, host string) *statslogv3.Config_Tag {
	return &statslogv3.Config_Tag{Name: egress.CountUndeclared, ValueFormat: rule + "|%DOWNSTREAM_LOCAL_PORT%|" + host}
}

// ofUndeclared selects requests by the metadata that undeclaredFilter sets. An expression
// about their route would cost each request to a declared host more than reports may.
func ofUndeclared() *accesslogv3.AccessLogFilter {
	return marked(metadataNamespace, metadataUndeclared)
}

// markUndeclared sets the metadata of requests to undeclared hosts. It is disabled, and
// enabled by the routes of undeclared hosts: no other request has an instance of it.
func (b *builder) markUndeclared() *hcmv3.HttpFilter {
	return b.marks(undeclaredFilter, metadataNamespace, metadataUndeclared)
}

// marks is a filter that sets a key of the metadata of requests, in a namespace that no
// other filter sets: Envoy keeps what there is. It is disabled.
func (b *builder) marks(filter, namespace, key string) *hcmv3.HttpFilter {
	f := b.httpFilter(filter, &setmetadatav3.Config{Metadata: []*setmetadatav3.Metadata{{
		MetadataNamespace: namespace,
		Value:             &structpb.Struct{Fields: map[string]*structpb.Value{key: structpb.NewBoolValue(true)}},
	}}})
	f.Disabled = true
	return f
}

// marked selects requests with such a key.
func marked(namespace, key string) *accesslogv3.AccessLogFilter {
	return &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_MetadataFilter{MetadataFilter: &accesslogv3.MetadataFilter{
		Matcher: &matcherv3.MetadataMatcher{
			Filter: namespace, Path: []*matcherv3.MetadataMatcher_PathSegment{{Segment: &matcherv3.MetadataMatcher_PathSegment_Key{Key: key}}},
			Value: &matcherv3.ValueMatcher{MatchPattern: &matcherv3.ValueMatcher_PresentMatch{PresentMatch: true}},
		},
		MatchIfKeyNotFound: wrapperspb.Bool(false),
	}}}
}

// undeclaredRoute is what enables it.
func (b *builder) undeclaredRoute() map[string]*anypb.Any {
	if !b.mesh.Reports {
		return nil
	}
	return map[string]*anypb.Any{undeclaredFilter: b.pack(&routev3.FilterConfig{Config: &anypb.Any{}})}
}

func inline(text string) *corev3.DataSource {
	return &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: text}}
}
