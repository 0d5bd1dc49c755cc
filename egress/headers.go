package egress

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

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
			r.error(at, values[name], fault, "use %% for a percent sign, and command operators about the request such as %REQ(X-API)% or %START_TIME%")
		} else if host && IsAuthority(name) {
			readAuthority(values[name], at, r)
		}
	}
}

func readHeaderName(name, path string, host bool, r reporter) {
	switch {
	case IsAuthority(name):
		if !host {
			r.error(path, name, "Host supports only \"set\" on requests", "use rewrite.authority, or headers.request.set")
		}
	case pseudoField(name) == "uri":
		r.error(path, name, "header cannot be modified", "use rewrite.uri")
	case strings.EqualFold(name, ClusterHeader):
		r.error(path, name, "header is reserved by the sidecar", "use another header")
	case !validToken(name):
		r.error(path, name, "header cannot be modified", fixHeaderName)
	}
}

// headerCommands are the command operators that may be in the value of a header:
// they describe the request, its response and the connection to the destination. The
// value leaves the pod, and the author of the route may be of another namespace than
// the pod, so operators that read the sidecar's environment, its node, the pod's
// address or the state of filters are not among them.
var headerCommands = sync.OnceValue(func() map[string]bool {
	const names = `BYTES_RECEIVED BYTES_SENT DURATION GRPC_STATUS GRPC_STATUS_NUMBER PATH PROTOCOL QUERY_PARAM QUERY_PARAMS REQ
REQUESTED_SERVER_NAME REQUEST_DURATION REQUEST_HEADER REQUEST_HEADERS_BYTES REQUEST_TX_DURATION RESP RESPONSE_CODE RESPONSE_CODE_DETAILS
RESPONSE_DURATION RESPONSE_FLAGS RESPONSE_FLAGS_LONG RESPONSE_HEADER RESPONSE_HEADERS_BYTES RESPONSE_TX_DURATION ROUTE_NAME SPAN_ID
START_TIME START_TIME_LOCAL STREAM_ID STREAM_INFO_REQ TRACE_ID UNIQUE_ID UPSTREAM_CLUSTER UPSTREAM_HOST UPSTREAM_HOST_NAME
UPSTREAM_HOST_NAME_WITHOUT_PORT UPSTREAM_PROTOCOL UPSTREAM_REMOTE_ADDRESS UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT UPSTREAM_REMOTE_PORT
UPSTREAM_REQUEST_ATTEMPT_COUNT UPSTREAM_TLS_CIPHER UPSTREAM_TLS_VERSION`
	all := map[string]bool{}
	for name := range strings.FieldsSeq(names) {
		all[name] = true
	}
	return all
})

// headerFault is why the value of a header is rejected; empty: it is not. Envoy
// rejects all routes of a port for one value that it does not accept, and all
// namespaces may have these routes.
func headerFault(text string) string {
	all, fault := commands(text)
	for i := 0; i < len(all) && fault == ""; i++ {
		fault = all[i].fault()
		if _, known := knownCommands()[all[i].name]; known && !headerCommands()[all[i].name] {
			fault = "%" + all[i].name + "% is not allowed in headers: it is not about the request"
		} else if old := lackedBy(all[i].name); len(old) > 0 && fault == "" { // the route is for sidecars of all versions
			fault = "%" + all[i].name + "% is not an operator of Envoy " + strings.Join(old, ", ")
		}
	}
	return fault
}
