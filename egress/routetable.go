package egress

import (
	"maps"
	"slices"
)

// routeTable are the routes that a namespace sees. An object's routes apply where
// it is in the namespace itself, in the root namespace, or in the namespace of the
// entry that declares the host; those of the first two come first, however
// specific the others are.
type routeTable struct {
	trusted map[string]hostRoutes            // by host
	others  map[string]map[string]hostRoutes // by host and namespace
	shared  map[hostKey]bool                 // wildcards that other objects have names of
}

func newRouteTable(shared map[hostKey]bool) *routeTable {
	return &routeTable{map[string]hostRoutes{}, map[string]map[string]hostRoutes{}, shared}
}

// add adds routes, in the order of precedence.
func (t *routeTable) add(r hostRoutes, trusted bool) {
	if trusted {
		if _, has := t.trusted[r.host]; !has {
			t.trusted[r.host] = r
		}
		return
	}
	if t.others[r.host] == nil {
		t.others[r.host] = map[string]hostRoutes{}
	}
	if _, has := t.others[r.host][r.meta.Namespace]; !has {
		t.others[r.host][r.meta.Namespace] = r
	}
}

// find are the routes for a name, which is the name of a declared host or is
// covered by it.
func (t *routeTable) find(name string, h Host, counts func(hostRoutes) bool) (hostRoutes, bool) {
	if len(t.trusted) > 0 {
		if r, ok := closest(t.trusted, name, counts); ok {
			return r, true
		}
	}
	if len(t.others) == 0 || t.shared[hostKey{h.Port, h.Name}] {
		return hostRoutes{}, false
	}
	for n := range wider(name) {
		if r, ok := t.others[n][h.Meta.Namespace]; ok && counts(r) {
			return r, true
		}
	}
	return hostRoutes{}, false
}

// hosts are the hosts of all routes, sorted.
func (t *routeTable) hosts() []string {
	all := slices.Collect(maps.Keys(t.trusted))
	all = slices.AppendSeq(all, maps.Keys(t.others))
	slices.Sort(all)
	return slices.Compact(all)
}

// of are all routes of a host, those of the other namespaces by their names.
func (t *routeTable) of(host string) []hostRoutes {
	var out []hostRoutes
	if r, ok := t.trusted[host]; ok {
		out = append(out, r)
	}
	for _, namespace := range slices.Sorted(maps.Keys(t.others[host])) {
		out = append(out, t.others[host][namespace])
	}
	return out
}
