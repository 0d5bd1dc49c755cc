package annotation

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/outrider-mesh/outrider/cidr"
	"github.com/outrider-mesh/outrider/internal/document"
)

// IncludeRangeOptions and ExcludeRangeOptions are what the two range lists may
// hold, as annotations and as global values alike. What a name stands for is not
// known here.
var (
	IncludeRangeOptions = cidr.Options{AllowWildcard: true, AllowNames: true}
	ExcludeRangeOptions = cidr.Options{AllowNames: true}
)

// Interception modes that are supported.
const (
	InterceptionRedirect = "REDIRECT" // outbound TCP goes to the proxy
	InterceptionNone     = "NONE"     // nothing is redirected, no init container
)

// ParseInterceptionMode reads REDIRECT or NONE. TPROXY is refused.
func ParseInterceptionMode(value string) (string, error) {
	switch value {
	case InterceptionRedirect, InterceptionNone:
		return value, nil
	case "TPROXY":
		return "", &fault{"TPROXY is refused: inbound traffic is never captured, and outbound TCP is only redirected", "write REDIRECT or NONE, or remove it"}
	}
	return "", &fault{"not an interception mode", "write REDIRECT or NONE"}
}

// ParseBool reads a boolean as strconv.ParseBool does: 1, t, T, true, True,
// TRUE and their opposites.
func ParseBool(value string) (bool, error) {
	b, err := strconv.ParseBool(value)
	if err != nil {
		return false, &fault{"not a boolean", `write "true" or "false"`}
	}
	return b, nil
}

// ParseTrueFalse reads exactly "true" or "false".
func ParseTrueFalse(value string) (bool, error) {
	if value == "true" || value == "false" {
		return value == "true", nil
	}
	return false, &fault{`neither "true" nor "false"`, `write "true" or "false"`}
}

// ParseQuantity reads a resource quantity, zero or more.
func ParseQuantity(value string) (resource.Quantity, error) {
	q, err := resource.ParseQuantity(value)
	if err != nil {
		return q, &fault{"not a quantity", document.QuantityFix}
	}
	if q.Sign() < 0 {
		return resource.Quantity{}, &fault{"a negative quantity", document.QuantityFix}
	}
	return q, nil
}

var logLevels = []string{"trace", "debug", "info", "warning", "warn", "error", "critical", "off"}

// ParseLogLevel reads one of Envoy's log levels.
func ParseLogLevel(value string) (string, error) {
	if slices.Contains(logLevels, value) {
		return value, nil
	}
	return "", &fault{"not a log level of Envoy", "write one of trace, debug, info, warning, error, critical, off"}
}

// components are the loggers of Envoy 1.40, as POST /logging of its admin
// interface lists them. Envoy does not start with any other in
// --component-log-level; a test asks the real one.
var components = strings.Fields(`a2a admin ai_protocol_manager alternate_protocols_cache assert aws backtrace basic_auth
	cache_filter client compression config conn_handler connection credential_injector decompression dns dubbo
	dynamic_modules envoy_bug ext_authz ext_proc file filter forward_proxy geolocation golang grpc happy_eyeballs hc
	health_checker http http2 hystrix init io ip_tagging json_rpc jwt kafka key_value_store local_rate_limit lua main
	matcher mcp misc mongo multi_connection notification oauth2 pool quic quic_stream rate_limit_quota rbac rds redis
	rocketmq router runtime secret sse stats stats_sinks tap testing thrift tracing udp upstream wasm websocket`)

// Components lists the components that ParseComponentLogLevel takes, sorted. The
// caller owns the slice.
func Components() []string { return slices.Clone(components) }

// ParseComponentLogLevel reads Envoy's list "component:level,component:level".
// The empty list is allowed.
func ParseComponentLogLevel(value string) (string, error) {
	return parseScopes(value, "component", logLevels, components)
}

var agentLevels = []string{"none", "fatal", "error", "warn", "info", "debug"}

// ParseAgentLogLevel reads Istio's log scopes: "info" or "default:info,all:debug".
func ParseAgentLogLevel(value string) (string, error) {
	return parseScopes(value, "scope", agentLevels, nil)
}

// parseScopes reads "name:level,...". The names are those of known; without
// known they are free, and a level may stand alone.
func parseScopes(value, what string, levels, known []string) (string, error) {
	bare := known == nil
	if value == "" && !bare {
		return "", nil
	}
	fix := "write " + what + ":level pairs separated by commas; the levels are " + strings.Join(levels, ", ")
	var out []string
	for i, e := range strings.Split(value, ",") {
		e = strings.TrimSpace(e)
		name, level, pair := strings.Cut(e, ":")
		if !pair && bare {
			name, level = "default", e
		}
		where := fmt.Sprintf("element %d %s: ", i+1, document.Quote(e))
		switch {
		case !pair && !bare:
			return "", &fault{where + "not a pair " + what + ":level", fix}
		case name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./") != "":
			return "", &fault{where + "not the name of a " + what, fix}
		case !bare && !slices.Contains(known, name):
			return "", &fault{where + document.Quote(name) + " is no component of Envoy 1.40, which would not start", meant(name, known)}
		case !slices.Contains(levels, level):
			return "", &fault{where + document.Quote(level) + " is not a log level", fix}
		}
		out = append(out, e)
	}
	return strings.Join(out, ","), nil
}

// meant proposes a component, or lists them.
func meant(name string, known []string) string {
	if near := document.Nearest(name, known); near != "" {
		return "did you mean " + document.Quote(near) + "?"
	}
	return "the components are " + strings.Join(known, ", ")
}

// ParseImage reads an image reference, or an image name below the configured hub.
func ParseImage(value string) (string, error) {
	switch {
	case value == "":
		return "", &fault{"an empty image", "write a reference such as docker.io/envoyproxy/envoy:distroless-v1.40.0, or remove it"}
	case len(value) > 512:
		return "", &fault{"an image reference of more than 512 bytes", ""}
	}
	for _, r := range value {
		if r > '~' || r <= ' ' || strings.ContainsRune("\"'`\\{}()[]<>|&;$*?!#%^~=,+", r) {
			return "", &fault{fmt.Sprintf("the character %q does not belong in an image reference", r), "write a reference such as docker.io/envoyproxy/envoy:distroless-v1.40.0"}
		}
	}
	if strings.HasPrefix(value, "/") || strings.HasSuffix(value, "/") || strings.HasSuffix(value, ":") || strings.Contains(value, "//") || strings.Contains(value, "://") {
		return "", &fault{"not an image reference", "write a reference such as docker.io/envoyproxy/envoy:distroless-v1.40.0"}
	}
	return value, nil
}

var imageTypes = []string{"default", "debug", "distroless"}

// ParseImageType reads default, debug or distroless.
func ParseImageType(value string) (string, error) {
	if slices.Contains(imageTypes, value) {
		return value, nil
	}
	return "", &fault{"not an image type", "write one of default, debug, distroless"}
}

// ParseInterfaces reads a list of network interface names. White space around
// a name and empty elements are tolerated; the order is kept.
func ParseInterfaces(value string) ([]string, error) {
	const longest = 15 // IFNAMSIZ is 16, with the terminating zero
	var out []string
	for i, e := range strings.Split(value, ",") {
		e = strings.TrimSpace(e)
		if e == "" {
			continue
		}
		where := fmt.Sprintf("element %d %s: ", i+1, document.Quote(e))
		const fix = "write the interfaces' names as ip link shows them, separated by commas"
		switch {
		case len(e) > longest:
			return nil, &fault{where + fmt.Sprintf("an interface name has at most %d bytes", longest), fix}
		case e == "." || e == ".." || strings.ContainsAny(e, "/: \t\r\n\v\f\"'`\\$;&|<>{}()*?") || !printable(e):
			return nil, &fault{where + "not the name of an interface", fix}
		}
		if !slices.Contains(out, e) {
			out = append(out, e)
		}
	}
	return out, nil
}

func printable(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
}

// ParseTemplates reads the names of templates or aliases, in order.
func ParseTemplates(value string) ([]string, error) {
	var out []string
	for i, e := range strings.Split(value, ",") {
		e = strings.TrimSpace(e)
		if e == "" {
			return nil, &fault{fmt.Sprintf("element %d names no template", i+1), "write names of templates separated by commas, or remove it"}
		}
		out = append(out, e)
	}
	return out, nil
}

// ParseInject reads sidecar.istio.io/inject as Istio does: only "true" and
// "false" decide; decided is false for everything else.
func ParseInject(value string) (inject, decided bool) {
	return value == "true", value == "true" || value == "false"
}

// Error makes a fault an error by itself, for the typed parsers.
func (f *fault) Error() string {
	if f.fix == "" {
		return f.rule
	}
	return f.rule + "; " + f.fix
}

// faultsOf is the faults inside a parser's error.
func faultsOf(err error) []fault {
	var one *fault
	var many faults
	var list *cidr.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &one):
		return []fault{*one}
	case errors.As(err, &many):
		return many
	case errors.As(err, &list):
		const most = 10
		var out []fault
		for i, p := range list.Problems {
			if i == most {
				out = append(out, fault{rule: fmt.Sprintf("and %d more bad elements", len(list.Problems)-most)})
				break
			}
			out = append(out, fault{fmt.Sprintf("element %d %s: %s", p.Index+1, document.Quote(p.Element), p.Rule), p.Fix})
		}
		return out
	}
	return []fault{{rule: err.Error()}}
}

// faults is several faults of one value.
type faults []fault

func (fs faults) Error() string {
	lines := make([]string, len(fs))
	for i := range fs {
		lines[i] = fs[i].Error()
	}
	return strings.Join(lines, "\n")
}

// ofDocument turns faults of a YAML value into an error; nil when there is none.
func ofDocument(found []document.Fault) error {
	if len(found) == 0 {
		return nil
	}
	out := make(faults, len(found))
	for i, f := range found {
		out[i].fix = f.Fix
		f.Fix = ""
		out[i].rule = f.String()
	}
	return out
}

func notLabel(name string) string {
	return strings.Join(validation.IsDNS1123Label(name), "; ")
}
