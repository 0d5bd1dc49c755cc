package envoy

import (
	"fmt"
	"strings"

	mutationv3 "github.com/envoyproxy/go-control-plane/envoy/config/common/mutation_rules/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	httpstatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/set_filter_state/v3"
	previoushostsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/host/previous_hosts/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
	networkingv1alpha3 "istio.io/api/networking/v1alpha3"

	"github.com/outrider-mesh/outrider/egress"
)

// routesOf are a domain's routes in order, one for each match.
func (b *builder) routesOf(d egress.Domain) []*routev3.Route {
	var out []*routev3.Route
	for _, rule := range d.Routes {
		matches, ok := rule.MatchesOn(d.Host.Port)
		if !ok {
			continue
		}
		for _, m := range matches {
			out = append(out, b.route(rule, m, d))
			if egress.MatchesEverything(m) {
				return out // the routes after it never match
			}
		}
	}
	return out
}

func (b *builder) route(rule egress.HTTPRoute, m *networkingv1alpha3.HTTPMatchRequest, d egress.Domain) *routev3.Route {
	s := rule.Spec
	r := &routev3.Route{Name: egress.RouteName(s, m), Match: routeMatch(m)}
	switch {
	case s.Redirect != nil:
		r.Action = &routev3.Route_Redirect{Redirect: redirect(s.Redirect, d.Host.Port)}
	case s.DirectResponse != nil:
		r.Action = &routev3.Route_DirectResponse{DirectResponse: directResponse(rule)}
	default:
		r.Action = &routev3.Route_Route{Route: b.action(rule, d)}
		r.Decorator = &routev3.Decorator{Operation: operation(r, rule, d)}
		r.RequestHeadersToAdd = routeRetryHeaders(rule)
	}
	changes := headerChanges(s.Headers)
	r.RequestHeadersToAdd = append(changes.toRequest, r.RequestHeadersToAdd...)
	r.RequestHeadersToRemove, r.ResponseHeadersToAdd, r.ResponseHeadersToRemove = changes.notRequest, changes.toResponse, changes.notResponse
	r.TypedPerFilterConfig = b.perRoute(rule)
	return r
}

// operation is Istio's X-Envoy-Decorator-Operation: the host, or the
// VirtualService where there are several, and the path of the match.
func operation(r *routev3.Route, rule egress.HTTPRoute, d egress.Domain) string {
	path := "/*"
	switch p := r.Match.PathSpecifier.(type) {
	case *routev3.RouteMatch_Path:
		path = p.Path
	case *routev3.RouteMatch_Prefix:
		path = p.Prefix + "*"
	case *routev3.RouteMatch_SafeRegex:
		path = p.SafeRegex.Regex
	}
	if _, rest, found := strings.Cut(r.GetRoute().GetCluster(), "|"); found && len(rule.Destinations) == 1 {
		port, host, _ := strings.Cut(rest, "||")
		return host + ":" + port + path
	}
	return fmt.Sprintf("%s:%d%s", d.By.Name, d.Host.Port, path)
}

func (b *builder) action(rule egress.HTTPRoute, d egress.Domain) *routev3.RouteAction {
	s := rule.Spec
	a := &routev3.RouteAction{Timeout: durationpb.New(s.Timeout.AsDuration()), RetryPolicy: b.retryPolicy(rule)}
	b.destinations(a, rule, d)
	if w := s.Rewrite; w != nil {
		a.PrefixRewrite = w.Uri
		if x := w.UriRegexRewrite; x != nil {
			a.RegexRewrite = &matcherv3.RegexMatchAndSubstitute{Pattern: &matcherv3.RegexMatcher{Regex: x.Match}, Substitution: x.Rewrite}
		}
	}
	if host := rule.Authority(); host != "" {
		a.HostRewriteSpecifier = &routev3.RouteAction_HostRewriteLiteral{HostRewriteLiteral: host}
	}
	for _, t := range rule.Mirrors {
		mirror := b.view.MirrorDestination(t, d)
		if mirror.Problem != nil {
			continue // no client would notice
		}
		p := &routev3.RouteAction_RequestMirrorPolicy{
			Cluster: mirror.MirrorClusterName(), RuntimeFraction: &corev3.RuntimeFractionalPercent{DefaultValue: fraction(t.Weight)},
			TraceSampled: wrapperspb.Bool(false),
			RequestHeadersMutations: []*mutationv3.HeaderMutation{
				removed(mirroredFor), appended(mirroredFor, "%REQ("+forwardedFor+")%"),
			},
		}
		if to, ok := mirror.ResolvedName(); ok {
			p.HostRewriteLiteral = authority(to)
		}
		a.RequestMirrorPolicies = append(a.RequestMirrorPolicies, p)
	}
	return a
}

// authority is the Host from which a cluster resolves an endpoint.
func authority(e egress.Endpoint) string {
	if e.Port == 80 {
		return e.Address
	}
	return fmt.Sprintf("%s:%d", e.Address, e.Port)
}

// destinations sets the cluster of a route, or its clusters by weight.
func (b *builder) destinations(a *routev3.RouteAction, rule egress.HTTPRoute, d egress.Domain) {
	all := &routev3.WeightedCluster{}
	for _, t := range rule.Destinations {
		if t.Weight == 0 {
			continue
		}
		to := b.view.Destination(rule, t, d)
		changes := headerChanges(t.Headers)
		w := &routev3.WeightedCluster_ClusterWeight{
			Name: to.ClusterName(), Weight: wrapperspb.UInt32(t.Weight),
			RequestHeadersToAdd: changes.toRequest, RequestHeadersToRemove: changes.notRequest,
			ResponseHeadersToAdd: changes.toResponse, ResponseHeadersToRemove: changes.notResponse,
		}
		if host := t.Authority(); host != "" {
			w.HostRewriteSpecifier = &routev3.WeightedCluster_ClusterWeight_HostRewriteLiteral{HostRewriteLiteral: host}
		}
		if to.Name != "" { // a name under a wildcard, which the cluster does not have
			w.TypedPerFilterConfig = map[string]*anypb.Any{stateFilter: b.pack(&httpstatev3.Config{OnRequestHeaders: stateValues(map[string]string{
				stateHost: to.Name, statePort: fmt.Sprint(to.Host.TargetPort),
			})})}
		}
		all.Clusters = append(all.Clusters, w)
	}
	if len(all.Clusters) == 1 && rule.Destinations[0].Headers == nil && all.Clusters[0].TypedPerFilterConfig == nil && len(rule.Destinations) == 1 {
		a.ClusterSpecifier = &routev3.RouteAction_Cluster{Cluster: all.Clusters[0].Name}
		return
	}
	a.ClusterSpecifier = &routev3.RouteAction_WeightedClusters{WeightedClusters: all}
}

// retryPolicy are the settings of retries that headers cannot have.
func (b *builder) retryPolicy(rule egress.HTTPRoute) *routev3.RetryPolicy {
	t := rule.Spec.Retries
	if t == nil || t.Attempts == 0 {
		return nil
	}
	on, statuses := rule.RetryOn()
	p := &routev3.RetryPolicy{
		RetryOn: strings.Join(on, ","), NumRetries: wrapperspb.UInt32(uint32(t.Attempts)), RetriableStatusCodes: statuses, PerTryTimeout: t.PerTryTimeout,
	}
	if t.Backoff != nil {
		p.RetryBackOff = &routev3.RetryPolicy_RetryBackOff{BaseInterval: t.Backoff}
	}
	if t.RetryIgnorePreviousHosts == nil || t.RetryIgnorePreviousHosts.Value {
		p.RetryHostPredicate = []*routev3.RetryPolicy_RetryHostPredicate{{
			Name:       "envoy.retry_host_predicates.previous_hosts",
			ConfigType: &routev3.RetryPolicy_RetryHostPredicate_TypedConfig{TypedConfig: b.pack(&previoushostsv3.PreviousHostsPredicate{})},
		}}
		p.HostSelectionRetryMaxAttempts = 5 // Istio's
	}
	return p
}

// routeRetryHeaders take precedence over those of the port.
func routeRetryHeaders(rule egress.HTTPRoute) []*corev3.HeaderValueOption {
	t := rule.Spec.Retries
	if t == nil {
		return nil
	}
	on, _ := rule.RetryOn()
	return retryHeaders(strings.Join(on, ","), int(t.Attempts))
}

func redirect(s *networkingv1alpha3.HTTPRedirect, port uint32) *routev3.RedirectAction {
	a := &routev3.RedirectAction{HostRedirect: s.Authority}
	if s.Uri != "" {
		a.PathRewriteSpecifier = &routev3.RedirectAction_PathRedirect{PathRedirect: s.Uri}
	}
	if s.Scheme != "" {
		a.SchemeRewriteSpecifier = &routev3.RedirectAction_SchemeRedirect{SchemeRedirect: s.Scheme}
	}
	switch p := s.RedirectPort.(type) {
	case *networkingv1alpha3.HTTPRedirect_Port:
		a.PortRedirect = p.Port
	case *networkingv1alpha3.HTTPRedirect_DerivePort:
		if p.DerivePort == networkingv1alpha3.HTTPRedirect_FROM_REQUEST_PORT {
			a.PortRedirect = port
		}
	}
	a.ResponseCode = map[uint32]routev3.RedirectAction_RedirectResponseCode{
		302: routev3.RedirectAction_FOUND, 303: routev3.RedirectAction_SEE_OTHER,
		307: routev3.RedirectAction_TEMPORARY_REDIRECT, 308: routev3.RedirectAction_PERMANENT_REDIRECT,
	}[s.RedirectCode] // 301 is the zero value
	return a
}

func directResponse(rule egress.HTTPRoute) *routev3.DirectResponseAction {
	a := &routev3.DirectResponseAction{Status: rule.Spec.DirectResponse.Status}
	if body := rule.Body(); len(body) > 0 {
		a.Body = &corev3.DataSource{Specifier: &corev3.DataSource_InlineBytes{InlineBytes: body}}
	}
	return a
}
