package egress

import (
	"fmt"

	networkingv1alpha3 "istio.io/api/networking/v1alpha3"

	"github.com/outrider-mesh/outrider/internal/problem"
)

// readDestination reads a Destination.
func readDestination(d *networkingv1alpha3.Destination, path string, r reporter) RouteDestination {
	t := RouteDestination{Path: path, Port: d.GetPort().GetNumber()}
	if d == nil {
		r.add(problem.Required(path, "set destination.host to a host that a ServiceEntry declares"))
		return t
	}
	name, fault := normalHost(d.Host)
	if fault.Rule != "" {
		r.fault(fault, path+".host", "use a host that a ServiceEntry declares")
	}
	t.Host = name
	if d.Port != nil && (t.Port == 0 || t.Port > 65535) {
		r.add(problem.Port(path+".port.number", fmt.Sprint(t.Port)).WithFix("use a port that the ServiceEntry declares, or remove it"))
	}
	return t
}

// weighted is a destination with a weight.
type weighted interface {
	GetDestination() *networkingv1alpha3.Destination
	GetWeight() int32
}

// readDestinations reads the destinations of a route and their weights. A
// single one needs no weight.
func readDestinations[T weighted](routes []T, path string, r reporter) []RouteDestination {
	var out []RouteDestination
	sum := uint64(0)
	for i, w := range routes {
		at := fmt.Sprintf("%s[%d]", path, i)
		t := readDestination(w.GetDestination(), at+".destination", r)
		if w.GetWeight() < 0 {
			r.add(problem.Negative(at+".weight", fmt.Sprint(w.GetWeight())).WithFix("use a weight such as 90"))
		} else {
			t.Weight = uint32(w.GetWeight())
		}
		sum += uint64(t.Weight)
		out = append(out, t)
	}
	switch {
	case len(out) == 1:
		out[0].Weight = 1
	case len(out) > 1 && sum == 0:
		r.error(path, "", "sum of weights is 0", "set a weight for each destination")
	case sum > 1<<32-1:
		r.error(path, fmt.Sprint(sum), "sum of weights exceeds 4294967295", "use smaller weights, such as 90 and 10")
	}
	return out
}
