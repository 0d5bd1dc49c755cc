package decide

import (
	"fmt"
	"slices"
	"strings"

	networkingv1alpha3 "istio.io/api/networking/v1alpha3"

	"github.com/outrider-mesh/outrider/egress"
)

// decideHTTP decides by the Host, and then by the routes for it.
func decideHTTP(v *egress.View, p egress.Port, r Request) Decision {
	domains := map[string]egress.Domain{}
	for _, d := range v.Domains(p.Number) {
		domains[d.Name] = d
	}
	r.Authority = withoutDot(r.Authority)
	name := hostOf(r.Authority)
	found, ok := closestName(domains, name, 1)
	if !ok {
		return undeclaredHTTP(v, r)
	}
	d := domains[found]
	declared := fmt.Sprintf("ServiceEntry %s/%s declares %s", d.Host.Meta.Namespace, d.Host.Meta.Name, d.Host.Name)
	if v.ResolvesHost(d) && !hostPortAllowed(d.Host, r.Authority) {
		return Decision{Kind: Answered, Status: egress.BlockedStatus, Route: egress.RouteBlockPort, Reason: blocked(d.Host.OtherPort(name)), Rules: []Rule{declares(d.Host)}}
	}
	if len(d.Routes) == 0 {
		return Decision{
			Kind: Forwarded, Clusters: []WeightedCluster{weighted(egress.Destination{Host: d.Host}, egress.RouteDestination{Weight: 1}, name)}, Route: egress.RouteDefault,
			Authority: r.Authority, Path: normalPath(r.Path), Reason: declared + "; no VirtualService applies", Rules: []Rule{declares(d.Host)},
		}
	}
	for _, route := range d.Routes {
		m, number, ok := matchOf(route.Spec, d.Host.Port, r)
		if !ok {
			continue
		}
		out := follow(v, route, m, d, r)
		by := route.Path
		if len(route.Spec.Match) > 1 {
			by += fmt.Sprintf(".match[%d]", number-1)
		}
		out.Reason = fmt.Sprintf("%s; matched by %s of VirtualService %s/%s", declared, by, d.By.Namespace, d.By.Name) + out.Reason
		out.Rules = []Rule{routedBy(d.By, by), declares(d.Host)}
		return out
	}
	return Decision{Kind: Answered, Status: 404, Rules: []Rule{routedBy(d.By, "spec.http"), declares(d.Host)},
		Reason: fmt.Sprintf("%s; no route of VirtualService %s/%s matches", declared, d.By.Namespace, d.By.Name)}
}

// undeclaredHTTP decides about requests to hosts that are not declared.
func undeclaredHTTP(v *egress.View, r Request) Decision {
	d := byPolicy(v, r, egress.Reason{Protocol: egress.ReasonHTTP, Host: hostOf(r.Authority)}, "")
	if d.Kind == Closed {
		d.Kind, d.Status, d.Clusters = Answered, egress.BlockedStatus, nil
		return d
	}
	d.Authority, d.Path = r.Authority, normalPath(r.Path)
	return d
}

// byPolicy is the decision of outboundTrafficPolicy.
func byPolicy(v *egress.View, r Request, why egress.Reason, further string) Decision {
	policy, mode := policyOf(v)
	why.Port, why.Limited, why.Code = uint32(r.Port), v.Limited(), egress.RouteAllowAny
	further += " (" + mode + ")"
	if v.Mesh().RegistryOnly {
		why.Code = egress.RouteBlockAll
		return Decision{
			Kind: Closed, Clusters: []WeightedCluster{{Cluster: egress.BlackHoleCluster, Weight: 1}}, Route: why.Code,
			Reason: blocked(why) + further, Rules: []Rule{policy},
		}
	}
	d := originalDestination(why.Rule()+further, RulePolicy)
	d.Route, d.Rules = why.Code, []Rule{policy}
	return d
}

// blocked is why a request or connection is blocked, with the code.
func blocked(why egress.Reason) string { return "blocked (" + why.Code + "): " + why.Rule() }

// hostPortAllowed reports whether a Host that is resolved as it is may have its
// port.
func hostPortAllowed(h egress.Host, authority string) bool {
	_, port, has := strings.Cut(authority, ":")
	return !has || h.TargetPort == h.Port && port == fmt.Sprint(h.Port)
}

// follow is what a route does with a request that one of its matches is true for.
func follow(v *egress.View, route egress.HTTPRoute, m *networkingv1alpha3.HTTPMatchRequest, d egress.Domain, r Request) Decision {
	s := route.Spec
	out := Decision{Kind: Answered, Route: egress.RouteName(s, m)}
	forwards := s.Redirect == nil && s.DirectResponse == nil
	switch status, aborted := abortStatus(s.Fault); {
	case forwards && isPreflight(route, r):
		out.Status, out.Reason = 200, "; CORS preflight"
	case aborted:
		out.Status, out.Reason = status, "; fault.abort applies to all requests"
	case s.Redirect != nil:
		out.Status, out.Location = redirectCode(s.Redirect), location(s.Redirect, d.Host.Port, r)
	case s.DirectResponse != nil:
		out.Status = int(s.DirectResponse.Status)
	default:
		forward(v, &out, route, m, d, r)
	}
	return out
}

// forward sends a request to the destinations of its route.
func forward(v *egress.View, out *Decision, route egress.HTTPRoute, m *networkingv1alpha3.HTTPMatchRequest, d egress.Domain, r Request) {
	s, name := route.Spec, hostOf(r.Authority)
	out.Kind, out.Timeout = Forwarded, s.Timeout.AsDuration()
	for _, to := range route.Destinations {
		if to.Weight > 0 {
			out.add(v.Destination(route, to, d), to, name)
		}
	}
	if out.blackHole() {
		out.Kind, out.Status = Answered, 503
		return
	}
	for _, to := range route.Mirrors {
		if mirror := v.MirrorDestination(to, d); mirror.Problem == nil {
			w := weighted(mirror, to, name)
			w.Cluster = mirror.MirrorClusterName()
			out.Mirrors = append(out.Mirrors, w)
		}
	}
	out.Authority, out.Path = r.Authority, rewritePath(s, m, normalPath(r.Path))
	if host := route.Authority(); host != "" {
		out.Authority = host
	}
	if share := route.DelayShare(); share > 0 {
		out.Reason += fmt.Sprintf("; %g%% of requests are delayed by %s", float64(share)/1e4, s.Fault.Delay.GetFixedDelay().AsDuration())
	}
	if p := s.GetFault().GetAbort().GetPercentage().GetValue(); p > 0 {
		out.Reason += fmt.Sprintf("; %g%% of requests are aborted", p)
	}
}

// add adds a destination of a route, and why it cannot be used.
func (d *Decision) add(to egress.Destination, as egress.RouteDestination, name string) {
	d.Clusters = append(d.Clusters, weighted(to, as, name))
	if to.Problem != nil {
		d.Reason += "; " + to.Problem.Rule
	}
}

// blackHole reports whether no destination can be used.
func (d *Decision) blackHole() bool {
	return !slices.ContainsFunc(d.Clusters, func(w WeightedCluster) bool { return w.Cluster != egress.BlackHoleCluster })
}

// weighted is a destination of a route for a request to a name.
func weighted(d egress.Destination, to egress.RouteDestination, name string) WeightedCluster {
	w := WeightedCluster{Cluster: d.ClusterName(), Weight: to.Weight, Authority: to.Authority()}
	switch resolved, ok := d.ResolvedName(); {
	case d.Problem != nil:
	case ok:
		w.To = []string{joinPort(resolved.Address, resolved.Port)}
	case d.ResolvedByHost():
		w.To = []string{joinPort(name, d.Host.TargetPort)}
	default:
		w.To = endpointsOf(d.Host)
	}
	return w
}

// endpointsOf are a host's endpoints with their ports.
func endpointsOf(h egress.Host) []string {
	var out []string
	for _, e := range h.Endpoints {
		out = append(out, joinPort(e.Address, e.Port))
	}
	return out
}

// originalDestination forwards to the address that the application connected to.
func originalDestination(reason, rule string) Decision {
	return Decision{Kind: Forwarded, Clusters: []WeightedCluster{{Cluster: egress.PassthroughCluster, Weight: 1}}, Reason: reason, Rules: []Rule{{Kind: rule}}}
}
