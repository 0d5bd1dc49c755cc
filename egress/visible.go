package egress

// visible are the hosts that each namespace sees, by their number: of ten thousand
// entries, one sees some hundred.
type visible struct {
	all []int
	by  map[string][]int
}

func newVisible(hosts []Host) *visible {
	v := &visible{by: map[string][]int{}}
	for i := range hosts {
		if e := hosts[i].exports; e.all {
			v.all = append(v.all, i)
		} else {
			for _, ns := range e.namespaces {
				v.by[ns] = append(v.by[ns], i)
			}
		}
	}
	return v
}

// hosts calls f for the numbers of the hosts that a namespace sees, in their order.
func (v *visible) hosts(of []Host, namespace string, f func(int)) {
	if v == nil {
		for i := range of {
			if of[i].exports.to(namespace) {
				f(i)
			}
		}
		return
	}
	all, own := v.all, v.by[namespace]
	for len(all) > 0 || len(own) > 0 {
		if len(own) == 0 || len(all) > 0 && all[0] < own[0] {
			f(all[0])
			all = all[1:]
			continue
		}
		f(own[0])
		own = own[1:]
	}
}
