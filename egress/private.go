package egress

import "slices"

// findPrivate collects the namespaces whose view may differ from that of a
// namespace without objects: those that something is exported to by name, and
// those whose own objects take precedence in them over others that they do not
// precede elsewhere, or apply in them alone.
func (m *Model) findPrivate() {
	names := nameClaims{}
	for i := range m.hosts {
		names.add(m.hosts[i].Name, m.hosts[i].Meta.Namespace)
	}
	for i := range m.routes {
		names.add(m.routes[i].host, m.routes[i].meta.Namespace)
	}
	names.relate()
	for i := range m.hosts {
		h := &m.hosts[i]
		m.addPrivate(names.related(h.Name) || namesServiceOf(h.Name, h.Meta.Namespace), h.Meta.Namespace, h.exports)
	}
	for i := range m.routes {
		r := &m.routes[i]
		m.addPrivate(names.related(r.host), r.meta.Namespace, r.exports)
	}
	m.findPrivatePorts()
	if m.manyPorts { // a namespace's own ports come first
		for i := range m.hosts {
			m.private[m.hosts[i].Meta.Namespace] = true
		}
	}
	for namespace := range m.ownCluster {
		m.private[namespace] = true
	}
}

func (m *Model) addPrivate(own bool, namespace string, e exports) {
	if own {
		m.private[namespace] = true
	}
	if e.all {
		return
	}
	for _, ns := range e.namespaces {
		m.private[ns] = true
	}
}

// nameClaim is a name, or a wildcard, and the namespaces that have it.
type nameClaim struct {
	first   string
	several bool
	related bool // to a name that another namespace has
}

// nameClaims are the names of hosts and of routes, by coverKey.
type nameClaims map[string]nameClaim

func (n nameClaims) add(name, namespace string) {
	key := coverKey(name)
	c, has := n[key]
	switch {
	case !has:
		n[key] = nameClaim{first: namespace}
	case c.first != namespace && !c.several:
		c.several, c.related = true, true
		n[key] = c
	}
}

// relate marks the names that another namespace has, or a wildcard that covers
// them, and such wildcards.
func (n nameClaims) relate() {
	for key, c := range n {
		for wider := range coverKeys(key) {
			w, has := n[wider]
			if !has || wider == key || w.first == c.first && !w.several && !c.several {
				continue
			}
			if !w.related {
				w.related = true
				n[wider] = w
			}
			if !c.related {
				c.related = true
				n[key] = c
			}
		}
	}
}

func (n nameClaims) related(name string) bool { return n[coverKey(name)].related }

// findPrivatePorts collects those that differ by what has a port or its addresses.
func (m *Model) findPrivatePorts() {
	type port struct{ names, tcp, addresses spaces }
	ports := map[uint32]*port{}
	of := func(n uint32) *port {
		if ports[n] == nil {
			ports[n] = &port{}
		}
		return ports[n]
	}
	for i := range m.hosts {
		h := &m.hosts[i]
		switch {
		case h.AnyAddress:
			m.private[h.Meta.Namespace] = true
		case h.Protocol == ProtocolTCP:
			of(h.Port).tcp.add(h.Meta.Namespace)
		}
		if !h.Protocol.IsHTTP() && len(h.Addresses) > 0 {
			of(h.Port).addresses.add(h.Meta.Namespace)
		}
	}
	for i := range m.hosts {
		if h := &m.hosts[i]; h.Protocol != ProtocolTCP && ports[h.Port] != nil {
			ports[h.Port].names.add(h.Meta.Namespace)
		}
	}
	for i := range m.hosts {
		h, p := &m.hosts[i], ports[m.hosts[i].Port]
		if p == nil || m.private[h.Meta.Namespace] {
			continue
		}
		standing := slices.Contains(standingPorts(), h.Port)
		tcp := h.Protocol == ProtocolTCP
		if tcp && (standing || p.names.beside(h.Meta.Namespace)) || !tcp && !standing && p.tcp.beside(h.Meta.Namespace) ||
			!h.Protocol.IsHTTP() && len(h.Addresses) > 0 && p.addresses.beside(h.Meta.Namespace) || slices.ContainsFunc(h.Addresses, tooWide) {
			m.private[h.Meta.Namespace] = true
		}
	}
}

// spaces are a set of namespaces, of which only one and the fact of another are
// stored.
type spaces struct {
	first   string
	several bool
}

func (s *spaces) add(namespace string) {
	if s.first == "" {
		s.first = namespace
	}
	s.several = s.several || s.first != namespace
}

// beside reports whether there is another namespace than one.
func (s *spaces) beside(namespace string) bool {
	return s.several || s.first != "" && s.first != namespace
}
