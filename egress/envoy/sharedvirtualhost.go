package envoy

import (
	"fmt"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	luav3 "github.com/envoyproxy/go-control-plane/envoy/extensions/router/cluster_specifiers/lua/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/outrider-mesh/outrider/egress"
)

// plain reports whether all requests of a domain go to the host of that name,
// without routes.
func plain(d egress.Domain) bool {
	return d.Name == d.Host.Name && !d.Host.Wildcard() && len(d.Routes) == 0
}

// sharedVirtualHost is the virtual host for the plain domains of a port. Its
// domains decide which requests are accepted; the cluster follows from the
// Host.
func (b *builder) sharedVirtualHost(port string, domains []string) *routev3.VirtualHost {
	asWritten := b.sharedRoute(&routev3.RouteAction{ClusterSpecifier: &routev3.RouteAction_ClusterHeader{ClusterHeader: egress.ClusterHeader}})
	asWritten.Match.Headers = []*routev3.HeaderMatcher{{
		Name: ":authority",
		HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: &matcherv3.StringMatcher{
			MatchPattern: &matcherv3.StringMatcher_SafeRegex{SafeRegex: &matcherv3.RegexMatcher{Regex: `[^A-Z:]+`}},
		}},
	}}
	v := &routev3.VirtualHost{
		Name: sharedVirtualHost, Domains: domains, IncludeRequestAttemptCount: !b.mesh.Headers.NoAttemptCount,
		Routes: []*routev3.Route{asWritten, b.sharedRoute(&routev3.RouteAction{
			ClusterSpecifier: &routev3.RouteAction_InlineClusterSpecifierPlugin{InlineClusterSpecifierPlugin: b.byHostName(port)},
		})},
	}
	if !b.mesh.Headers.NoDebug {
		// Other routes have it in their decorator; a route for all hosts takes
		// it from the cluster.
		v.RequestHeadersToAdd = []*corev3.HeaderValueOption{headerOption("x-envoy-decorator-operation",
			fmt.Sprintf("%%METADATA(CLUSTER:%s:%s)%%", metadataNamespace, metadataOperation), corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD)}
	}
	return v
}

func (b *builder) sharedRoute(a *routev3.RouteAction) *routev3.Route {
	a.Timeout = durationpb.New(0)
	return &routev3.Route{Name: egress.RouteDefault, Match: everything(), Action: &routev3.Route_Route{Route: a}}
}

// byHostName chooses the cluster that is named after a Host with a port or with
// capital letters, which no format string can remove. It reads the Host as the
// matching of domains does. A script costs a request more than twice what the
// header does.
func (b *builder) byHostName(port string) *routev3.ClusterSpecifierPlugin {
	script := fmt.Sprintf(`function envoy_on_route(handle)
  local host = string.gsub(handle:headers():get(":authority"), ":[^:%%]]*$", "")
  return "outbound|%s||" .. string.lower(host)
end`, port)
	return &routev3.ClusterSpecifierPlugin{Extension: &corev3.TypedExtensionConfig{
		Name:        "envoy.router.cluster_specifier_plugin.lua",
		TypedConfig: b.pack(&luav3.LuaConfig{SourceCode: inline(script), DefaultCluster: egress.BlackHoleCluster}),
	}}
}
