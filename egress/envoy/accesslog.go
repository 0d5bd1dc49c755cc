package envoy

import (
	"fmt"
	"slices"
	"strings"
	"time"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	datalogv3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	filelogv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/file/v3"
	celv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/filters/cel/v3"
	grpclogv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/grpc/v3"
	streamlogv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/stream/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/outrider-mesh/outrider/egress"
)

// withCluster is the access log with a text in place of the cluster's name.
func withCluster(l egress.AccessLog, text string) egress.AccessLog {
	replace := strings.NewReplacer("%UPSTREAM_CLUSTER_RAW%", text, "%UPSTREAM_CLUSTER%", text)
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
// reports of them. A forwarded connection is also reported when it is connected, because
// it may be open for days; log has it once.
func (b *builder) undeclaredTCP(log []*accesslogv3.AccessLog) []*accesslogv3.AccessLog {
	if !b.mesh.Reports {
		return log
	}
	if !b.mesh.RegistryOnly {
		log = slices.Clone(log)
		for i, l := range log {
			log[i] = &accesslogv3.AccessLog{Name: l.Name, ConfigType: l.ConfigType, Filter: &accesslogv3.AccessLogFilter{
				FilterSpecifier: &accesslogv3.AccessLogFilter_LogTypeFilter{LogTypeFilter: &accesslogv3.LogTypeFilter{
					Types: []datalogv3.AccessLogType{datalogv3.AccessLogType_TcpUpstreamConnected}, Exclude: true,
				}},
			}}
		}
	}
	return append(slices.Clip(log), &accesslogv3.AccessLog{Name: "envoy.access_loggers.tcp_grpc", ConfigType: &accesslogv3.AccessLog_TypedConfig{
		TypedConfig: b.pack(&grpclogv3.TcpGrpcAccessLogConfig{CommonConfig: reportsTo()})}})
}

// undeclaredHTTP are log, and the reports of requests to undeclared hosts. A route
// configuration of undeclared hosts alone needs no filter.
func (b *builder) undeclaredHTTP(route string, log []*accesslogv3.AccessLog) []*accesslogv3.AccessLog {
	if !b.mesh.Reports {
		return log
	}
	reports := &accesslogv3.AccessLog{Name: "envoy.access_loggers.http_grpc", ConfigType: &accesslogv3.AccessLog_TypedConfig{
		TypedConfig: b.pack(&grpclogv3.HttpGrpcAccessLogConfig{CommonConfig: reportsTo()})}}
	if route != catchAllRoute {
		reports.Filter = b.ofUndeclared()
	}
	return append(slices.Clip(log), reports)
}

// ofUndeclared selects requests by their route. Where all of them are blocked, a
// comparison of the status comes first: other requests cost nothing else.
func (b *builder) ofUndeclared() *accesslogv3.AccessLogFilter {
	byRoute := &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_ExtensionFilter{
		ExtensionFilter: &accesslogv3.ExtensionFilter{Name: "envoy.access_loggers.extension_filters.cel", ConfigType: &accesslogv3.ExtensionFilter_TypedConfig{
			TypedConfig: b.pack(&celv3.ExpressionFilter{Expression: fmt.Sprintf("xds.route_name in ['%s', '%s', '%s']", egress.RouteAllowAny, egress.RouteBlockAll, egress.RouteBlockPort)})}}}}
	if !b.mesh.RegistryOnly {
		return byRoute
	}
	return &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_AndFilter{AndFilter: &accesslogv3.AndFilter{Filters: []*accesslogv3.AccessLogFilter{
		{FilterSpecifier: &accesslogv3.AccessLogFilter_StatusCodeFilter{StatusCodeFilter: &accesslogv3.StatusCodeFilter{
			Comparison: &accesslogv3.ComparisonFilter{Op: accesslogv3.ComparisonFilter_EQ, Value: &corev3.RuntimeUInt32{DefaultValue: egress.BlockedStatus, RuntimeKey: "outrider.blocked_status"}},
		}}},
		byRoute,
	}}}}
}

func inline(text string) *corev3.DataSource {
	return &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: text}}
}
