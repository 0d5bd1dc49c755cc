package egress

import "slices"

// withinPorts are the hosts of a view, in the order of precedence, without those on
// ports over the limit. Ports of the namespace itself and of the root namespace are
// taken first; then each other namespace takes one port after the other, its oldest
// first, until the limit is reached: one with few ports has all of them, however many
// the others have.
func withinPorts(hosts []Host, limit int, rank func(Meta) int) []Host {
	all := map[uint32]bool{}
	for i := range hosts {
		all[hosts[i].Port] = true
	}
	if len(all) <= limit {
		return hosts
	}
	taken := map[uint32]bool{}
	for _, port := range standingPorts() {
		taken[port] = true
	}
	var namespaces []string
	wanted := map[string][]uint32{}
	for i := range hosts {
		h := &hosts[i]
		if rank(h.Meta) < rankOther {
			taken[h.Port] = true
			continue
		}
		ns := h.Meta.Namespace
		if _, has := wanted[ns]; !has {
			namespaces = append(namespaces, ns)
		}
		wanted[ns] = append(wanted[ns], h.Port)
	}
	for more := true; more && len(taken) < limit; {
		more = false
		for _, ns := range namespaces {
			rest := slices.IndexFunc(wanted[ns], func(p uint32) bool { return !taken[p] })
			if rest < 0 || len(taken) >= limit {
				wanted[ns] = nil
				continue
			}
			taken[wanted[ns][rest]], more = true, true
			wanted[ns] = wanted[ns][rest+1:]
		}
	}
	return slices.DeleteFunc(hosts, func(h Host) bool { return !taken[h.Port] })
}

// countPorts determines whether a view could have too many ports.
func (m *Model) countPorts() {
	all := map[uint32]bool{}
	for i := range m.hosts {
		all[m.hosts[i].Port] = true
	}
	for _, port := range standingPorts() {
		all[port] = true
	}
	m.manyPorts = len(all) > m.limits.ViewPorts
}
