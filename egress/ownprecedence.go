package egress

import (
	"fmt"
	"slices"

	"github.com/outrider-mesh/outrider/internal/problem"
)

// ownPrecedence are the entries that others do not apply beside in the namespace of the
// entry, whatever their age: a name under its wildcard, or HTTP and TLS on its port for TCP
// without addresses. Each author gets a warning about one entry of the other side for each host, the
// oldest, so that the problems do not grow with the square of the namespaces.
type ownPrecedence struct {
	m                  *Model
	wildcards, under   map[string]*byViewer // by coverKey: of wildcards, and of what is under them
	anyAddress, onPort map[uint32]*byViewer // by port: TCP without addresses, and HTTP and TLS
	tcpNames           map[string]*byViewer // by coverKey: of TCP without addresses
}

// byViewer are hosts, by their number plus 1, that were added in the order of age. It
// finds those of another namespace in a time that does not grow with their number.
type byViewer struct {
	any, ofAll firstTwo       // of the hosts, and of those that all namespaces see
	by         map[string]int // the first that a namespace sees by its name, of another one
	own        map[string]int // the first of a namespace
}

// firstTwo are the first host, and the first of another namespace.
type firstTwo [2]int

func (f *firstTwo) add(n int, hosts []Host) {
	switch {
	case f[0] == 0:
		f[0] = n
	case f[1] == 0 && hosts[f[0]-1].Meta.Namespace != hosts[n-1].Meta.Namespace:
		f[1] = n
	}
}

// besides is the first of another namespace than one; 0: none.
func (f *firstTwo) besides(namespace string, hosts []Host) int {
	if f[0] != 0 && hosts[f[0]-1].Meta.Namespace == namespace {
		return f[1]
	}
	return f[0]
}

func (v *byViewer) add(i int, hosts []Host) {
	h, n := &hosts[i], i+1
	v.any.add(n, hosts)
	setOnce(v.own, h.Meta.Namespace, n)
	if h.exports.all {
		v.ofAll.add(n, hosts)
	}
	for _, ns := range h.exports.namespaces {
		if ns != h.Meta.Namespace {
			setOnce(v.by, ns, n)
		}
	}
}

func setOnce(to map[string]int, key string, n int) {
	if to[key] == 0 {
		to[key] = n
	}
}

// seenIn is the first host of another namespace that one sees.
func (v *byViewer) seenIn(namespace string, hosts []Host) (int, bool) {
	if v == nil {
		return 0, false
	}
	n := earlier(v.by[namespace], v.ofAll.besides(namespace, hosts))
	return n - 1, n != 0
}

// ownerFor is the first host of another namespace that sees one.
func (v *byViewer) ownerFor(h *Host, hosts []Host) (int, bool) {
	if v == nil {
		return 0, false
	}
	n := 0
	if h.exports.all {
		n = v.any.besides(h.Meta.Namespace, hosts)
	}
	for _, ns := range h.exports.namespaces {
		if ns != h.Meta.Namespace {
			n = earlier(n, v.own[ns])
		}
	}
	return n - 1, n != 0
}

// earlier is the lower of two numbers, of which 0 is none.
func earlier(a, b int) int {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

func (m *Model) ownPrecedence() *ownPrecedence {
	o := &ownPrecedence{m, map[string]*byViewer{}, map[string]*byViewer{}, map[uint32]*byViewer{}, map[uint32]*byViewer{}, map[string]*byViewer{}}
	for i := range m.hosts {
		h := &m.hosts[i]
		if !o.counts(h) {
			continue
		}
		if h.AnyAddress {
			addTo(o.anyAddress, h.Port, i, m.hosts)
			addTo(o.tcpNames, coverKey(h.Name), i, m.hosts)
			continue
		}
		if h.Wildcard() {
			addTo(o.wildcards, coverKey(h.Name), i, m.hosts)
		}
		if h.Protocol != ProtocolTCP {
			addTo(o.onPort, h.Port, i, m.hosts)
		}
		for key := range coverKeys(h.Name) {
			if key != coverKey(h.Name) {
				addTo(o.under, key, i, m.hosts)
			}
		}
	}
	return o
}

func addTo[K comparable](all map[K]*byViewer, key K, i int, hosts []Host) {
	if all[key] == nil {
		all[key] = &byViewer{by: map[string]int{}, own: map[string]int{}}
	}
	all[key].add(i, hosts)
}

// counts reports whether a host may take something over in another namespace. What the root
// namespace declares is trusted there.
func (o *ownPrecedence) counts(h *Host) bool {
	return h.Meta.Namespace != o.m.mesh.rootNamespace && h.exports.beyond(h.Meta.Namespace) && h.exports.to(h.Meta.Namespace)
}

// of are the problems of a host.
func (o *ownPrecedence) of(i int, r reporter) {
	h, hosts := &o.m.hosts[i], o.m.hosts
	if !o.counts(h) {
		return
	}
	name := func(other int) string { return hosts[other].nameIn(h.Meta.Namespace) }
	if h.AnyAddress {
		if n, found := o.onPort[h.Port].seenIn(h.Meta.Namespace, hosts); found && !slices.Contains(standingPorts(), h.Port) {
			r.warn("spec.ports", fmt.Sprint(h.Port), "takes precedence in this namespace over "+name(n)+", which declares HTTP or TLS on the port", "no action is needed")
		}
		return
	}
	if n, found := o.tcpNames[coverKey(h.Name)].seenIn(h.Meta.Namespace, hosts); found && hosts[n].Name == h.Name {
		r.warn(h.path(), h.Name, name(n)+" declares this host as TCP without addresses, which applies in the namespace of that entry only", "no action is needed")
	}
	if h.Wildcard() {
		if n, found := o.under[coverKey(h.Name)].seenIn(h.Meta.Namespace, hosts); found && n < i {
			r.warn(h.path(), h.Name, fmt.Sprintf("takes precedence in this namespace over %s, which declares %s; in other namespaces that one applies", name(n), hosts[n].Name), `set exportTo: ["."] to limit this one to its namespace`)
		}
	}
	for key := range coverKeys(h.Name) {
		w, found := o.wildcards[key].ownerFor(h, hosts)
		if found && key != coverKey(h.Name) && i < w {
			r.warn(h.path(), h.Name, fmt.Sprintf("%s, which declares a wildcard over this host, takes precedence in its namespace", name(w)), "set exportTo to limit this one")
			break
		}
	}
	if tcp, found := o.anyAddress[h.Port].ownerFor(h, hosts); found && h.Protocol != ProtocolTCP && !slices.Contains(standingPorts(), h.Port) {
		r.warn("spec.ports", fmt.Sprint(h.Port), name(tcp)+", which declares the port as TCP without addresses, takes precedence in its namespace", "use another port, or set exportTo to limit this one")
	}
}

// all are those of all hosts, or of one entry's, each once.
func (o *ownPrecedence) all(only func(Meta) bool) (out problem.List) {
	seen := map[problem.Problem]bool{}
	for i := range o.m.hosts {
		meta := o.m.hosts[i].Meta
		if !only(meta) {
			continue
		}
		var found problem.List
		o.of(i, reporter{KindServiceEntry, meta, &found})
		for _, p := range found {
			if !seen[p] {
				seen[p] = true
				out = append(out, p)
			}
		}
	}
	return out
}

// nameIn is the name of the entry of a host in a message to a namespace, which may not see it.
func (h *Host) nameIn(namespace string) string {
	if h.exports.to(namespace) {
		return Source(KindServiceEntry, h.Meta)
	}
	return "an entry that this namespace does not see"
}
