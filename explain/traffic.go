package explain

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/outrider-mesh/outrider/cidr"
	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/egress/decide"
	"github.com/outrider-mesh/outrider/inject"
	"github.com/outrider-mesh/outrider/redirect"
)

// settingOf is the setting that has the rule of a reason; the others are built in.
var settingOf = map[redirect.Reason]string{
	redirect.ReasonExcludedInterface: "excludeInterfaces",
	redirect.ReasonExcludedPort:      "excludeOutboundPorts",
	redirect.ReasonProxyUser:         "proxyUID",
	redirect.ReasonProxyGroup:        "proxyGID",
	redirect.ReasonExcludedRange:     "excludeOutboundIPRanges",
	redirect.ReasonIncludedPort:      "includeOutboundPorts",
	redirect.ReasonEverything:        "includeOutboundIPRanges",
	redirect.ReasonIncludedRange:     "includeOutboundIPRanges",
	redirect.ReasonNotIncluded:       "includeOutboundIPRanges",
	redirect.ReasonNoRules:           "interceptionMode",
}

// redirectFixes are what reverses a decision of the redirect.
var redirectFixes = map[redirect.Reason]string{
	redirect.ReasonExcludedInterface: "remove the interface from excludeInterfaces",
	redirect.ReasonExcludedPort:      "remove the port from excludeOutboundPorts",
	redirect.ReasonExcludedRange:     "remove the range from excludeOutboundIPRanges",
	redirect.ReasonIncludedPort:      "remove the port from includeOutboundPorts",
	redirect.ReasonEverything:        "add the address to excludeOutboundIPRanges",
	redirect.ReasonIncludedRange:     "remove the range from includeOutboundIPRanges, or add the address to excludeOutboundIPRanges",
	redirect.ReasonNotIncluded:       "add the address to includeOutboundIPRanges",
	redirect.ReasonNoRules:           "set interceptionMode to REDIRECT",
}

// assumed are addresses for hosts whose own are not known.
var assumed = map[cidr.Family][]netip.Addr{
	cidr.IPv4: {netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("192.0.2.1")},
	cidr.IPv6: {netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8:ffff::1")},
}

// traffic is everything about one destination.
func (c Input) traffic(r *redirection, none string, d Destination) Traffic {
	out := Traffic{To: d.To, Paths: []Connection{}}
	if d.From != "" {
		out.Notes = append(out.Notes, "addresses: "+d.From)
	}
	if c.InClusterUnknown {
		out.Notes = append(out.Notes, "no cluster is read: addresses of Services are treated as any others")
	}
	for _, protocol := range d.protocols() {
		for _, f := range []cidr.Family{cidr.IPv4, cidr.IPv6} {
			for _, a := range c.addresses(r, d, f) {
				path := c.connection(r, none, d, protocol, a)
				path.Assumed = len(d.Addresses) == 0
				out.Paths = append(out.Paths, path)
			}
		}
	}
	return out
}

// maxAddresses bounds the addresses of a host that are explained, of each family.
const maxAddresses = 8

// addresses are those of a family, or one that is assumed.
func (c Input) addresses(r *redirection, d Destination, f cidr.Family) (out []netip.Addr) {
	for _, a := range d.Addresses {
		if a.Is4() == (f == cidr.IPv4) && len(out) < maxAddresses {
			out = append(out, a)
		}
	}
	if len(d.Addresses) > 0 {
		return out
	}
	all := assumed[f]
	if r == nil {
		return all[:1]
	}
	for _, a := range all {
		switch r.plan.Decide(redirect.Connection{Destination: netip.AddrPortFrom(a, 1)}).Reason {
		case redirect.ReasonExcludedRange, redirect.ReasonIncludedRange:
			continue
		}
		return []netip.Addr{a}
	}
	return all[:1]
}

// connection is where a connection goes.
func (c Input) connection(r *redirection, none string, d Destination, protocol string, a netip.Addr) Connection {
	port := d.port(protocol)
	out := Connection{
		Family: string(cidr.IPv6), Address: a.String(), Port: port, Protocol: protocol, Name: d.name(protocol, a, port), Outcome: NotCaptured,
	}
	if a.Is4() {
		out.Family = string(cidr.IPv4)
	}
	if r == nil {
		out.Redirect = Rule{ID: "no-sidecar", Text: none, Source: "pod"}
		return out
	}
	conn := redirect.Connection{Destination: netip.AddrPortFrom(a, port), UID: r.uid, GID: r.uid}
	if slices.Contains(r.own, a.String()) {
		conn.Interface = "lo"
	}
	found := r.plan.Decide(conn)
	out.Redirect = c.redirectRule(r, found)
	switch {
	case found.Reason == redirect.ReasonNoRules:
		return out
	case !found.Captured:
		out.Outcome = Bypassed
		return out
	}
	out.Outcome, out.Sidecar = c.sidecar(decide.Request{
		Address: a, Port: port, Protocol: protocol, ServerName: sniOf(protocol, out.Name), Method: "GET", Authority: out.Name, Path: pathOf(d),
	})
	return out
}

func sniOf(protocol, name string) string {
	if protocol == decide.TLS {
		return name
	}
	return ""
}

func pathOf(d Destination) string {
	if d.Path == "" {
		return "/"
	}
	return d.Path
}

// redirectRule is the rule of the redirect, with the setting that has it.
func (c Input) redirectRule(r *redirection, d redirect.Decision) Rule {
	rule := Rule{Source: sourceBuiltIn}
	if name, ok := settingOf[d.Reason]; ok {
		rule = r.subject.Place(c.Texts, r.setting(name))
		if rule.Path == "" {
			rule.Path = name
		}
	}
	rule.ID, rule.Text, rule.Fix = string(d.Reason), d.Why(), redirectFixes[d.Reason]
	return rule
}

// setting is a setting of the pod; one that it does not record has the default.
func (r *redirection) setting(name string) inject.Setting {
	if s, ok := r.settings[name]; ok {
		return s
	}
	return inject.Setting{Name: name, Source: inject.SourceDefault}
}

// sidecar is what the sidecar does with a request or connection.
func (c Input) sidecar(q decide.Request) (outcome string, out *Sidecar) {
	w := egress.Workload{Namespace: c.Namespace.Name, Labels: c.labels}
	d := decide.Decide(c.Model.ViewOf(w), q)
	host := c.notExposed(w, q, &d)
	out = &Sidecar{Status: d.Status, Route: d.Route}
	if d.Timeout > 0 {
		out.Timeout = d.Timeout.String()
	}
	for _, w := range d.Clusters {
		out.Clusters = append(out.Clusters, Cluster{w.Cluster, w.Weight, w.To})
	}
	for i, r := range d.Rules {
		rule := c.sidecarRule(r, q)
		if i == 0 {
			rule.Text, rule.Fix = d.Reason, c.sidecarFix(r, d, q)
			if host != "" {
				rule.Fix = fmt.Sprintf("add %q to egress.hosts of that Sidecar", host)
			}
			out.Rule = rule
			continue
		}
		out.Others = append(out.Others, rule)
	}
	switch {
	case d.Kind == decide.Closed, d.Kind == decide.Answered && (d.Route == egress.RouteBlockAll || d.Route == egress.RouteBlockPort):
		return Blocked, out
	case d.Kind == decide.Answered:
		return Answered, out
	}
	return Forwarded, out
}

// notExposed completes the reason for what is not declared in the view of a workload: a
// Sidecar may keep it from the workload. It is the host to import.
func (c Input) notExposed(w egress.Workload, q decide.Request, d *decide.Decision) (host string) {
	if len(d.Rules) == 0 || d.Rules[0].Kind != decide.RulePolicy {
		return ""
	}
	by, host, found := c.Model.NotExposed(w, strings.ToLower(hostWithoutPort(cmp.Or(q.ServerName, q.Authority))), uint32(q.Port))
	for _, in := range c.InCluster {
		if name, isService := strings.CutPrefix(in.Name, "Service "); isService && !found && slices.Contains(in.Addresses, q.Address) {
			namespace, name, _ := strings.Cut(name, "/")
			by, host, found = c.Model.NotExposed(w, egress.ServiceName{Namespace: namespace, Name: name}.Host(), 0)
		}
	}
	if !found {
		return ""
	}
	d.Reason += fmt.Sprintf("; %s does not expose %s", egress.Source(egress.KindSidecar, by), host)
	return host
}

// sidecarRule is a rule of the sidecar's configuration with its place.
func (c Input) sidecarRule(r decide.Rule, q decide.Request) Rule {
	switch r.Kind {
	case decide.RulePolicy:
		if r.Meta != (egress.Meta{}) {
			return c.onObject(Rule{ID: "outbound-traffic-policy", Source: egress.Source(egress.KindSidecar, r.Meta), Path: r.Path})
		}
		return Rule{ID: "outbound-traffic-policy"}.at(c.Texts.meshSource(), c.Texts.Mesh, "outboundTrafficPolicy.mode")
	case decide.RuleInCluster:
		rule := Rule{ID: "in-cluster", Source: sourceCluster}
		for _, d := range c.InCluster {
			if slices.Contains(d.Addresses, q.Address) {
				rule.Source = d.Name
				break
			}
		}
		return rule
	case decide.RuleSidecar:
		return Rule{ID: "sidecar-port", Source: sourceBuiltIn}
	case egress.KindVirtualService:
		return c.onObject(Rule{ID: "virtual-service", Source: egress.Source(r.Kind, r.Meta), Path: r.Path})
	}
	return c.onObject(Rule{ID: "service-entry", Source: egress.Source(r.Kind, r.Meta), Path: r.Path})
}

// onObject completes a rule of an object with its file and line.
func (c Input) onObject(r Rule) Rule { return c.Manifests[r.Source].on(r) }

// sidecarFix is what allows what is blocked.
func (c Input) sidecarFix(r decide.Rule, d decide.Decision, q decide.Request) string {
	blocked := d.Kind == decide.Closed || d.Route == egress.RouteBlockAll
	if r.Kind != decide.RulePolicy || !blocked {
		return ""
	}
	name, protocol := q.Authority, map[string]string{decide.HTTP: "HTTP", decide.TLS: "TLS", decide.TCP: "TCP"}[q.Protocol]
	if q.Protocol == decide.TCP || name == "" {
		return fmt.Sprintf("declare it: a ServiceEntry with addresses: [%s] and ports: [{number: %d, name: tcp, protocol: TCP}]", q.Address, q.Port)
	}
	if q.Protocol == decide.HTTP {
		name = hostWithoutPort(name)
	}
	return fmt.Sprintf("declare it: a ServiceEntry with hosts: [%s], ports: [{number: %d, name: %s, protocol: %s}] and resolution: DNS", name, q.Port, q.Protocol, protocol)
}

func hostWithoutPort(authority string) string {
	d, err := ParseDestination(authority, "")
	if err != nil || d.Host == "" {
		return authority
	}
	return d.Host
}
