package egress

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"time"
)

// View is the model as the sidecars of one namespace may see it: without what
// is not exported to it, and with every conflict decided.
type View struct {
	mesh      mesh
	inCluster []Destination
	hosts     []seen // sorted by port and name, each pair once
	byCluster map[string]int
	version   string
}

// seen is a host with its routes.
type seen struct {
	host
	timeout time.Duration
}

// View makes the view of a namespace.
func (m *Model) View(namespace string) *View {
	v := &View{mesh: m.mesh, inCluster: m.inCluster, byCluster: map[string]int{}}
	rank := func(meta Meta) int {
		switch meta.Namespace {
		case namespace:
			return 0
		case m.mesh.rootNamespace:
			return 1
		}
		return 2
	}
	taken := map[string]bool{}
	for _, h := range ranked(m.hosts, namespace, rank, func(h host) (Meta, exports) { return h.meta, h.exports }) {
		if name := h.cluster(); !taken[name] {
			taken[name] = true
			v.hosts = append(v.hosts, seen{host: h})
		}
	}
	slices.SortFunc(v.hosts, func(a, b seen) int { return cmp.Or(cmp.Compare(a.port, b.port), cmp.Compare(a.name, b.name)) })
	routes := map[string]virtualHost{}
	for _, r := range ranked(m.routes, namespace, rank, func(r virtualHost) (Meta, exports) { return r.meta, r.exports }) {
		if _, twice := routes[r.host]; !twice {
			routes[r.host] = r
		}
	}
	for i := range v.hosts {
		h := &v.hosts[i]
		v.byCluster[h.cluster()] = i
		h.timeout = routes[h.name].timeout
	}
	v.version = v.hash()
	return v
}

// ranked are the objects that a namespace sees, those that win first.
func ranked[T any](in []T, namespace string, rank func(Meta) int, of func(T) (Meta, exports)) []T {
	var out []T
	for _, t := range in {
		if _, e := of(t); e.to(namespace) {
			out = append(out, t)
		}
	}
	slices.SortStableFunc(out, func(a, b T) int {
		ma, _ := of(a)
		mb, _ := of(b)
		return cmp.Compare(rank(ma), rank(mb))
	})
	return out
}

// Version is 16 hexadecimal digits of a hash of all that the resources depend
// on: views of one version have the same resources.
func (v *View) Version() string { return v.version }

func (v *View) hash() string {
	h := sha256.New()
	m := v.mesh
	fields := ""
	if m.log.fields != nil {
		b, _ := marshal(m.log.fields) // a Struct of JSON always has a wire form
		fields = string(b)
	}
	m.log.fields = nil // a pointer's text would be its address
	fmt.Fprintf(h, "%+v %q\n%v\n", m, fields, v.inCluster)
	for _, s := range v.hosts {
		s.meta, s.exports = Meta{}, exports{} // who declared it makes no difference to the sidecar
		fmt.Fprintf(h, "%+v\n", s)
	}
	return hex.EncodeToString(h.Sum(nil))[:16]
}
