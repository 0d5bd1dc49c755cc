package egress

import (
	"fmt"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// catchAllRoute is for HTTP on the ports that have no listener of their own.
const catchAllRoute = "catchall"

// What the route's name in the access log says, as in Istio.
const (
	routeAllow   = "allow_any"
	routeBlock   = "block_all"
	routeDefault = "default"
)

// http502 is what a blocked request is answered: Bad Gateway, as in Istio.
const http502 = 502

func (b *builder) routeConfigurations() []*routev3.RouteConfiguration {
	var out []*routev3.RouteConfiguration
	for _, p := range b.view.ports() {
		if !p.onlyTCP() {
			name := fmt.Sprint(p.number)
			out = append(out, b.routeConfiguration(name, b.view.http(name)))
		}
	}
	return append(out, b.routeConfiguration(catchAllRoute, nil))
}

func (b *builder) routeConfiguration(name string, hosts []seen) *routev3.RouteConfiguration {
	c := &routev3.RouteConfiguration{
		Name: name,
		// The clusters come on demand.
		ValidateClusters:         wrapperspb.Bool(false),
		IgnorePortInHostMatching: true,
	}
	for _, h := range hosts {
		c.VirtualHosts = append(c.VirtualHosts, virtualHostOf(h))
	}
	c.VirtualHosts = append(c.VirtualHosts, b.restOfHTTP())
	return c
}

func virtualHostOf(h seen) *routev3.VirtualHost {
	to := &routev3.Route{
		Name: routeDefault, Match: everything(),
		Action: &routev3.Route_Route{Route: &routev3.RouteAction{
			ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: h.cluster()},
			Timeout:          durationpb.New(h.timeout),
		}},
		Decorator: &routev3.Decorator{Operation: fmt.Sprintf("%s:%d/*", h.name, h.port)},
	}
	v := &routev3.VirtualHost{
		Name: fmt.Sprintf("%s:%d", h.name, h.port), Domains: []string{h.name}, Routes: []*routev3.Route{to},
		IncludeRequestAttemptCount: true,
	}
	if h.wildcard() && len(h.endpoints) == 0 {
		// The name is resolved with the port of the Host header: only the port
		// that is declared may be there.
		to.Match.Headers = []*routev3.HeaderMatcher{{
			Name: ":authority",
			HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: &matcherv3.StringMatcher{
				MatchPattern: &matcherv3.StringMatcher_SafeRegex{SafeRegex: &matcherv3.RegexMatcher{Regex: portPattern(h.port)}},
			}},
		}}
		v.Routes = append(v.Routes, block("block_port"))
	}
	return v
}

// portPattern matches an authority without a port, where that means the port
// itself, or with it.
func portPattern(port uint32) string {
	pattern := fmt.Sprintf(`[^:]+:%d`, port)
	if port == 80 {
		return `[^:]+(:80)?`
	}
	return pattern
}

// restOfHTTP is for requests to hosts that are not declared.
func (b *builder) restOfHTTP() *routev3.VirtualHost {
	if b.view.mesh.registryOnly {
		return &routev3.VirtualHost{Name: routeBlock, Domains: []string{"*"}, Routes: []*routev3.Route{block(routeBlock)}}
	}
	return &routev3.VirtualHost{Name: routeAllow, Domains: []string{"*"}, IncludeRequestAttemptCount: true, Routes: []*routev3.Route{{
		Name: routeAllow, Match: everything(),
		Action: &routev3.Route_Route{Route: &routev3.RouteAction{
			ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: PassthroughCluster}, Timeout: durationpb.New(0),
		}},
	}}}
}

func block(name string) *routev3.Route {
	return &routev3.Route{
		Name: name, Match: everything(),
		Action: &routev3.Route_DirectResponse{DirectResponse: &routev3.DirectResponseAction{Status: http502}},
	}
}

func everything() *routev3.RouteMatch {
	return &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}}
}
