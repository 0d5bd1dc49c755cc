package egress

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/outrider-mesh/outrider/internal/problem"
)

// checkSidecars finds the problems between Sidecars, and with what they name.
func (m *Model) checkSidecars(problems *problem.List) {
	for _, namespace := range slices.Sorted(maps.Keys(m.sidecars.of)) {
		n := m.sidecars.of[namespace]
		for _, s := range n.forAll[min(1, len(n.forAll)):] {
			first := n.forAll[0].meta
			reporter{KindSidecar, s.meta, problems}.add(problem.NoEffect("spec", "",
				fmt.Sprintf("Sidecar %s/%s has no workloadSelector either, and takes precedence (%s)", first.Namespace, first.Name, m.precedenceReason(first, s.meta)),
				"merge the objects, or add a workloadSelector"))
		}
		for i := range n.selecting {
			m.checkSelector(n.selecting, i, problems)
		}
		for _, s := range slices.Concat(n.selecting, n.forAll[:min(1, len(n.forAll))]) {
			m.checkPatterns(&s, reporter{KindSidecar, s.meta, problems})
		}
	}
}

// checkSelector warns about workloads that an older Sidecar selects, too.
func (m *Model) checkSelector(all []sidecar, i int, problems *problem.List) {
	for _, older := range all[:i] {
		contradicts := false
		for name, value := range older.selector {
			other, both := all[i].selector[name]
			contradicts = contradicts || both && other != value
		}
		if !contradicts {
			reporter{KindSidecar, all[i].meta, problems}.warn("spec.workloadSelector", "",
				fmt.Sprintf("Sidecar %s/%s takes precedence for workloads that both select (%s)", older.meta.Namespace, older.meta.Name, m.precedenceReason(older.meta, all[i].meta)),
				"select by labels that no pod has both of")
			return
		}
	}
}

// checkPatterns finds entries for hosts that are not declared, and exclusions that a
// wildcard leaves with no effect.
func (m *Model) checkPatterns(s *sidecar, r reporter) {
	if s.meta.Namespace == m.mesh.rootNamespace && len(s.selector) == 0 {
		return // it depends on the workload's namespace
	}
	hosts, _ := m.seen(s.meta.Namespace, nil)
	byKey := map[string][]Host{}
	for _, h := range hosts {
		byKey[coverKey(h.Name)] = append(byKey[coverKey(h.Name)], h)
	}
	e := s.exposedTo(s.meta.Namespace)
	for _, port := range slices.Sorted(maps.Keys(s.listeners)) {
		l := s.listeners[port]
		for _, p := range l.imports {
			if strings.Contains(p.name, "*") || strings.HasSuffix(p.name, ".svc.cluster.local") || slices.ContainsFunc(byKey[p.name], func(h Host) bool {
				return p.namespace == exportAll || p.namespace == h.Meta.Namespace || p.namespace == exportOwn && h.Meta.Namespace == s.meta.Namespace
			}) {
				continue
			}
			r.add(problem.NotFound(p.path, p.String(), "no effect: no visible ServiceEntry of that namespace declares this host", "declare it in a ServiceEntry, or correct the namespace"))
		}
		for _, p := range l.excludes {
			for key := range coverKeys(p.name) {
				for _, h := range byKey[key] {
					if h.Wildcard() && key != coverKey(p.name) && e.has(h.Meta.Namespace, h.Name, h.Port) {
						r.warn(p.path, "~"+p.String(), fmt.Sprintf("%s of %s is exposed and covers this name: its requests are not blocked", h.Name, Source(KindServiceEntry, h.Meta)), "exclude the wildcard, too")
					}
				}
			}
		}
	}
}

// NotExposed is the Sidecar that keeps a declared host, or a Service of the cluster, from
// a workload, with the namespace and the name to import; false where it is not declared,
// or not exported to the workload's namespace.
func (m *Model) NotExposed(w Workload, name string, port uint32) (by Meta, host string, found bool) {
	s := m.scope(w).open(w.Namespace)
	if s == nil || s.hosts == nil || name == "" {
		return Meta{}, "", false
	}
	hosts, _ := m.seen(w.Namespace, nil)
	for _, h := range hosts {
		if (port == 0 || h.Port == port) && covers(h.Name, name) && !s.hosts.has(h.Meta.Namespace, h.RoutesName(), h.Port) {
			return s.hosts.by, h.Meta.Namespace + "/" + h.RoutesName(), true
		}
	}
	for _, d := range m.services {
		if d.Service.Host() == name && d.exports().to(w.Namespace) && !s.hosts.hasService(d.Service) {
			return s.hosts.by, d.Service.Namespace + "/" + name, true
		}
	}
	return Meta{}, "", false
}
