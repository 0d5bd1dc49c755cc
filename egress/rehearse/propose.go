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

// Propose returns the ServiceEntries that allow hosts, in YAML, and how many they are.
// Each host has a comment with the workloads that need it.
func Propose(o Options, all []report.Host) (text string, entries int) {
	hosts, cannot := collect(o, all)
	groups := arrange(hosts)
	var b strings.Builder
	fmt.Fprintf(&b, "# What the workloads of namespace %s connected to, and no ServiceEntry declares for it.\n", o.Namespace)
	for _, m := range o.More {
		what, of := "hosts of", ""
		if m.Workload == nil {
			what = "workloads"
		} else {
			of = " " + m.Workload.String()
		}
		fmt.Fprintf(&b, "# About %d more %s%s exceed the limits of the report, and are not here.\n", m.Number, what, of)
	}
	for _, line := range cannot {
		fmt.Fprintf(&b, "# %s\n", line)
	}
	for _, g := range groups {
		b.WriteString("---\n")
		g.write(&b, o.Namespace)
	}
	if o.Enforce {
		fmt.Fprintf(&b, `---
# Everything else is blocked in the namespace.
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata:
  name: default
  namespace: %s
spec:
  outboundTrafficPolicy:
    mode: REGISTRY_ONLY
`, o.Namespace)
	}
	return b.String(), len(groups)
}

// collect merges what was seen of each host. cannot are those that no ServiceEntry can
// have.
func collect(o Options, all []report.Host) (hosts []*host, cannot []string) {
	byName := map[string]*host{}
	reasons := map[string]bool{}
	for _, seen := range all {
		d := seen.Destination
		_, notAddress := netip.ParseAddr(d.Host)
		name, p := d.Host, port{d.Port, d.Protocol}
		if notAddress == nil {
			p.protocol = report.TCP // a ServiceEntry has names for the others
		} else {
			name = wildcardOf(o.Wildcards, name)
		}
		if fault := faultOf(name, notAddress == nil, p); fault != "" {
			reasons[fmt.Sprintf("%s on port %d, of %s: %s", name, p.number, seen.Workload, fault)] = true
			continue
		}
		h := byName[name]
		if h == nil {
			h = &host{name: name, address: notAddress == nil, ports: map[port]bool{}, owners: map[report.Workload]bool{}}
			byName[name] = h
		}
		h.ports[p], h.owners[seen.Workload] = true, true
		h.count += seen.Connections + seen.Requests
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
	e := &networkingv1alpha3.ServiceEntry{
		Hosts: []string{name}, Resolution: networkingv1alpha3.ServiceEntry_DNS,
		Ports: []*networkingv1alpha3.ServicePort{{Number: uint32(p.number), Name: p.name(), Protocol: string(p.protocol)}},
	}
	switch {
	case address:
		e.Hosts, e.Addresses, e.Resolution = []string{"a" + addressSuffix}, []string{name}, networkingv1alpha3.ServiceEntry_NONE
	case strings.HasPrefix(name, "*"):
		e.Resolution = networkingv1alpha3.ServiceEntry_NONE
	}
	_, problems := egress.Build(egress.Input{ServiceEntries: []egress.ServiceEntry{{Meta: egress.Meta{Namespace: "a", Name: "a"}, Spec: e}}})
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
	used := map[string]int{}
	var out []*group
	for _, key := range keys {
		g := byKey[key]
		if used[g.name]++; used[g.name] > 1 {
			g.name = fmt.Sprintf("%s-%d", g.name, used[g.name])
		}
		out = append(out, g)
	}
	return out
}

// clipped is a part of an object's name.
func clipped(text string) string { return strings.Trim(text[:min(len(text), 60)], "-.") }

// addressSuffix makes a name for addresses, which have none, that no DNS server has
// (RFC 2606).
const addressSuffix = ".addresses.invalid"

func (g *group) write(b *strings.Builder, namespace string) {
	if g.address {
		b.WriteString("# Seen as addresses: without SNI and Host, or with an address as the Host. A name of the\n# service with its own ServiceEntry is better, if clients can use it.\n")
	}
	fmt.Fprintf(b, "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata:\n  name: %s\n  namespace: %s\nspec:\n  exportTo: [\".\"]\n  hosts:\n", g.name, namespace)
	resolution := "DNS"
	switch {
	case g.address:
		resolution = "NONE"
		fmt.Fprintf(b, "  - %q\n  addresses:\n", g.name+addressSuffix)
	case strings.HasPrefix(g.hosts[0].name, "*"):
		resolution = "NONE"
	}
	for _, h := range g.hosts {
		fmt.Fprintf(b, "  - %q # %s\n", h.name, h.comment())
	}
	b.WriteString("  ports:\n")
	for _, p := range g.ports {
		fmt.Fprintf(b, "  - {number: %d, name: %s, protocol: %s}\n", p.number, p.name(), p.protocol)
	}
	fmt.Fprintf(b, "  location: MESH_EXTERNAL\n  resolution: %s\n", resolution)
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
	return strings.Join(append([]string{text}, h.omitted...), "; ")
}
