package ranges

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/outrider-mesh/outrider/cidr"
	"github.com/outrider-mesh/outrider/internal/problem"
)

// Kind is whose addresses a range contains.
type Kind string

// The kinds.
const (
	Service Kind = "service"
	Pod     Kind = "pod"
)

// Family is an address family.
type Family = cidr.Family

// The families.
const (
	IPv4 = cidr.IPv4
	IPv6 = cidr.IPv6
)

func familyOf(a netip.Addr) Family {
	if a.Unmap().Is4() {
		return IPv4
	}
	return IPv6
}

// Grade is the confidence in evidence.
type Grade string

// The grades, best first.
const (
	Complete   Grade = "complete"           // the whole range
	Configured Grade = "configured"         // configuration, which may be stale or unused
	Defaulted  Grade = "default"            // a tool's or platform's default
	Minimum    Grade = "minimum (observed)" // real, but only a part
)

func worse(a, b Grade) bool {
	order := []Grade{Complete, Configured, Defaulted, Minimum}
	return slices.Index(order, a) > slices.Index(order, b)
}

// Place is a place in a document.
type Place struct {
	Document string `json:"document"`       // as the caller named it
	Path     string `json:"path,omitempty"` // a.b[2].c, or the key or flag of a line
	Line     int    `json:"line,omitempty"` // from 1; 0 for what no line holds
}

// String is "document:line: path".
func (p Place) String() string {
	s := p.Document
	if p.Line > 0 {
		s += fmt.Sprintf(":%d", p.Line)
	}
	if p.Path != "" {
		s += ": " + p.Path
	}
	return s
}

// locate is the problems at the place.
func (p Place) locate(l problem.List) problem.List {
	out := make(problem.List, len(l))
	for i, one := range l {
		out[i] = one.At(p.Path).In(p.Document).On(p.Line, 0)
	}
	return out
}

// Status is what Resolve made of a piece of evidence.
type Status string

// The statuses.
const (
	Used      Status = "used"
	Outranked Status = "outranked" // a better source answered
	Rejected  Status = "rejected"  // contradiction by the cluster's addresses, or of no meaning there
)

// Evidence is one statement about ranges of one kind and family.
type Evidence struct {
	Kind   Kind
	Family Family
	Ranges cidr.List
	Value  string // as written
	Source string // the kind of document, flag or object
	Grade  Grade
	Where  Place
	Status Status // empty before Resolve
	Reason string // of the status, if it needs one

	rank  int  // precedence within the kind, lower wins
	whole bool // states the whole range: another one of the same rank must agree
	root  int  // the object it is from
}

// source is what all evidence of one origin has in common.
type source struct {
	name  string
	rank  int
	grade Grade
	whole bool
}

// The precedence of sources of service ranges.
const (
	rankProvider      = iota // the provider's own command
	rankServiceCIDR          // all ServiceCIDR objects
	rankOpenShift            // status of OpenShift's Network
	rankAPIServer            // flag of the API server
	rankControllers          // the same flag of the controller manager
	rankNodeArgs             // arguments of a k3s or RKE2 server
	rankConfig               // configuration that made the cluster
	rankProbe                // an API server's error for an address
	rankChecked              // default that agrees with addresses in use
	rankUncheckedOnly        // default that nothing confirms
)

// The precedence of sources of pod ranges; 0 is rankProvider.
const (
	rankPool             = iota + 1 // the network plugin's own pools
	rankClusterCIDR                 // flag of the controller manager
	rankPodNodeArgs                 // arguments of a k3s or RKE2 server
	rankKubeProxy                   // kube-proxy's clusterCIDR
	rankPodConfig                   // configuration that made the cluster
	rankPodChecked                  // default that agrees with addresses in use
	rankSlices                      // slices of today's nodes
	rankPodUncheckedOnly            // default that nothing confirms
)

// Address is an address in use, against which ranges are checked.
type Address struct {
	Addr netip.Addr
	What string // "Service kube-system/kube-dns"
}
