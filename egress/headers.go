package egress

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	networkingv1alpha3 "istio.io/api/networking/v1alpha3"
)

// readHeaders validates the header operations of a route. Of the headers that
// are part of the request line only Host can be set.
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
		fault := headerFault(values[name])
		if fault == "" && IsAuthority(name) && strings.Contains(values[name], "%") {
			fault = "Host must be a literal"
		}
		if fault == "" && IsAuthority(name) && values[name] == "" {
			fault = "Host must not be empty"
		}
		if fault != "" {
			r.error(at, values[name], fault, "use %% for a percent sign, and command operators of Envoy's access logs such as %REQ(X-API)%")
		}
	}
}

func readHeaderName(name, path string, host bool, r reporter) {
	switch {
	case IsAuthority(name):
		if !host {
			r.error(path, name, "Host supports only \"set\" on requests", "use rewrite.authority, or headers.request.set")
		}
	case strings.EqualFold(name, ClusterHeader):
		r.error(path, name, "header is reserved by the sidecar", "use another header")
	case !validToken(name):
		r.error(path, name, "header cannot be modified", fixHeaderName)
	}
}

// headerFault is why Envoy would reject the value of a header; empty: it would
// not. Envoy rejects all routes of a port for one value, and all namespaces may
// have these routes, so values that only Envoy can validate are rejected.
func headerFault(text string) string {
	all, fault := commands(text)
	for i := 0; i < len(all) && fault == ""; i++ {
		if fault = all[i].fault(); fault == "" && knownCommands()[all[i].name].opaque {
			fault = "arguments of %" + all[i].name + "()% cannot be validated"
		}
	}
	return fault
}
