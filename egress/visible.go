package egress

// visible are the hosts that each namespace sees, by their number: of ten thousand
// entries, one sees some hundred.
type visible struct {
	all []int
	by  map[string][]int
}

func newVisible(m *Model) *visible {
	v := &visible{by: map[string][]int{}}
	for i := range m.hosts {
		if e := m.hosts[i].exports; e.all {
			v.all = append(v.all, i)
		} else {
			for _, ns := range e.namespaces {
				v.by[ns] = append(v.by[ns], i)
			}
		}
	}
	return v
}

// hosts calls f for the hosts that a namespace sees, in their order.
func (v *visible) hosts(m *Model, namespace string, f func(*Host)) {
	if v == nil {
		for i := range m.hosts {
			if m.hosts[i].exports.to(namespace) {
				f(&m.hosts[i])
			}
		}
		return
	}
	all, own := v.all, v.by[namespace]
	for len(all) > 0 || len(own) > 0 {
		if len(own) == 0 || len(all) > 0 && all[0] < own[0] {
			f(&m.hosts[all[0]])
			all = all[1:]
			continue
		}
		f(&m.hosts[own[0]])
		own = own[1:]
	}
}
