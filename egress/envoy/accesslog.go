package envoy

import (
	"strings"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	filelogv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/file/v3"
	streamlogv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/stream/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

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

func inline(text string) *corev3.DataSource {
	return &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: text}}
}
