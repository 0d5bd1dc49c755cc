package egress

import (
	"fmt"

	networkingv1alpha3 "istio.io/api/networking/v1alpha3"

	"github.com/outrider-mesh/outrider/internal/problem"
)

// Limits of an object that no cluster needs to change: with these numbers, one has
// hundreds of KiB, and a sidecar compares a request with each match in order.
const (
	maxAddresses = 1000
	maxEndpoints = 1000
	maxRoutes    = 500
	maxMatches   = 2000
)

// budget is what the objects of the namespaces have, as they are added in the order
// of precedence.
type budget struct {
	limits Limits
	spent  map[string]*spent
}

type spent struct {
	objects, bytes, hosts int
	sidecars              int
	ports                 map[uint32]bool
}

func newBudget(l Limits) *budget { return &budget{l.withDefaults(), map[string]*spent{}} }

// entry reports whether a ServiceEntry is within all limits, and adds it to what its
// namespace has.
func (b *budget) entry(e ServiceEntry, r reporter) bool {
	s := e.Spec
	if s == nil {
		return true // it has an error, and nothing else
	}
	ok := b.fits(r, "spec", e.Bytes, b.limits.ObjectBytes, "bytes", "split it, or raise --egress-max-object-bytes")
	ok = b.fits(r, "spec.hosts", len(s.Hosts), b.limits.ObjectHosts, "hosts", "split it, or raise --egress-max-object-hosts") && ok
	ok = b.fits(r, "spec.ports", len(s.Ports), b.limits.ObjectPorts, "ports", "remove ports, or raise --egress-max-object-ports") && ok
	ok = b.fits(r, "spec.addresses", len(s.Addresses), maxAddresses, "addresses", "use ranges, or split it") && ok
	ok = b.fits(r, "spec.endpoints", len(s.Endpoints), maxEndpoints, "endpoints", "use a DNS name with several addresses") && ok
	return ok && b.spend(e.Namespace, e.Bytes, len(s.Hosts)*len(s.Ports), s.Ports, r)
}

// service does it with a VirtualService.
func (b *budget) service(v VirtualService, r reporter) bool {
	s := v.Spec
	if s == nil {
		return true
	}
	matches := 0
	for _, route := range s.Http {
		matches += len(route.GetMatch())
	}
	for _, route := range s.Tls {
		matches += len(route.GetMatch())
	}
	ok := b.fits(r, "spec", v.Bytes, b.limits.ObjectBytes, "bytes", "split it, or raise --egress-max-object-bytes")
	ok = b.fits(r, "spec.hosts", len(s.Hosts), b.limits.ObjectHosts, "hosts", "split it, or raise --egress-max-object-hosts") && ok
	ok = b.fits(r, "spec.http", len(s.Http)+len(s.Tls), maxRoutes, "routes", "use prefixes or regular expressions, or split the hosts") && ok
	ok = b.fits(r, "spec.http", matches, maxMatches, "matches", "use prefixes or regular expressions, or split the hosts") && ok
	return ok && b.spend(v.Namespace, v.Bytes, 0, nil, r)
}

// sidecar does it with a Sidecar. One that is too large is as one that cannot be read;
// one too many of its namespace is ignored.
func (b *budget) sidecar(s Sidecar, r reporter) (readable, counts bool) {
	spent := b.of(s.Namespace)
	if spent.sidecars++; spent.sidecars > b.limits.NamespaceSidecars {
		r.add(problem.OverBudget("", fmt.Sprintf("with this object, namespace %s has %d Sidecars, which exceeds the limit of %d: the object is ignored", s.Namespace, spent.sidecars, b.limits.NamespaceSidecars),
			"remove other Sidecars of the namespace, or raise --egress-max-namespace-sidecars"))
		return false, false
	}
	hosts := 0
	for _, l := range s.Spec.GetEgress() {
		hosts += len(l.GetHosts())
	}
	const closed = "and nothing is exposed"
	readable = b.fitsOr(r, "spec", s.Bytes, b.limits.ObjectBytes, "bytes", "use wildcards, or raise --egress-max-object-bytes", closed)
	return b.fitsOr(r, "spec.egress", hosts, b.limits.ObjectHosts, "hosts", "use wildcards, or raise --egress-max-object-hosts", closed) && readable, true
}

func (b *budget) of(namespace string) *spent {
	s := b.spent[namespace]
	if s == nil {
		s = &spent{ports: map[uint32]bool{}}
		b.spent[namespace] = s
	}
	return s
}

func (b *budget) fits(r reporter, path string, has, limit int, of, fix string) bool {
	return b.fitsOr(r, path, has, limit, of, fix, "and all of it is ignored")
}

func (b *budget) fitsOr(r reporter, path string, has, limit int, of, fix, otherwise string) bool {
	if has <= limit {
		return true
	}
	r.add(problem.OverBudget(path, fmt.Sprintf("%d %s exceed the limit of %d for an object, %s", has, of, limit, otherwise), fix))
	return false
}

// spend adds an object to what its namespace has, if all of it is within the limits.
func (b *budget) spend(namespace string, bytes, hosts int, ports []*networkingv1alpha3.ServicePort, r reporter) bool {
	s := b.of(namespace)
	fresh := map[uint32]bool{}
	for _, p := range ports {
		if n := p.GetNumber(); !s.ports[n] {
			fresh[n] = true
		}
	}
	l, ok := b.limits, true
	for _, c := range []struct {
		has, limit int
		of, flag   string
	}{
		{s.objects + 1, l.NamespaceObjects, "ServiceEntries and VirtualServices", "objects"},
		{s.bytes + bytes, l.NamespaceBytes, "bytes of ServiceEntries and VirtualServices", "bytes"},
		{s.hosts + hosts, l.NamespaceHosts, "hosts of ServiceEntries, once for each port", "hosts"},
		{len(s.ports) + len(fresh), l.NamespacePorts, "ports of ServiceEntries", "ports"},
	} {
		if c.has > c.limit {
			ok = false
			r.add(problem.OverBudget("", fmt.Sprintf("with this object, namespace %s has %d %s, which exceeds the limit of %d: the object is ignored", namespace, c.has, c.of, c.limit),
				"remove other objects of the namespace, or raise --egress-max-namespace-"+c.flag))
		}
	}
	if !ok {
		return false
	}
	s.objects, s.bytes, s.hosts = s.objects+1, s.bytes+bytes, s.hosts+hosts
	for n := range fresh {
		s.ports[n] = true
	}
	return true
}
