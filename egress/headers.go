package egress

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	networkingv1alpha3 "istio.io/api/networking/v1alpha3"
)

// readHeaders reads what a route does to headers. Only a request's Host can be
// set among those that stand for the request itself.
func readHeaders(h *networkingv1alpha3.Headers, path string, r reporter) {
	for _, side := range []struct {
		name string
		ops  *networkingv1alpha3.Headers_HeaderOperations
	}{{"request", h.GetRequest()}, {"response", h.GetResponse()}} {
		at := path + "." + side.name
		readHeaderValues(side.ops.GetSet(), at+".set", side.name == "request", r)
		readHeaderValues(side.ops.GetAdd(), at+".add", false, r)
		for i, name := range side.ops.GetRemove() {
			readHeaderName(name, fmt.Sprintf("%s.remove[%d]", at, i), false, r)
		}
	}
}

func readHeaderValues(values map[string]string, path string, host bool, r reporter) {
	for _, name := range slices.Sorted(maps.Keys(values)) {
		at := path + "." + name
		readHeaderName(name, at, host, r)
		readText(values[name], at, r)
		fault := commandFault(values[name])
		if fault == "" && isAuthority(name) && strings.Contains(values[name], "%") {
			fault = "Host is set as it is written, without commands"
		}
		if fault == "" && isAuthority(name) && values[name] == "" {
			fault = "a request has a Host"
		}
		if fault != "" {
			r.error(at, values[name], fault, "write %% for the sign itself, or one of the commands "+strings.Join(headerCommands(), ", "))
		}
	}
}

func readHeaderName(name, path string, host bool, r reporter) {
	switch {
	case isAuthority(name):
		if !host {
			r.error(path, name, "the Host of a request can be set and nothing else", "use rewrite.authority, or headers.request.set")
		}
	case !validToken(name):
		r.error(path, name, "it is not the name of a header that can be changed", "write one such as x-api")
	}
}

func isAuthority(name string) bool {
	return strings.EqualFold(name, "host") || strings.EqualFold(name, ":authority")
}

// authorityOf is the Host that header operations set; empty: none.
func authorityOf(h *networkingv1alpha3.Headers) string {
	set := h.GetRequest().GetSet()
	for _, name := range slices.Sorted(maps.Keys(set)) {
		if isAuthority(name) {
			return set[name]
		}
	}
	return ""
}

// headerCommands are the commands that a header's value may have, out of those
// that Envoy knows: it refuses all routes of the port for one that it does not.
func headerCommands() []string {
	return []string{
		"CONNECTION_ID", "DOWNSTREAM_DIRECT_REMOTE_ADDRESS", "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT", "DOWNSTREAM_LOCAL_ADDRESS",
		"DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT", "DOWNSTREAM_LOCAL_PORT", "DOWNSTREAM_REMOTE_ADDRESS", "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT",
		"DOWNSTREAM_REMOTE_PORT", "ENVIRONMENT", "FILTER_STATE", "HOSTNAME", "PROTOCOL", "REQ", "REQUESTED_SERVER_NAME", "RESP", "RESPONSE_CODE",
		"RESPONSE_CODE_DETAILS", "RESPONSE_FLAGS", "ROUTE_NAME", "START_TIME", "STREAM_ID", "UPSTREAM_CLUSTER", "UPSTREAM_CLUSTER_RAW",
		"UPSTREAM_HOST", "UPSTREAM_LOCAL_ADDRESS", "UPSTREAM_REMOTE_ADDRESS", "UPSTREAM_REQUEST_ATTEMPT_COUNT",
	}
}

// commandFault finds what is wrong with the commands in a header's value.
func commandFault(text string) string {
	all, fault := commands(text)
	for i := 0; i < len(all) && fault == ""; i++ {
		fault = argumentFault(all[i].name, all[i].argument)
	}
	return fault
}

func argumentFault(name, arguments string) string {
	if !slices.Contains(headerCommands(), name) {
		return "there is no command " + name
	}
	switch name {
	case "REQ", "RESP":
		main, alternative, two := strings.Cut(arguments, "?")
		if !validHeader(main) || two && !validHeader(alternative) {
			return name + " needs the name of a header, as in %" + name + "(X-API)%"
		}
	case "ENVIRONMENT", "FILTER_STATE":
		if !validToken(arguments) {
			return name + " needs a name, as in %" + name + "(NAME)%"
		}
	case "START_TIME":
		if strings.Contains(arguments, "%") {
			return "START_TIME has no format in a header"
		}
	default:
		if arguments != "" {
			return name + " has no ()"
		}
	}
	return ""
}

func validHeader(name string) bool { return validToken(strings.TrimPrefix(name, ":")) }
