package annotation

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/outrider-mesh/outrider/cidr"
	"github.com/outrider-mesh/outrider/internal/document"
	"github.com/outrider-mesh/outrider/internal/problem"
)

// IncludeRangeOptions and ExcludeRangeOptions are what the two range lists may
// hold, as annotations and as global values. Names are resolved elsewhere.
var (
	IncludeRangeOptions = cidr.Options{AllowWildcard: true, AllowNames: true}
	ExcludeRangeOptions = cidr.Options{AllowNames: true}
)

// Interception modes that are supported.
const (
	InterceptionRedirect = "REDIRECT" // outbound TCP goes to the proxy
	InterceptionNone     = "NONE"     // nothing is redirected, no init container
)

// invalid is the problem of a value, or of an element of a list. The error of each
// parser here is a problem.Problem or a problem.List; the caller adds the path.
func invalid(value, rule, fix string) problem.Problem {
	p := problem.Invalid("", "", rule, fix)
	p.Value = problem.Quote(value)
	return p
}

// ParseInterceptionMode reads REDIRECT or NONE. TPROXY is rejected.
func ParseInterceptionMode(value string) (string, error) {
	switch value {
	case InterceptionRedirect, InterceptionNone:
		return value, nil
	case "TPROXY":
		return "", invalid(value, "TPROXY is not supported: inbound traffic is never captured, and outbound TCP is only redirected", "use REDIRECT or NONE, or remove it")
	}
	return "", invalid(value, "invalid interception mode", "use REDIRECT or NONE")
}

// ParseBool reads a boolean as strconv.ParseBool does: 1, t, T, true, True,
// TRUE and their opposites.
func ParseBool(value string) (bool, error) {
	b, err := strconv.ParseBool(value)
	if err != nil {
		return false, invalid(value, "not a boolean", `use "true" or "false"`)
	}
	return b, nil
}

// ParseTrueFalse reads exactly "true" or "false".
func ParseTrueFalse(value string) (bool, error) {
	if value == "true" || value == "false" {
		return value == "true", nil
	}
	return false, invalid(value, `must be "true" or "false"`, `use "true" or "false"`)
}

// ParseQuantity reads a resource quantity, zero or more.
func ParseQuantity(value string) (resource.Quantity, error) {
	q, err := resource.ParseQuantity(value)
	if err != nil {
		return q, invalid(value, "invalid quantity", document.QuantityFix)
	}
	if q.Sign() < 0 {
		return resource.Quantity{}, invalid(value, "must not be negative", document.QuantityFix)
	}
	return q, nil
}

var logLevels = []string{"trace", "debug", "info", "warning", "warn", "error", "critical", "off"}

// ParseLogLevel reads one of Envoy's log levels.
func ParseLogLevel(value string) (string, error) {
	if slices.Contains(logLevels, value) {
		return value, nil
	}
	return "", invalid(value, "not an Envoy log level", "use one of trace, debug, info, warning, error, critical, off")
}

// components are the loggers of Envoy, which does not start with any other in
// --component-log-level.
var components = strings.Fields(componentNames)

// Components lists the components that ParseComponentLogLevel accepts, sorted. The
// caller owns the slice.
func Components() []string { return slices.Clone(components) }

// ComponentsLacked are those of a list of ParseComponentLogLevel that a minor version of
// Envoy, such as 1.39, lacks: it would not start.
func ComponentsLacked(minor, list string) (out []string) {
	lacked := strings.Fields(componentsLacked[minor])
	for e := range strings.SplitSeq(list, ",") {
		if name, _, _ := strings.Cut(e, ":"); slices.Contains(lacked, name) {
			out = append(out, name)
		}
	}
	return out
}

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
// known any name is accepted, and so is a level alone.
func parseScopes(value, what string, levels, known []string) (string, error) {
	bare := known == nil
	if value == "" && !bare {
		return "", nil
	}
	fix := "use " + what + ":level pairs separated by commas; the levels are " + strings.Join(levels, ", ")
	var out []string
	for _, e := range strings.Split(value, ",") {
		e = strings.TrimSpace(e)
		name, level, pair := strings.Cut(e, ":")
		if !pair && bare {
			name, level = "default", e
		}
		switch {
		case !pair && !bare:
			return "", invalid(e, "not a "+what+":level pair", fix)
		case name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./") != "":
			return "", invalid(e, "invalid "+what+" name", fix)
		case !bare && !slices.Contains(known, name):
			return "", invalid(e, "unknown Envoy log component "+problem.Quote(name)+" (Envoy would fail to start)", meant(name, known))
		case !slices.Contains(levels, level):
			return "", invalid(e, problem.Quote(level)+" is not a log level", fix)
		}
		out = append(out, e)
	}
	return strings.Join(out, ","), nil
}

// meant suggests a component, or lists them.
func meant(name string, known []string) string {
	if near := document.Nearest(name, known); near != "" {
		return "did you mean " + problem.Quote(near) + "?"
	}
	return "the components are " + strings.Join(known, ", ")
}

var imageTypes = []string{"default", "debug", "distroless"}

// ParseImageType reads default, debug or distroless.
func ParseImageType(value string) (string, error) {
	if slices.Contains(imageTypes, value) {
		return value, nil
	}
	return "", invalid(value, "invalid image type", "use one of default, debug, distroless")
}

// ParseInterfaces reads a list of network interface names. White space around
// a name and empty elements are tolerated; the order is kept.
func ParseInterfaces(value string) ([]string, error) {
	const longest = 15 // IFNAMSIZ is 16, with the terminating zero
	var out []string
	for _, e := range strings.Split(value, ",") {
		e = strings.TrimSpace(e)
		if e == "" {
			continue
		}
		const fix = "use interface names as shown by ip link, separated by commas"
		switch {
		case e == "+": // any ending of no name
			return nil, invalid(e, "excludes every interface", "set sidecar.istio.io/interceptionMode: NONE to capture nothing")
		case len(e) > longest:
			return nil, invalid(e, fmt.Sprintf("an interface name has at most %d bytes", longest), fix)
		case e == "." || e == ".." || strings.ContainsAny(e, "/: \t\r\n\v\f\"'`\\$;&|<>{}()*?") || !printable(e):
			return nil, invalid(e, "invalid interface name", fix)
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
			return nil, invalid(value, fmt.Sprintf("element %d is empty", i+1), "use template names separated by commas, or remove the annotation")
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
