package envoy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/outrider-mesh/outrider/egress"
)

func (b *builder) routeConfigurations() []*routev3.RouteConfiguration {
	var out []*routev3.RouteConfiguration
	for _, p := range b.view.Ports() {
		if !p.OnlyTCP() {
			out = append(out, b.routeConfiguration(fmt.Sprint(p.Number), b.view.Domains(p.Number)))
		}
	}
	return append(out, b.routeConfiguration(catchAllRoute, nil))
}

// domainsOf are the virtual hosts of a route configuration. Its name is a port, or
// catchAllRoute.
func (b *builder) domainsOf(name string) (domains []egress.Domain, ok bool) {
	if name == catchAllRoute {
		return nil, true
	}
	n, err := strconv.ParseUint(name, 10, 16)
	if err != nil || strconv.FormatUint(n, 10) != name {
		return nil, false
	}
	return b.view.Domains(uint32(n)), true
}

func (b *builder) routeConfiguration(name string, domains []egress.Domain) *routev3.RouteConfiguration {
	c := &routev3.RouteConfiguration{
		Name: name,
		// Clusters are fetched on demand.
		ValidateClusters:         wrapperspb.Bool(false),
		IgnorePortInHostMatching: true,
	}
	if name != catchAllRoute {
		// Once here instead of at each host: routes without retries have
		// Istio's default.
		c.RequestHeadersToAdd = retryHeaders(egress.DefaultRetryOn, egress.DefaultRetryAttempts)
		c.RequestHeadersToRemove = []string{egress.ClusterHeader}
		c.MaxDirectResponseBodySizeBytes = wrapperspb.UInt32(egress.MaxDirectResponseBody)
	}
	var shared []string
	for _, d := range domains {
		if plain(d) {
			shared = append(shared, d.Name)
		} else {
			c.VirtualHosts = append(c.VirtualHosts, b.virtualHostOf(d))
		}
	}
	if len(shared) > 0 {
		c.VirtualHosts = append(c.VirtualHosts, b.sharedVirtualHost(name, shared))
	}
	rest := b.restOfHTTP()
	if name != catchAllRoute {
		rest.TypedPerFilterConfig = b.undeclaredRoute()
	}
	c.VirtualHosts = append(c.VirtualHosts, rest)
	return c
}

func (b *builder) virtualHostOf(d egress.Domain) *routev3.VirtualHost {
	v := &routev3.VirtualHost{
		Name: fmt.Sprintf("%s:%d", d.Name, d.Host.Port), Domains: []string{d.Name},
		// Envoy sets it again with each retry, also where a route has removed it.
		IncludeRequestAttemptCount: !b.mesh.Headers.NoAttemptCount && !removesAttemptCount(d),
	}
	if b.view.ResolvesHost(d) {
		v.Routes = append(v.Routes, b.blockPort(d.Host))
	}
	if len(d.Routes) > 0 {
		v.Routes = append(v.Routes, b.routesOf(d)...)
		return v
	}
	v.Routes = append(v.Routes, &routev3.Route{
		Name: egress.RouteDefault, Match: everything(),
		Action: &routev3.Route_Route{Route: &routev3.RouteAction{
			ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: d.Host.ClusterName()}, Timeout: durationpb.New(0),
		}},
		Decorator: &routev3.Decorator{Operation: operationOf(d.Name, d.Host.Port)},
	})
	return v
}

// removesAttemptCount reports whether a route of a domain removes the header.
func removesAttemptCount(d egress.Domain) bool {
	return slices.ContainsFunc(d.Routes, func(r egress.HTTPRoute) bool {
		return slices.ContainsFunc(r.Spec.GetHeaders().GetRequest().GetRemove(), func(name string) bool { return strings.EqualFold(name, "x-envoy-attempt-count") })
	})
}

// blockPort rejects requests whose Host has another port than the declared one:
// the sidecar would connect to the name on that port.
func (b *builder) blockPort(h egress.Host) *routev3.Route {
	r := b.block(h.OtherPort(""))
	if b.mesh.Reports {
		b.enable(r, undeclaredFilter)
	}
	r.Match.Headers = []*routev3.HeaderMatcher{{
		Name: ":authority", InvertMatch: true,
		HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: &matcherv3.StringMatcher{
			MatchPattern: &matcherv3.StringMatcher_SafeRegex{SafeRegex: &matcherv3.RegexMatcher{Regex: portPattern(h)}},
		}},
	}}
	return r
}

// portPattern is the form of a Host that is resolved as it is: without a port,
// or with the one that the sidecar connects to.
func portPattern(h egress.Host) string {
	if h.TargetPort != h.Port {
		return `[^:]+`
	}
	return fmt.Sprintf(`[^:]+(:%d)?`, h.Port)
}

// restOfHTTP is for requests to hosts that are not declared.
func (b *builder) restOfHTTP() *routev3.VirtualHost {
	if b.mesh.RegistryOnly {
		return &routev3.VirtualHost{Name: egress.RouteBlockAll, Domains: []string{"*"}, Routes: []*routev3.Route{
			b.block(egress.Reason{Code: egress.RouteBlockAll, Protocol: egress.ReasonHTTP, Limited: b.view.Limited()}),
		}}
	}
	return &routev3.VirtualHost{
		Name: egress.RouteAllowAny, Domains: []string{"*"}, IncludeRequestAttemptCount: !b.mesh.Headers.NoAttemptCount,
		RequestHeadersToAdd: retryHeaders("", 0), // forwarded without retries
		Routes: []*routev3.Route{{
			Name: egress.RouteAllowAny, Match: everything(),
			Action: &routev3.Route_Route{Route: &routev3.RouteAction{
				ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: egress.PassthroughCluster}, Timeout: durationpb.New(0),
			}},
		}},
	}
}

func (b *builder) block(why egress.Reason) *routev3.Route {
	return b.explain(&routev3.Route{
		Name: why.Code, Match: everything(),
		Action: &routev3.Route_DirectResponse{DirectResponse: &routev3.DirectResponseAction{Status: egress.BlockedStatus}},
	}, why)
}
