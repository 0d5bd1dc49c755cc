package egress

// ClassOf is the class of a workload: workloads of one class have the same view.
func (m *Model) ClassOf(w Workload) string {
	if s := m.scope(w); s != nil {
		return m.Class(w.Namespace) + " " + s.key
	}
	return m.Class(w.Namespace)
}

// SelectsWorkloads reports whether the view of a workload of a namespace depends on its
// labels.
func (m *Model) SelectsWorkloads(namespace string) bool {
	s := m.sidecars.of[namespace]
	return s != nil && len(s.selecting) > 0
}

// SelectsAny reports it for some namespace.
func (m *Model) SelectsAny() bool { return m.sidecars.selects }

// SidecarOf is the Sidecar that applies to a workload, and whether it selects it by its
// labels; false where none does.
func (m *Model) SidecarOf(w Workload) (meta Meta, selects, found bool) {
	s, _ := m.sidecars.find(w)
	if s == nil {
		return Meta{}, false, false
	}
	return s.meta, len(s.selector) > 0, true
}

// inClusterIn are the addresses of the Services that a scope exposes.
func (m *Model) inClusterIn(namespace string, s *scope) []InClusterAddress {
	if s.hosts == nil {
		return m.inClusterOf(namespace)
	}
	var out []InClusterAddress
	for _, d := range m.services {
		if s.hosts.hasService(d.Service) && d.exports().to(namespace) {
			out = append(out, d)
		}
	}
	return mergeAddresses(out)
}

// scope is that of a workload; nil if its view is that of its namespace without a
// Sidecar. It is looked up for each sidecar and each change; what it exposes is read for
// views only.
func (m *Model) scope(w Workload) *scope {
	if w.Unknown && m.SelectsWorkloads(w.Namespace) {
		return &scope{of: &sidecar{}, registryOnly: true, key: "unknown"}
	}
	applies, hosts := m.sidecars.find(w)
	if applies == nil {
		return nil
	}
	s := &scope{registryOnly: m.mesh.RegistryOnly}
	switch applies.policy {
	case policyRegistryOnly:
		s.registryOnly, s.policyBy = true, applies.meta
	case policyAllowAny:
		s.registryOnly, s.policyBy = false, applies.meta
	}
	if hosts != nil && hosts.key != "" {
		s.of, s.key = hosts, hosts.key
		if hosts.ownOnly {
			s.key += " " + w.Namespace
		}
	}
	if s.registryOnly {
		s.key = "registry-only " + s.key
	}
	if s.of == nil && s.registryOnly == m.mesh.RegistryOnly && s.policyBy == (Meta{}) {
		return nil
	}
	return s
}
