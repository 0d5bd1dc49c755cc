package egress

import (
	"encoding/json"
	"strings"

	"google.golang.org/protobuf/types/known/structpb"
	meshconfig "istio.io/api/mesh/v1alpha1"
)

// defaultLogFormat is Istio's: users have tools that read it.
const defaultLogFormat = `[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% ` +
	`%RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "%UPSTREAM_TRANSPORT_FAILURE_REASON%" ` +
	`%BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" ` +
	`"%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER_RAW% ` +
	`%UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%` + "\n"

// defaultLogFields are the fields of Istio's JSON lines.
const defaultLogFields = `{
  "start_time": "%START_TIME%", "method": "%REQ(:METHOD)%", "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
  "protocol": "%PROTOCOL%", "response_code": "%RESPONSE_CODE%", "response_flags": "%RESPONSE_FLAGS%",
  "response_code_details": "%RESPONSE_CODE_DETAILS%", "connection_termination_details": "%CONNECTION_TERMINATION_DETAILS%",
  "upstream_transport_failure_reason": "%UPSTREAM_TRANSPORT_FAILURE_REASON%", "bytes_received": "%BYTES_RECEIVED%",
  "bytes_sent": "%BYTES_SENT%", "duration": "%DURATION%", "upstream_service_time": "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%",
  "x_forwarded_for": "%REQ(X-FORWARDED-FOR)%", "user_agent": "%REQ(USER-AGENT)%", "request_id": "%REQ(X-REQUEST-ID)%",
  "authority": "%REQ(:AUTHORITY)%", "upstream_host": "%UPSTREAM_HOST%", "upstream_cluster": "%UPSTREAM_CLUSTER_RAW%",
  "upstream_local_address": "%UPSTREAM_LOCAL_ADDRESS%", "downstream_local_address": "%DOWNSTREAM_LOCAL_ADDRESS%",
  "downstream_remote_address": "%DOWNSTREAM_REMOTE_ADDRESS%", "requested_server_name": "%REQUESTED_SERVER_NAME%",
  "route_name": "%ROUTE_NAME%"
}`

// AccessLog is where and how each request is logged.
type AccessLog struct {
	File   string // empty: no access log
	Text   string // one line with its newline; empty when fields is set
	Fields *structpb.Struct
}

func readAccessLog(mc *meshconfig.MeshConfig, r reporter) AccessLog {
	l, format := AccessLog{File: mc.GetAccessLogFile()}, mc.GetAccessLogFormat()
	switch l.File {
	case "", "/dev/stdout", "/dev/stderr":
	default:
		r.warn("accessLogFile", l.File, "if the file is not writable, Envoy rejects all listeners", "use /dev/stdout, or mount a volume at this path in every pod")
	}
	fault := ""
	if mc.GetAccessLogEncoding() == meshconfig.MeshConfig_JSON {
		if l.Fields, fault = jsonFields(format); fault != "" {
			l.Fields, _ = jsonFields("")
		}
	} else {
		l.Text = defaultLogFormat
		if fault = logFault(format); fault == "" && format != "" {
			l.Text = strings.TrimSuffix(format, "\n") + "\n"
		}
	}
	r.newCommands(format)
	if fault != "" {
		r.error("accessLogFormat", format, fault, "see the format strings of Envoy's access logs; the default format is used until this is fixed")
	}
	return l
}

// newCommands warns about commands that other versions of Envoy than the default do not
// have: a sidecar can be pinned to one.
func (r reporter) newCommands(format string) {
	all, _ := commands(format)
	for _, c := range all {
		if versions := lackedBy(c.name); len(versions) > 0 {
			r.warn("accessLogFormat", "%"+c.name+"%", "Envoy "+strings.Join(versions, ", ")+" does not have this operator, and rejects all listeners", "remove it if a sidecar runs that version")
		}
	}
}

// withDefaultFormat is the access log with Istio's format.
func (l AccessLog) withDefaultFormat() AccessLog {
	if l.Fields != nil {
		l.Fields, _ = jsonFields("")
	} else if l.File != "" {
		l.Text = defaultLogFormat
	}
	return l
}

func jsonFields(format string) (*structpb.Struct, string) {
	if format == "" {
		format = defaultLogFields
	}
	fields := &structpb.Struct{}
	if err := json.Unmarshal([]byte(format), fields); err != nil {
		return nil, "accessLogEncoding JSON needs a JSON object of names and format strings"
	}
	for _, v := range fields.Fields {
		if fault := valueFault(v); fault != "" {
			return nil, fault
		}
	}
	return fields, ""
}

func valueFault(v *structpb.Value) string {
	switch k := v.GetKind().(type) {
	case *structpb.Value_StringValue:
		return logFault(k.StringValue)
	case *structpb.Value_StructValue:
		for _, inner := range k.StructValue.GetFields() {
			if fault := valueFault(inner); fault != "" {
				return fault
			}
		}
	case *structpb.Value_ListValue:
		for _, inner := range k.ListValue.GetValues() {
			if fault := valueFault(inner); fault != "" {
				return fault
			}
		}
	}
	return ""
}
