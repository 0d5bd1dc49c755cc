package egress

import (
	"crypto/sha256"
	"fmt"
	"hash"

	"google.golang.org/protobuf/proto"
)

// Sum is that of the view of a workload. Workloads with the same sum have the same view,
// also in models of other times: that of a namespace stays the same while objects change
// that it does not see. It takes a small part of the time that the view takes.
func (m *Model) Sum(w Workload) (out Sum) {
	m.sums.once.Do(m.sumParts)
	namespace, s := w.Namespace, m.scope(w).open(w.Namespace)
	h, c := sha256.New(), claims{namespace: namespace, root: m.mesh.rootNamespace}
	h.Write(m.sums.settings[:])
	if s != nil {
		fmt.Fprintf(h, "scope %v", s.registryOnly)
	}
	switch {
	case s != nil && s.hosts != nil:
		fmt.Fprintf(h, "%v", m.inClusterIn(namespace, s))
	case len(m.ownCluster[namespace]) > 0:
		fmt.Fprintf(h, "%v", m.ownCluster[namespace])
	}
	part := func(kind byte, rank int, of *Sum) {
		h.Write([]byte{kind, byte(rank)})
		h.Write(of[:])
	}
	m.eachSeen(namespace, s,
		func(i int) { part('h', c.rank(m.hosts[i].Meta), &m.sums.hosts[i]) },
		func(i int) { part('r', c.rank(m.routes[i].meta), &m.sums.routes[i]) })
	h.Sum(out[:0])
	return out
}

func (m *Model) sumParts() {
	s := m.sums
	s.settings = sha256.Sum256(fmt.Appendf(nil, "%s\n%d %v\n%v", m.mesh.text(), m.limits.ViewPorts, m.manyPorts, m.inCluster))
	s.hosts, s.routes = make([]Sum, len(m.hosts)), make([]Sum, len(m.routes))
	var text []byte
	for i := range m.hosts {
		host := &m.hosts[i]
		text = fmt.Appendf(host.Meta.appendText(host.appendText(text[:0])), "%v", host.exports)
		s.hosts[i] = sha256.Sum256(text)
	}
	for i := range m.routes {
		h := sha256.New()
		m.routes[i].write(h)
		h.Sum(s.routes[i][:0])
	}
}

// appendText appends all of a Meta.
func (m Meta) appendText(b []byte) []byte {
	return fmt.Appendf(b, " %q %q %d %d\n", m.Namespace, m.Name, m.Created.UnixNano(), m.Generation)
}

// write writes all that a view depends on of routes. Different routes have different
// texts.
func (r *hostRoutes) write(to hash.Hash) {
	wire := proto.MarshalOptions{Deterministic: true}
	message := func(m proto.Message) []byte {
		b, _ := wire.Marshal(m) // it was read from JSON
		return b
	}
	destinations := func(all []RouteDestination) {
		fmt.Fprintf(to, "%d\n", len(all))
		for _, d := range all {
			fmt.Fprintf(to, "%q %d %d %q %q\n", d.Host, d.Port, d.Weight, d.Path, message(d.Headers))
		}
	}
	_, _ = to.Write(r.meta.appendText(nil))
	fmt.Fprintf(to, "%q %q %d %d\n", r.host, r.path, len(r.http), len(r.tls))
	for _, route := range r.http {
		fmt.Fprintf(to, "%q %q\n", route.Path, message(route.Spec))
		destinations(route.Destinations)
		destinations(route.Mirrors)
	}
	for _, route := range r.tls {
		fmt.Fprintf(to, "%q\n", route.Path)
		destinations(route.Destinations)
		for _, m := range route.matches {
			fmt.Fprintf(to, "%q %q %d\n", m.path, m.names, m.port)
		}
	}
}
