package egress

import (
	"crypto/sha256"
	"net/netip"
	"slices"
	"sync"

	"github.com/outrider-mesh/outrider/internal/problem"
)

// Model is the validated and sorted content of all objects.
type Model struct {
	mesh      Mesh
	inCluster []InClusterAddress // for all namespaces: sorted by address, each address once
	// ownCluster are the addresses for one namespace, by its name.
	ownCluster map[string][]InClusterAddress
	hosts      []Host       // sorted: see compareHosts
	routes     []hostRoutes // sorted: own order, see compareMeta
	private    map[string]bool
	sidecars   sidecars
	services   []InClusterAddress // all, for views that have some of them
	visible    *visible           // nil: not known
	sums       *sums
	limits     Limits
	manyPorts  bool // all hosts together have more than a view may have
}

// Sum is a hash of all that a view is made of.
type Sum [sha256.Size]byte

// sums are those of the parts of a model, made when one is asked for.
type sums struct {
	once          sync.Once
	settings      Sum   // what is the same for all workloads
	hosts, routes []Sum // by their number
}

// Class is the class of a namespace: namespaces of one class have the same
// view.
func (m *Model) Class(namespace string) string {
	if m.private[namespace] {
		return namespace
	}
	return ""
}

// inClusterOf are the addresses that a namespace always reaches.
func (m *Model) inClusterOf(namespace string) []InClusterAddress {
	own := m.ownCluster[namespace]
	if len(own) == 0 {
		return m.inCluster
	}
	return mergeAddresses(slices.Concat(m.inCluster, own))
}

// byNamespace are the addresses for all namespaces, and those for one.
func byNamespace(in []InClusterAddress) (all []InClusterAddress, own map[string][]InClusterAddress) {
	all, own = make([]InClusterAddress, 0, len(in)), map[string][]InClusterAddress{}
	for _, d := range in {
		e := d.exports()
		if e.all {
			all = append(all, d)
		}
		for _, ns := range e.namespaces {
			own[ns] = append(own[ns], d)
		}
	}
	return mergeAddresses(all), own
}

// exports are the namespaces that an address is reachable from.
func (d InClusterAddress) exports() exports {
	e := exports{all: true}
	if len(d.ExportTo) > 0 {
		listed, ok := readExportList(d.ExportTo, "", d.Service.Namespace, reporter{all: &problem.List{}})
		if e = listed; !ok {
			e = exports{namespaces: []string{d.Service.Namespace}}
		}
	}
	switch {
	case d.Namespace == "":
		return e
	case e.to(d.Namespace):
		return exports{namespaces: []string{d.Namespace}}
	}
	return exports{}
}

// mergeAddresses returns each address once, with the union of its ports.
func mergeAddresses(in []InClusterAddress) []InClusterAddress {
	all, ports := map[netip.Addr]bool{}, map[netip.Addr]map[uint16]bool{}
	for _, d := range in {
		a := d.Address.Unmap().WithZone("")
		if !a.IsValid() || a.IsLoopback() || a.IsUnspecified() || a.IsMulticast() || a.IsLinkLocalUnicast() {
			continue // not an address of another pod; one of a link may be a cloud's metadata service
		}
		if len(d.Ports) == 0 {
			all[a] = true
		}
		if ports[a] == nil {
			ports[a] = map[uint16]bool{}
		}
		for _, p := range d.Ports {
			ports[a][p] = true
		}
	}
	out := make([]InClusterAddress, 0, len(ports))
	for a, set := range ports {
		d := InClusterAddress{Address: a}
		if !all[a] {
			for p := range set {
				d.Ports = append(d.Ports, p)
			}
			slices.Sort(d.Ports)
		}
		out = append(out, d)
	}
	slices.SortFunc(out, func(a, b InClusterAddress) int { return a.Address.Compare(b.Address) })
	return out
}
