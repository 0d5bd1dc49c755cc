package egress

import (
	"fmt"
	"slices"
)

// find gives the declared host that a name is, or that covers it.
func (v *View) find(name string, port uint32) (Host, bool) {
	for n := range wider(name) {
		if i, ok := v.byCluster[clusterName(port, n)]; ok {
			return v.hosts[i], true
		}
	}
	return Host{}, false
}

// portsOf are the ports on which a name is declared, by itself or else by the
// closest wildcard, sorted.
func (v *View) portsOf(name string) []uint32 {
	ports, _ := closest(v.byName, name, func([]uint32) bool { return true })
	return ports
}

// tlsPorts are the ports on which a name is declared as TLS, by itself or by a
// wildcard that covers it.
func (v *View) tlsPorts(name string) []uint32 {
	var out []uint32
	for n := range wider(name) {
		for _, port := range v.byName[n] {
			if h, _ := v.find(name, port); h.Protocol == protocolTLS && !slices.Contains(out, port) {
				out = append(out, port)
			}
		}
	}
	return out
}

// destination finds where a destination of a domain's routes leads; copies says that
// copies of requests go there.
func (v *View) destination(t RouteDestination, d Domain, copies bool) Destination {
	l := v.resolveDestination(t, d.Host.Port, d.Name)
	switch {
	case l.Fault != "":
	case !l.Host.Protocol.IsHTTP():
		l.Fault = fmt.Sprintf("port %d of %s is not declared as HTTP, and requests would go to it as they are", l.Host.Port, t.Host)
		l.fix, l.severity = "name a port that is declared as HTTP", SeverityError
	case copies && l.ByRequest():
		l.Fault, l.fix, l.severity = "a copy of a request cannot go to a wildcard", "name one host", SeverityError
	case copies && l.Host.SeveralNames():
		l.Fault = "copies of requests cannot go to a host with several named endpoints: what they resolve to would not be checked"
		l.fix, l.severity = "name one endpoint, or give addresses", SeverityError
	}
	return l
}

// routeDestination finds where a destination of a route leads, and holds the one rule
// about the route itself.
func (v *View) routeDestination(route HTTPRoute, t RouteDestination, d Domain) Destination {
	l := v.destination(t, d, false)
	if l.ByRequest() && (routeAuthority(route.Spec) != "" || authorityOf(t.Headers) != "") {
		l.Fault = "the Host that is set would be resolved in place of the one that was asked for"
		l.fix, l.severity = "name one host, or leave the Host alone", SeverityError
	}
	return l
}

// resolveDestination finds the declared host that a destination names, as it is seen from a
// port and a name of the object that the route is for.
func (v *View) resolveDestination(t RouteDestination, port uint32, from string) Destination {
	if t.Port != 0 {
		port = t.Port
	} else if ports := v.portsOf(t.Host); len(ports) == 1 {
		port = ports[0]
	}
	h, ok := v.find(t.Host, port)
	switch {
	case !ok:
		return Destination{
			Fault: fmt.Sprintf("no ServiceEntry that this namespace sees declares %s on port %d", t.Host, port),
			fix:   "declare it; until then requests are answered 503", severity: SeverityWarning,
		}
	case h.Passthrough:
		return Destination{
			Fault: fmt.Sprintf("port %d of %s leads to the address that was dialled, which is another host's", port, t.Host),
			fix:   "declare it with resolution DNS or STATIC", severity: SeverityError,
		}
	case len(h.Endpoints) > 0: // what was asked for makes no difference
		return Destination{Host: h}
	case t.Host[0] != '*':
		return Destination{Host: h, Name: t.Host}
	case covers(h.Name, from):
		return Destination{Host: h}
	}
	return Destination{
		Fault: fmt.Sprintf("%s stands for many names, and requests for %s name none of them", t.Host, from),
		fix:   "name one host", severity: SeverityError,
	}
}

// sniDestinations finds where the destinations of a route by SNI lead. Those with weight
// 0 are not looked at.
func (v *View) sniDestinations(s SNIRoute) []Destination {
	out := make([]Destination, len(s.Route.Destinations))
	for i, t := range s.Route.Destinations {
		if t.Weight == 0 {
			continue
		}
		l := v.resolveDestination(t, s.Port, s.Names[0])
		if l.Fault == "" && l.Host.Protocol.IsHTTP() {
			l = Destination{
				Fault: fmt.Sprintf("port %d of %s is declared as HTTP, and would get TLS", l.Host.Port, t.Host),
				fix:   "name a port that is declared as TLS", severity: SeverityError,
			}
		}
		for _, name := range s.Names[1:] {
			if other := v.resolveDestination(t, s.Port, name); other.Fault != "" {
				l = other
			}
		}
		out[i] = l
	}
	return out
}

// ResolvedByHost reports whether any request of a domain is resolved by its Host, which
// says the port too.
func (v *View) ResolvedByHost(d Domain) bool {
	if len(d.Routes) == 0 {
		return (Destination{Host: d.Host}).ByRequest()
	}
	for _, r := range d.Routes {
		for _, t := range r.Destinations {
			if v.routeDestination(r, t, d).ByRequest() {
				return true
			}
		}
	}
	return false
}

// domainsOf are the domains that a route configuration decides about.
func (v *View) domainsOf(route string) []Domain {
	var out []Domain
	for _, d := range v.domains {
		if fmt.Sprint(d.Host.Port) == route {
			out = append(out, d)
		}
	}
	return out
}
