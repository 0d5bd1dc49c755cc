package rehearse

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	networkingv1alpha3 "istio.io/api/networking/v1alpha3"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/egress/report"
)

// Options of a proposal.
type Options struct {
	Namespace string
	// Wildcards are names such as *.example.com, which take the place of the names that
	// they match.
	Wildcards []string
	// Enforce adds a Sidecar that blocks everything else in the namespace.
	Enforce bool
	// More is what exceeds the limits of the report.
	More []report.MoreHosts
	// Objects are those of the cluster. Their names are not used again, and the proposal is
	// tried together with them.
	Objects egress.Input
	// Pods are those of the namespace.
	Pods Pods
}

// Proposal is what is proposed.
type Proposal struct {
	// Text are the objects in YAML, with comments.
	Text string
	// Entries are the ServiceEntries in it.
	Entries int
	// Warnings are what remains to be done, or would be blocked with all of it applied.
	Warnings []string
}

// port is a port of a host, as it was seen.
type port struct {
	number   uint16
	protocol report.Protocol
}

// name is how a ServiceEntry names the port.
func (p port) name() string {
	return fmt.Sprintf("%s-%d", strings.ToLower(string(p.protocol)), p.number)
}

func comparePorts(a, b port) int {
	return cmp.Or(cmp.Compare(a.number, b.number), cmp.Compare(a.protocol, b.protocol))
}

// host is what is to be allowed of a name or address.
type host struct {
	name    string
	address bool
	ports   map[port]bool
	owners  map[report.Workload]bool
	last    time.Time
	count   uint64
	passed  bool // at least once; false: all was blocked
	// omitted are ports that an object cannot have beside the others, with the reason.
	omitted []string
}

// group is a ServiceEntry.
type group struct {
	name    string
	address bool
	ports   []port
	hosts   []*host
}

// hostsPerEntry is below the limit of an object, and readable.
const hostsPerEntry = 100

// Propose returns the objects that allow hosts: those of all that are blocked with
// REGISTRY_ONLY and the objects that there are. Each has a comment with the workloads
// that need it.
func Propose(o Options, all []report.Host) Proposal {
	views := NewViews(Enforced(o.Objects), o.Namespace, o.Pods)
	hosts, cannot := collect(o, views.undeclared(all))
	groups := arrange(hosts)
	rename(groups, o)
	var b strings.Builder
	fmt.Fprintf(&b, "# What the workloads of namespace %s connected to, and no ServiceEntry declares for it.\n", o.Namespace)
	p := Proposal{Entries: len(groups), Warnings: append(incomplete(o.More), cannot...)}
	for _, line := range p.Warnings {
		fmt.Fprintf(&b, "# %s\n", line)
	}
	for _, g := range groups {
		b.WriteString("---\n")
		g.write(&b, o.Namespace)
	}
	if o.Enforce {
		text, warnings := enforce(o)
		b.WriteString(text)
		p.Warnings = append(p.Warnings, warnings...)
	}
	if unknown := views.Unknown(all); unknown != "" {
		p.Warnings = append(p.Warnings, unknown)
	}
	p.Text = b.String()
	p.Warnings = append(p.Warnings, stillBlocked(o, groups, all)...)
	return p
}

// incomplete are the sentences about what exceeds the limits of the report.
func incomplete(all []report.MoreHosts) (out []string) {
	for _, m := range all {
		what, of := "hosts of", ""
		if m.Workload == nil {
			what = "workloads"
		} else {
			of = " " + m.Workload.String()
		}
		out = append(out, fmt.Sprintf("The proposal is incomplete: about %d more %s%s exceed the limits of the report, and would be blocked.", m.Number, what, of))
	}
	return out
}

// rename gives the entries names that no ServiceEntry of the namespace has: kubectl would
// replace its hosts.
func rename(groups []*group, o Options) {
	used := map[string]bool{}
	for _, e := range o.Objects.ServiceEntries {
		if e.Namespace == o.Namespace {
			used[e.Name] = true
		}
	}
	for _, g := range groups {
		g.name = unused(used, g.name)
		used[g.name] = true
	}
}

// unused is a name, or the first of NAME-2, NAME-3 and so on that is not in use.
func unused(used map[string]bool, name string) string {
	out := name
	for n := 2; used[out]; n++ {
		out = fmt.Sprintf("%s-%d", name, n)
	}
	return out
}

// collect merges what was seen of each host. cannot are those that no ServiceEntry can
// have.
func collect(o Options, all []report.Host) (hosts []*host, cannot []string) {
	byName := map[string]*host{}
	reasons := map[string]bool{}
	for _, seen := range all {
		of, fault := proposed(o, seen.Destination)
		if fault != "" {
			reasons[fmt.Sprintf("%s on port %d, of %s, would be blocked: %s", of.name, of.port.number, seen.Workload, fault)] = true
			continue
		}
		h, p := byName[of.name], of.port
		if h == nil {
			h = &host{name: of.name, address: of.address, ports: map[port]bool{}, owners: map[report.Workload]bool{}}
			byName[of.name] = h
		}
		h.ports[p], h.owners[seen.Workload] = true, true
		h.count += seen.Connections + seen.Requests
		h.passed = h.passed || seen.Verdict != report.Blocked
		if seen.Last.After(h.last) {
			h.last = seen.Last
		}
	}
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		h := byName[name]
		h.oneProtocol()
		hosts = append(hosts, h)
	}
	return hosts, slices.Sorted(maps.Keys(reasons))
}

// declared is how a destination is declared.
type declared struct {
	name    string
	address bool
	port    port
}

// proposed is how a destination is declared, or why it cannot be.
func proposed(o Options, d report.Destination) (out declared, fault string) {
	_, err := netip.ParseAddr(d.Host)
	out = declared{d.Host, err == nil, port{d.Port, d.Protocol}}
	if !out.address {
		out.name = wildcardOf(o.Wildcards, out.name)
	}
	return out, faultOf(out.name, out.address, out.port)
}

// oneProtocol keeps one protocol of each port: TLS where there is one.
func (h *host) oneProtocol() {
	for p := range maps.Clone(h.ports) {
		for _, better := range []report.Protocol{report.TLS, report.HTTP} {
			if p.protocol == better {
				break
			}
			if h.ports[port{p.number, better}] {
				delete(h.ports, p)
				h.omitted = append(h.omitted, fmt.Sprintf("port %d was also %s, and has one protocol", p.number, p.protocol))
				break
			}
		}
	}
	slices.Sort(h.omitted)
}

// wildcardOf is the wildcard that matches a name, or the name.
func wildcardOf(wildcards []string, name string) string {
	best := name
	for _, w := range wildcards {
		suffix := strings.TrimPrefix(w, "*")
		if strings.HasSuffix(name, suffix) && len(name) > len(suffix) && (best == name || len(w) > len(best)) {
			best = w
		}
	}
	return best
}

// faultOf is why a host cannot be declared, by the rules of admission.
func faultOf(name string, address bool, p port) string {
	g := group{name: "a", address: address, ports: []port{p}, hosts: []*host{{name: name}}}
	_, problems := egress.Build(egress.Input{ServiceEntries: []egress.ServiceEntry{{Meta: egress.Meta{Namespace: "a", Name: "a"}, Spec: g.spec()}}})
	if err := problems.Err(); err != nil {
		return strings.Join(strings.Fields(err.Error()), " ")
	}
	return ""
}

// arrange makes a group of the hosts with the same workloads and ports.
func arrange(hosts []*host) []*group {
	byKey := map[string]*group{}
	var keys []string
	for _, h := range hosts {
		ports := slices.SortedFunc(maps.Keys(h.ports), comparePorts)
		var names, owners []string
		for _, p := range ports {
			names = append(names, p.name())
		}
		for w := range h.owners {
			owners = append(owners, w.String())
		}
		slices.Sort(owners)
		owner := "shared"
		if len(owners) == 1 {
			owner = clipped(strings.ToLower(owners[0][strings.Index(owners[0], "/")+1:]))
		}
		name := owner + "-" + clipped(strings.Join(names, "-"))
		switch {
		case h.address:
			name += "-addresses"
		case strings.HasPrefix(h.name, "*"):
			name += "-wildcards"
		}
		key := strings.Join([]string{name, strings.Join(owners, " "), strings.Join(names, " ")}, "|")
		g := byKey[key]
		if g == nil || len(g.hosts) == hostsPerEntry {
			g = &group{name: name, address: h.address, ports: ports}
			byKey[key] = g
			key = fmt.Sprintf("%s|%06d", key, len(keys))
			byKey[key] = g
			keys = append(keys, key)
		}
		g.hosts = append(g.hosts, h)
	}
	slices.Sort(keys)
	var out []*group
	for _, key := range keys {
		out = append(out, byKey[key])
	}
	return out
}

// clipped is a part of an object's name.
func clipped(text string) string { return strings.Trim(text[:min(len(text), 60)], "-.") }

// addressSuffix makes a name for addresses, which have none, that no DNS server has
// (RFC 2606).
const addressSuffix = ".addresses.invalid"

// spec is the entry.
func (g *group) spec() *networkingv1alpha3.ServiceEntry {
	e := &networkingv1alpha3.ServiceEntry{ExportTo: []string{"."}, Resolution: networkingv1alpha3.ServiceEntry_DNS}
	for _, p := range g.ports {
		e.Ports = append(e.Ports, p.spec())
	}
	for _, h := range g.hosts {
		e.Hosts = append(e.Hosts, h.name)
	}
	switch {
	case g.address:
		e.Addresses, e.Hosts, e.Resolution = e.Hosts, []string{g.name + addressSuffix}, networkingv1alpha3.ServiceEntry_NONE
	case strings.HasPrefix(g.hosts[0].name, "*"):
		e.Resolution = networkingv1alpha3.ServiceEntry_NONE
	}
	return e
}

func (p port) spec() *networkingv1alpha3.ServicePort {
	return &networkingv1alpha3.ServicePort{Number: uint32(p.number), Name: p.name(), Protocol: string(p.protocol)}
}

func (g *group) write(b *strings.Builder, namespace string) {
	e := g.spec()
	if g.address {
		b.WriteString("# Seen as addresses: without SNI and Host, or with an address as the Host. A name of the\n# service with its own ServiceEntry is better, if clients can use it.\n")
	}
	fmt.Fprintf(b, "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata:\n  name: %s\n  namespace: %s\nspec:\n  exportTo: [\".\"]\n  hosts:\n", g.name, namespace)
	if g.address {
		fmt.Fprintf(b, "  - %q\n  addresses:\n", e.Hosts[0])
	}
	for _, h := range g.hosts {
		fmt.Fprintf(b, "  - %q # %s\n", h.name, h.comment())
	}
	b.WriteString("  ports:\n")
	for _, p := range e.Ports {
		fmt.Fprintf(b, "  - {number: %d, name: %s, protocol: %s}\n", p.Number, p.Name, p.Protocol)
	}
	fmt.Fprintf(b, "  location: MESH_EXTERNAL\n  resolution: %s\n", e.Resolution)
}

// commentOwners are the workloads that a comment names.
const commentOwners = 5

// comment is who needs a host, and when it was seen.
func (h *host) comment() string {
	var owners []string
	for w := range h.owners {
		owners = append(owners, w.String())
	}
	slices.Sort(owners)
	if more := len(owners) - commentOwners; more > 0 {
		owners = append(owners[:commentOwners], fmt.Sprintf("and %d more", more))
	}
	text := fmt.Sprintf("%s; last seen %s, %d times", strings.Join(owners, ", "), h.last.UTC().Format(time.RFC3339), h.count)
	if !h.passed {
		text += "; was blocked"
	}
	return strings.Join(append([]string{text}, h.omitted...), "; ")
}
