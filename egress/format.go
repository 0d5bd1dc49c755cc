package egress

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
)

// command is one command of a format string, such as %REQ(:METHOD):10%.
type command struct {
	name, argument string
	length         bool // its value has a maximum length
}

// commandPattern is Envoy's own pattern of a command.
var commandPattern = regexp.MustCompile(`^%([A-Z0-9_]+)(?:\((.*?)\))?(?::([0-9]+))?%`)

// maxLengthDigits bounds the length of a command: Envoy rejects those of more than 64
// bits, and no value has as many bytes.
const maxLengthDigits = 9

// commands reads a format string. Envoy rejects a whole listener, or all routes
// of a port, for an invalid one.
func commands(format string) (out []command, fault string) {
	for rest := format; ; {
		i := strings.IndexByte(rest, '%')
		if i < 0 {
			return out, ""
		}
		if rest = rest[i:]; strings.HasPrefix(rest, "%%") {
			rest = rest[2:]
			continue
		}
		m := commandPattern.FindStringSubmatch(rest)
		if m == nil {
			return nil, formFault(rest)
		}
		if len(strings.TrimLeft(m[3], "0")) > maxLengthDigits {
			return nil, fmt.Sprintf("the length of %%%s%% has more than %d digits", m[1], maxLengthDigits)
		}
		out = append(out, command{m[1], m[2], m[3] != ""})
		rest = rest[len(m[0]):]
	}
}

// formFault is what is wrong with a text that begins with % and is not a
// command.
func formFault(text string) string {
	name := strings.TrimLeft(text[1:], "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")
	switch inside, bracket := strings.CutPrefix(name, "("); {
	case len(name) == len(text)-1:
		return "invalid command operator: use a name in capital letters, such as %PROTOCOL%, or %% for a percent sign"
	case bracket && !strings.Contains(inside, ")"):
		return "unterminated command operator: missing )"
	case strings.HasPrefix(name, ":"), strings.Contains(inside, "):"):
		return "invalid command operator: expected a length and % after :"
	}
	return "unterminated command operator: missing %"
}

// commandForm is the form of the argument of commands.
type commandForm struct {
	names    string // separated by blanks
	argument string // a pattern; one that matches an empty text also allows no brackets
	length   bool   // may follow
	example  string // of the argument; empty: it has none
}

// timeFormat is the argument of commands that print a time.
const timeFormat = `.*`

const headerPattern = `:?[!#$%&'*+.^_|~0-9A-Za-z` + "`" + `-]+`

// commandForms are all commands of Envoy 1.40 in the formats of access logs and
// in the values of headers.
var commandForms = []commandForm{
	{names: plainCommands},
	{names: `DOWNSTREAM_DIRECT_LOCAL_ADDRESS_WITHOUT_PORT DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT
		DOWNSTREAM_PEER_CERT_V_END DOWNSTREAM_PEER_CERT_V_START DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT EMIT_TIME EMIT_TIME_LOCAL
		RESPONSE_CODE_DETAILS START_TIME START_TIME_LOCAL UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT UPSTREAM_PEER_CERT_V_END
		UPSTREAM_PEER_CERT_V_START UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT`, argument: timeFormat},
	{names: `REQ REQUEST_HEADER RESP RESPONSE_HEADER RESPONSE_TRAILER STREAM_INFO_REQ TRAILER`,
		argument: headerPattern + `(\?` + headerPattern + `)?`, length: true, example: `X-API`},
	{names: `FILTER_STATE UPSTREAM_FILTER_STATE`, argument: `[^:]+(:(PLAIN|TYPED|FIELD:.+))?`, length: true, example: `NAME:PLAIN`},
	{names: `DYNAMIC_METADATA ENVIRONMENT QUERY_PARAM`, argument: `.+`, length: true, example: `NAME`},
	{names: `CLUSTER_METADATA UPSTREAM_METADATA`, argument: `.+`, example: `NAMESPACE:KEY`},
	{names: `METADATA`, argument: `(DYNAMIC|CLUSTER|ROUTE|UPSTREAM_HOST|LISTENER|VIRTUAL_HOST|LISTENER_FILTER_CHAIN):.+`,
		length: true, example: `ROUTE:NAMESPACE:KEY`},
	{names: `PATH`, argument: `(WQ|NQ)?(:(ORIG|PATH|ORIG_OR_PATH)?)?`, length: true, example: `NQ:ORIG`},
	{names: `QUERY_PARAMS`, length: true},
	{names: `REQUESTED_SERVER_NAME`, argument: `(SNI_ONLY|SNI_FIRST|HOST_FIRST)?(:(ORIG|HOST|ORIG_OR_HOST)?)?`, example: `SNI_FIRST:HOST`},
	{names: `COMMON_DURATION`, argument: `[^:]*:[^:]*(:(ms|us|ns))?`, example: `DS_RX_BEG:US_TX_BEG:us`},
	{names: `CEL TYPED_CEL COALESCE`, argument: `.+`, length: true, example: `request.path`},
}

// plainCommands have neither brackets nor a length.
const plainCommands = `
ACCESS_LOG_TYPE BYTES_RECEIVED BYTES_RETRANSMITTED BYTES_SENT CONNECTION_ID CONNECTION_TERMINATION_DETAILS
CUSTOM_FLAGS DOWNSTREAM_CX_RTT DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED
DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_SENT DOWNSTREAM_DETECTED_CLOSE_TYPE DOWNSTREAM_DIRECT_LOCAL_ADDRESS
DOWNSTREAM_DIRECT_LOCAL_ADDRESS_ENDPOINT_ID DOWNSTREAM_DIRECT_LOCAL_PORT DOWNSTREAM_DIRECT_REMOTE_ADDRESS
DOWNSTREAM_DIRECT_REMOTE_PORT DOWNSTREAM_HANDSHAKE_DURATION DOWNSTREAM_HEADER_BYTES_RECEIVED
DOWNSTREAM_HEADER_BYTES_SENT DOWNSTREAM_LOCAL_ADDRESS DOWNSTREAM_LOCAL_ADDRESS_ENDPOINT_ID
DOWNSTREAM_LOCAL_CLOSE_REASON DOWNSTREAM_LOCAL_DNS_SAN DOWNSTREAM_LOCAL_EMAIL_SAN DOWNSTREAM_LOCAL_IP_SAN
DOWNSTREAM_LOCAL_OTHERNAME_SAN DOWNSTREAM_LOCAL_PORT DOWNSTREAM_LOCAL_SUBJECT DOWNSTREAM_LOCAL_URI_SAN
DOWNSTREAM_PEER_CERT DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_1 DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_256
DOWNSTREAM_PEER_CHAIN_SERIALS DOWNSTREAM_PEER_DNS_SAN DOWNSTREAM_PEER_EMAIL_SAN DOWNSTREAM_PEER_FINGERPRINT_1
DOWNSTREAM_PEER_FINGERPRINT_256 DOWNSTREAM_PEER_IP_SAN DOWNSTREAM_PEER_ISSUER
DOWNSTREAM_PEER_ISSUER_FINGERPRINT_256 DOWNSTREAM_PEER_ISSUER_SERIAL DOWNSTREAM_PEER_OTHERNAME_SAN
DOWNSTREAM_PEER_SERIAL DOWNSTREAM_PEER_SUBJECT DOWNSTREAM_PEER_URI_SAN DOWNSTREAM_REMOTE_ADDRESS
DOWNSTREAM_REMOTE_PORT DOWNSTREAM_TLS_CIPHER DOWNSTREAM_TLS_GROUP DOWNSTREAM_TLS_SESSION_ID DOWNSTREAM_TLS_VERSION
DOWNSTREAM_TRANSPORT_FAILURE_REASON DOWNSTREAM_WIRE_BYTES_RECEIVED DOWNSTREAM_WIRE_BYTES_SENT DURATION
FILTER_CHAIN_NAME GRPC_STATUS GRPC_STATUS_NUMBER HOSTNAME LISTENER_NAME LOCAL_REPLY_BODY PACKETS_RETRANSMITTED
PROTOCOL REQUEST_DURATION REQUEST_HEADERS_BYTES REQUEST_TX_DURATION RESPONSE_CODE RESPONSE_DURATION RESPONSE_FLAGS
RESPONSE_FLAGS_LONG RESPONSE_HEADERS_BYTES RESPONSE_TRAILERS_BYTES RESPONSE_TX_DURATION ROUNDTRIP_DURATION
ROUTE_NAME ROUTE_RESOLUTION_COUNT ROUTE_RESOLUTION_TIME_US SPAN_ID STREAM_ID TLS_JA3_FINGERPRINT
TLS_JA4_FINGERPRINT TRACE_ID UNIQUE_ID UPSTREAM_CLUSTER UPSTREAM_CLUSTER_RAW UPSTREAM_CONNECTION_ID
UPSTREAM_CONNECTION_IDS_ATTEMPTED UPSTREAM_CONNECTION_POOL_READY_DURATION
UPSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED UPSTREAM_DECOMPRESSED_HEADER_BYTES_SENT UPSTREAM_DETECTED_CLOSE_TYPE
UPSTREAM_HEADER_BYTES_RECEIVED UPSTREAM_HEADER_BYTES_SENT UPSTREAM_HOST UPSTREAM_HOSTS_ATTEMPTED
UPSTREAM_HOSTS_ATTEMPTED_WITHOUT_PORT UPSTREAM_HOST_NAME UPSTREAM_HOST_NAMES_ATTEMPTED
UPSTREAM_HOST_NAMES_ATTEMPTED_WITHOUT_PORT UPSTREAM_HOST_NAME_WITHOUT_PORT UPSTREAM_LOCAL_ADDRESS
UPSTREAM_LOCAL_CLOSE_REASON UPSTREAM_LOCAL_DNS_SAN UPSTREAM_LOCAL_IP_SAN UPSTREAM_LOCAL_PORT UPSTREAM_LOCAL_URI_SAN
UPSTREAM_PEER_CERT UPSTREAM_PEER_DNS_SAN UPSTREAM_PEER_IP_SAN UPSTREAM_PEER_ISSUER UPSTREAM_PEER_SUBJECT
UPSTREAM_PEER_URI_SAN UPSTREAM_PROTOCOL UPSTREAM_REMOTE_ADDRESS UPSTREAM_REMOTE_ADDRESS_ENDPOINT_ID
UPSTREAM_REMOTE_PORT UPSTREAM_REQUEST_ATTEMPT_COUNT UPSTREAM_SERVER_NAME UPSTREAM_TLS_CIPHER UPSTREAM_TLS_GROUP
UPSTREAM_TLS_SESSION_ID UPSTREAM_TLS_VERSION UPSTREAM_TRANSPORT_FAILURE_REASON UPSTREAM_WIRE_BYTES_RECEIVED
UPSTREAM_WIRE_BYTES_SENT VIRTUAL_CLUSTER_NAME`

// logFault is why Envoy would reject a format of access logs; empty: it would
// not.
func logFault(format string) string {
	all, fault := commands(format)
	if fault != "" {
		return fault
	}
	for _, c := range all {
		if fault := c.fault(); fault != "" {
			return fault
		}
	}
	return ""
}

// knownCommand is a form with its compiled pattern.
type knownCommand struct {
	commandForm
	pattern *regexp.Regexp
}

var knownCommands = sync.OnceValue(func() map[string]knownCommand {
	out := map[string]knownCommand{}
	for _, f := range commandForms {
		pattern := regexp.MustCompile(`^(?:` + f.argument + `)$`)
		for _, name := range strings.Fields(f.names) {
			out[name] = knownCommand{f, pattern}
		}
	}
	return out
})

// newlinePattern is Envoy's own pattern of a line break in the format of a time: %n,
// with flags or a width.
var newlinePattern = regexp.MustCompile(`%[-_0^#]*[1-9]*[EO]?n`)

func (c command) fault() string {
	f, ok := knownCommands()[c.name]
	switch {
	case !ok:
		return "unknown command operator %" + c.name + "%"
	case f.argument == timeFormat && newlinePattern.MatchString(c.argument):
		return "the format of %" + c.name + "% must not contain %n, a line break"
	case !f.pattern.MatchString(c.argument):
		if f.example == "" {
			return "%" + c.name + "% does not accept arguments"
		}
		return fmt.Sprintf("invalid arguments of %%%s()%%: use the form %%%s(%s)%%", c.name, c.name, f.example)
	case c.length && !f.length:
		return "%" + c.name + "% does not accept a length"
	}
	return ""
}
