package egress

import (
	"slices"
)

// Workload is what the view of a sidecar depends on: the labels of its pod, and its
// namespace.
type Workload struct {
	Namespace string
	Labels    map[string]string
	// Unknown is set where the labels are not known: where they make a difference, it sees
	// nothing.
	Unknown bool
}

// sidecars are the Sidecars of all namespaces.
type sidecars struct {
	root    string // the root namespace
	of      map[string]*namespaceSidecars
	selects bool // one of them selects by labels
}

// namespaceSidecars are those of one namespace, the oldest first.
type namespaceSidecars struct {
	selecting []sidecar
	forAll    []sidecar // the first applies
}

// add adds a Sidecar, in the order of age.
func (s *sidecars) add(one sidecar) {
	n := s.of[one.meta.Namespace]
	if n == nil {
		n = &namespaceSidecars{}
		s.of[one.meta.Namespace] = n
	}
	if len(one.selector) > 0 {
		n.selecting, s.selects = append(n.selecting, one), true
	} else {
		n.forAll = append(n.forAll, one)
	}
}

// forAll is the Sidecar of a namespace without a selector; nil: none.
func (s *sidecars) forAll(namespace string) *sidecar {
	if n := s.of[namespace]; n != nil && len(n.forAll) > 0 {
		return &n.forAll[0]
	}
	return nil
}

// find is the Sidecar that applies to a workload, nil if none does: the oldest that
// selects it, or else that of its namespace, or that of the root namespace. hosts is the
// one with the hosts: the first in this order that has some, nil if none has.
func (s *sidecars) find(w Workload) (applies, hosts *sidecar) {
	var order []*sidecar
	if n := s.of[w.Namespace]; n != nil {
		for i := range n.selecting {
			if selects(n.selecting[i].selector, w.Labels) {
				order = append(order, &n.selecting[i])
				break
			}
		}
	}
	for _, namespace := range []string{w.Namespace, s.root} {
		if d := s.forAll(namespace); d != nil {
			order = append(order, d)
		}
	}
	if len(order) == 0 {
		return nil, nil
	}
	i := slices.IndexFunc(order, func(s *sidecar) bool { return !s.inherits })
	if i < 0 {
		return order[0], nil
	}
	return order[0], order[i]
}

func selects(selector, labels map[string]string) bool {
	for name, value := range selector {
		if has, ok := labels[name]; !ok || has != value {
			return false
		}
	}
	return true
}

// scope is what a Sidecar does to a view.
type scope struct {
	of           *sidecar // with the hosts; nil: all that is exported
	hosts        *exposed // of it, once it was opened
	registryOnly bool
	policyBy     Meta   // zero: the mesh
	key          string // the same for the same scope
}

// open reads what the scope exposes to the workloads of a namespace.
func (s *scope) open(namespace string) *scope {
	if s != nil && s.of != nil {
		s.hosts = s.of.exposedTo(namespace)
	}
	return s
}

// exposed is what a Sidecar exposes to the workloads of a namespace.
type exposed struct {
	workload string // the namespace
	by       Meta
	ports    map[uint32]exposedPort // 0: all others
}

type exposedPort struct {
	imports, excludes patterns
	nothing           bool
}

func (s *sidecar) exposedTo(workload string) *exposed {
	e := &exposed{workload: workload, by: s.meta, ports: map[uint32]exposedPort{}}
	for port, l := range s.listeners {
		p := exposedPort{patterns{}, patterns{}, l.nothing}
		for _, one := range l.imports {
			p.imports.add(one)
		}
		for _, one := range l.excludes {
			p.excludes.add(one)
		}
		e.ports[port] = p
	}
	return e
}

// has reports whether a host of a namespace is exposed on a port: it is imported by an
// entry, and excluded by none.
func (e *exposed) has(namespace, host string, port uint32) bool {
	p, specific := e.ports[port]
	if !specific {
		p = e.ports[0]
	}
	return p.has(namespace, host, e.workload)
}

func (p exposedPort) has(namespace, host, workload string) bool {
	return !p.nothing && p.imports.has(namespace, host, workload) && !p.excludes.has(namespace, host, workload)
}

// hasService reports whether a Service is exposed, on any port: its addresses do not
// depend on it.
func (e *exposed) hasService(s ServiceName) bool {
	for _, p := range e.ports {
		if s.Name != "" && p.has(s.Namespace, s.Host(), e.workload) {
			return true
		}
	}
	return false
}

// hasRoutes reports whether the routes of an object for a host apply: something of its
// namespace is imported, and they are not excluded.
func (e *exposed) hasRoutes(namespace, host string) bool {
	for _, p := range e.ports {
		if !p.nothing && p.imports.hasNamespace(namespace, e.workload) && !p.excludes.has(namespace, host, e.workload) {
			return true
		}
	}
	return false
}
