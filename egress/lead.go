package egress

import "fmt"

// lead is where a destination of a route leads.
type lead struct {
	host host
	// name is the one to resolve where the host is a wildcard that was not asked
	// for as such; empty otherwise.
	name string
	// fault says why it leads nowhere; requests are answered 503 then.
	fault, fix string
	severity   Severity
}

// cluster is the name that a route leads to. What leads nowhere leads to a
// cluster that is always there: a name that is unknown must not be asked for.
func (l lead) cluster() string {
	if l.fault != "" {
		return BlackHoleCluster
	}
	return l.host.cluster()
}

// mirrorCluster is the name of a cluster for copies of requests.
func (l lead) mirrorCluster() string {
	return fmt.Sprintf("mirror|%d||%s", l.host.port, l.mirrorName())
}

func (l lead) mirrorName() string {
	if l.name != "" {
		return l.name
	}
	return l.host.name
}

// byRequest says that the destination is resolved from what the request or the
// connection asks for.
func (l lead) byRequest() bool {
	return l.fault == "" && len(l.host.endpoints) == 0 && !l.host.passthrough && l.name == ""
}

// lead finds where a destination of a domain's routes leads; copies says that
// copies of requests go there.
func (v *View) lead(t target, d domain, copies bool) lead {
	l := v.leadTo(t, d.host.port, d.name)
	switch {
	case l.fault != "":
	case !l.host.protocol.http():
		l.fault = fmt.Sprintf("port %d of %s is not declared as HTTP, and requests would go to it as they are", l.host.port, t.host)
		l.fix, l.severity = "name a port that is declared as HTTP", SeverityError
	case copies && l.byRequest():
		l.fault, l.fix, l.severity = "a copy of a request cannot go to a wildcard", "name one host", SeverityError
	case copies && l.host.mixed():
		l.fault = "copies of requests cannot go to a host with several named endpoints: what they resolve to would not be checked"
		l.fix, l.severity = "name one endpoint, or give addresses", SeverityError
	}
	return l
}

// routeLead finds where a destination of a route leads, and holds the one rule
// about the route itself.
func (v *View) routeLead(route httpRoute, t target, d domain) lead {
	l := v.lead(t, d, false)
	if l.byRequest() && (routeAuthority(route.spec) != "" || authorityOf(t.headers) != "") {
		l.fault = "the Host that is set would be resolved in place of the one that was asked for"
		l.fix, l.severity = "name one host, or leave the Host alone", SeverityError
	}
	return l
}

// leadTo finds the declared host that a destination names, as it is seen from a
// port and a name of the object that the route is for.
func (v *View) leadTo(t target, port uint32, from string) lead {
	if t.port != 0 {
		port = t.port
	} else if ports := v.portsOf(t.host); len(ports) == 1 {
		port = ports[0]
	}
	h, ok := v.find(t.host, port)
	switch {
	case !ok:
		return lead{
			fault: fmt.Sprintf("no ServiceEntry that this namespace sees declares %s on port %d", t.host, port),
			fix:   "declare it; until then requests are answered 503", severity: SeverityWarning,
		}
	case h.passthrough:
		return lead{
			fault: fmt.Sprintf("port %d of %s leads to the address that was dialled, which is another host's", port, t.host),
			fix:   "declare it with resolution DNS or STATIC", severity: SeverityError,
		}
	case len(h.endpoints) > 0: // what was asked for makes no difference
		return lead{host: h}
	case t.host[0] != '*':
		return lead{host: h, name: t.host}
	case covers(h.name, from):
		return lead{host: h}
	}
	return lead{
		fault: fmt.Sprintf("%s stands for many names, and requests for %s name none of them", t.host, from),
		fix:   "name one host", severity: SeverityError,
	}
}

// leads finds where the destinations of a route by SNI lead. Those with weight
// 0 are not looked at.
func (v *View) leads(s sniRoute) []lead {
	out := make([]lead, len(s.route.to))
	for i, t := range s.route.to {
		if t.weight == 0 {
			continue
		}
		l := v.leadTo(t, s.port, s.names[0])
		if l.fault == "" && l.host.protocol.http() {
			l = lead{
				fault: fmt.Sprintf("port %d of %s is declared as HTTP, and would get TLS", l.host.port, t.host),
				fix:   "name a port that is declared as TLS", severity: SeverityError,
			}
		}
		for _, name := range s.names[1:] {
			if other := v.leadTo(t, s.port, name); other.fault != "" {
				l = other
			}
		}
		out[i] = l
	}
	return out
}

// portsOf are the ports on which a name is declared, by itself or else by the
// closest wildcard, sorted.
func (v *View) portsOf(name string) []uint32 {
	ports, _ := closest(v.byName, name, func([]uint32) bool { return true })
	return ports
}
