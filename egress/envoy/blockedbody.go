package envoy

import (
	"fmt"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/outrider-mesh/outrider/egress"
)

// A blocked request gets a response with a body. Its route has what depends on the view: the
// reason. The connection manager completes it with what depends on the request and the pod,
// once for all routes of a port: views are shared by namespaces, and a wildcard has a blocked
// route of its own. It finds these requests by metadata, which a filter sets that only their
// routes enable: a VirtualService can have a route of the same name and status, and a
// destination responses of that status, but not this. Other requests have no instance of the
// filter, and cost nothing.

// The parts of a body. The Host is the client's choice, within what Envoy accepts as one; it
// is cut to the longest name with a port. The namespace is an environment variable of the
// sidecar.
const (
	bodyHost      = "%REQ(:AUTHORITY):259%"
	bodyPort      = "%DOWNSTREAM_LOCAL_PORT%"
	bodyNamespace = "%ENVIRONMENT(POD_NAMESPACE)%"
	bodyCode      = "%ROUTE_NAME%"
	bodyMessage   = "%LOCAL_REPLY_BODY%"
)

// explain makes a blocked route give its reason.
func (b *builder) explain(r *routev3.Route, why egress.Reason) *routev3.Route {
	if b.mesh.BlockedBody {
		r.GetDirectResponse().Body = inline(why.Text())
		b.enable(r, blockedFilter)
	}
	return r
}

// enable enables a filter for the requests of a route.
func (b *builder) enable(r *routev3.Route, filter string) {
	if r.TypedPerFilterConfig == nil {
		r.TypedPerFilterConfig = map[string]*anypb.Any{}
	}
	r.TypedPerFilterConfig[filter] = b.pack(&routev3.FilterConfig{Config: &anypb.Any{}})
}

// explains makes a connection manager complete the bodies of blocked requests.
func (b *builder) explains(m *hcmv3.HttpConnectionManager) {
	if b.mesh.BlockedBody {
		m.HttpFilters = append([]*hcmv3.HttpFilter{b.marks(blockedFilter, blockedFilter, metadataBlocked)}, m.HttpFilters...)
		m.LocalReplyConfig = &hcmv3.LocalReplyConfig{Mappers: bodies()}
	}
}

// bodies complete the bodies of blocked requests: in JSON for clients that accept it by
// name, or else as text. A gRPC client gets the text as its message.
func bodies() []*hcmv3.ResponseMapper {
	text := fmt.Sprintf("blocked (%s): host %s, port %s, namespace %s: %s", bodyCode, bodyHost, bodyPort, bodyNamespace, bodyMessage)
	fields := map[string]*structpb.Value{}
	for name, value := range map[string]string{"code": bodyCode, "host": bodyHost, "port": bodyPort, "namespace": bodyNamespace, "message": bodyMessage} {
		fields[name] = structpb.NewStringValue(value)
	}
	return []*hcmv3.ResponseMapper{
		body(&corev3.SubstitutionFormatString{
			Format: &corev3.SubstitutionFormatString_JsonFormat{JsonFormat: &structpb.Struct{Fields: fields}},
		}, acceptsJSON()),
		body(&corev3.SubstitutionFormatString{
			Format: &corev3.SubstitutionFormatString_TextFormatSource{TextFormatSource: inline(text)}, ContentType: "text/plain; charset=utf-8",
		}),
	}
}

// body completes the bodies of blocked requests that a further condition is true for.
func body(format *corev3.SubstitutionFormatString, further ...*accesslogv3.AccessLogFilter) *hcmv3.ResponseMapper {
	conditions := append([]*accesslogv3.AccessLogFilter{hasBlockedStatus(), marked(blockedFilter, metadataBlocked)}, further...)
	return &hcmv3.ResponseMapper{
		Filter:             &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_AndFilter{AndFilter: &accesslogv3.AndFilter{Filters: conditions}}},
		BodyFormatOverride: format,
		// A browser does not look for HTML in the Host.
		HeadersToAdd: []*corev3.HeaderValueOption{headerOption("x-content-type-options", "nosniff", corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD)},
	}
}

func hasBlockedStatus() *accesslogv3.AccessLogFilter {
	return &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_StatusCodeFilter{StatusCodeFilter: &accesslogv3.StatusCodeFilter{
		Comparison: &accesslogv3.ComparisonFilter{Op: accesslogv3.ComparisonFilter_EQ, Value: &corev3.RuntimeUInt32{DefaultValue: egress.BlockedStatus, RuntimeKey: "outrider.blocked_status"}},
	}}}
}

func acceptsJSON() *accesslogv3.AccessLogFilter {
	return &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_HeaderFilter{HeaderFilter: &accesslogv3.HeaderFilter{
		Header: &routev3.HeaderMatcher{Name: "accept", HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: &matcherv3.StringMatcher{
			MatchPattern: &matcherv3.StringMatcher_Contains{Contains: "application/json"}, IgnoreCase: true,
		}}},
	}}}
}
