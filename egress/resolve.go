package egress

import (
	"fmt"
	"slices"

	"github.com/outrider-mesh/outrider/internal/problem"
)

// find is the declared host that has a name, or the closest wildcard that covers
// it.
func (v *View) find(name string, port uint32) (Host, bool) {
	for n := range wider(name) {
		if h, ok := v.declared(port, n); ok {
			return h, true
		}
	}
	return Host{}, false
}

// portsOf are the ports on which a name is declared, by itself or else by the
// closest wildcard, sorted.
func (v *View) portsOf(name string) []uint32 {
	for n := range wider(name) {
		if ports := v.portsNamed(n); len(ports) > 0 {
			return ports
		}
	}
	return nil
}

// tlsPorts are the ports on which a name is declared as TLS, by itself or by a
// wildcard that covers it.
func (v *View) tlsPorts(name string) []uint32 {
	var out []uint32
	for n := range wider(name) {
		for _, port := range v.portsNamed(n) {
			if h, _ := v.find(name, port); h.Protocol == ProtocolTLS && !slices.Contains(out, port) {
				out = append(out, port)
			}
		}
	}
	return out
}

// Destination resolves a destination of a route of a domain.
func (v *View) Destination(route HTTPRoute, to RouteDestination, d Domain) Destination {
	out := v.httpDestination(to, d, forRequests)
	if out.ResolvedByHost() && (route.Authority() != "" || to.Authority() != "") {
		return unusable(problem.Invalid(to.Path, to.Host, "setting Host on a wildcard destination changes the resolved name", "use one host, or do not set Host"))
	}
	return out
}

// MirrorDestination resolves a destination that requests of a domain are mirrored
// to.
func (v *View) MirrorDestination(to RouteDestination, d Domain) Destination {
	out := v.httpDestination(to, d, forMirroring)
	switch {
	case out.Problem != nil:
	case out.ResolvedByHost():
		return unusable(problem.Invalid(to.Path, to.Host, "cannot mirror to a wildcard host", "use one host"))
	case out.Host.SeveralNames():
		return unusable(problem.Invalid(to.Path, to.Host, "cannot mirror to several DNS endpoints: their addresses would not be checked", "use one endpoint, or IP addresses"))
	}
	return out
}

// SNIDestinations resolve the destinations of a route by SNI, in order. Those
// with weight 0 are not resolved.
func (v *View) SNIDestinations(s SNIRoute) []Destination {
	out := make([]Destination, len(s.Route.Destinations))
	for i, to := range s.Route.Destinations {
		if to.Weight == 0 {
			continue
		}
		d := v.resolve(to, s.Port, s.Names[0], forConnections)
		if d.Problem == nil && d.Host.Protocol.IsHTTP() {
			d = unusable(problem.Invalid(to.Path, to.Host, fmt.Sprintf("destination port %d is HTTP, and would receive TLS", d.Host.Port), "use a port that is declared as TLS"))
		}
		for _, name := range s.Names[1:] {
			if other := v.resolve(to, s.Port, name, forConnections); other.Problem != nil {
				d = other
			}
		}
		out[i] = d
	}
	return out
}

// ResolvesHost reports whether the Host of some requests of a domain is resolved
// as it is, with its port.
func (v *View) ResolvesHost(d Domain) bool {
	if len(d.Routes) == 0 {
		return (Destination{Host: d.Host}).ResolvedByHost()
	}
	for _, r := range d.Routes {
		for _, to := range r.Destinations {
			if v.Destination(r, to, d).ResolvedByHost() {
				return true
			}
		}
	}
	return false
}

// httpDestination resolves a destination of requests.
func (v *View) httpDestination(to RouteDestination, d Domain, u use) Destination {
	out := v.resolve(to, d.Host.Port, d.Name, u)
	if out.Problem == nil && !out.Host.Protocol.IsHTTP() {
		p := problem.Invalid(to.Path, to.Host, fmt.Sprintf("destination port %d is not HTTP", out.Host.Port), "use a port that is declared as HTTP")
		out.Problem = &p
	}
	return out
}

// resolve finds the declared host of a destination, for traffic to a port and a
// name of the route's object.
func (v *View) resolve(to RouteDestination, port uint32, name string, u use) Destination {
	if to.Port != 0 {
		port = to.Port
	} else if ports := v.portsOf(to.Host); len(ports) == 1 {
		port = ports[0]
	}
	h, ok := v.find(to.Host, port)
	switch {
	case !ok:
		rule := fmt.Sprintf("no ServiceEntry visible to this namespace declares %s:%d (%s)", to.Host, port, u.withoutDestination())
		return unusable(problem.NotFound(to.Path, to.Host, rule, "declare it in a ServiceEntry"))
	case h.Passthrough:
		rule := fmt.Sprintf("port %d uses the original destination address, which belongs to another host", port)
		return unusable(problem.Invalid(to.Path, to.Host, rule, "use resolution DNS or STATIC"))
	case len(h.Endpoints) > 0: // the requested name makes no difference
		return Destination{Host: h}
	case to.Host[0] != '*':
		return Destination{Host: h, Name: to.Host}
	case covers(h.Name, name):
		return Destination{Host: h}
	}
	return unusable(problem.Invalid(to.Path, to.Host, "wildcard destination does not match host "+name, "use one host"))
}
