package decide

import (
	"net/netip"
	"time"

	"github.com/outrider-mesh/outrider/egress"
)

// The protocols of requests, as a sidecar detects them.
const (
	HTTP = "http" // without TLS
	TLS  = "tls"
	TCP  = "tcp" // neither, or the server speaks first
)

// Request is what an application sends, as far as a sidecar looks at it.
type Request struct {
	Address    netip.Addr // the original destination
	Port       uint16
	Protocol   string // HTTP, TLS or TCP
	ServerName string // the SNI of TLS

	// Of HTTP:
	Method    string
	Authority string              // the Host, with a port if it has one
	Path      string              // with its query
	Header    map[string][]string // by name in any case
}

// The kinds of decisions.
const (
	Forwarded = "forwarded" // to one of Clusters
	Answered  = "answered"  // by the sidecar, with Status
	Closed    = "closed"    // the connection
)

// Decision is where a request goes, and why.
type Decision struct {
	Kind     string            // Forwarded, Answered or Closed
	Clusters []WeightedCluster // as access logs name them
	// Status is that of the sidecar's own response; 0 for a forwarded request.
	Status   int
	Location string // of a redirect
	// Route is the route's name in access logs.
	Route string
	// Authority and Path are what the destination receives from HTTP requests.
	Authority, Path string
	Timeout         time.Duration // 0: none
	Mirrors         []WeightedCluster
	// Reason is why, with the objects that decide it.
	Reason string
	// Rules are what it follows from, the one that decides first.
	Rules []Rule
}

// The kinds of rules that are no objects.
const (
	RulePolicy    = "outboundTrafficPolicy" // of the mesh, or of the Sidecar in Meta
	RuleInCluster = "in-cluster"            // an address of the cluster
	RuleSidecar   = "sidecar"               // a port of the sidecar itself
)

// Rule is an object, or another setting, that a decision follows from.
type Rule struct {
	Kind string      // egress.KindServiceEntry, egress.KindVirtualService, or one of the above
	Meta egress.Meta // of an object
	Path string      // its field
}

// declares is the rule of a declared host.
func declares(h egress.Host) Rule {
	path := "spec.hosts"
	if h.Of != "" {
		path = "spec.addresses"
	}
	return Rule{egress.KindServiceEntry, h.Meta, path}
}

func routedBy(by egress.Meta, path string) Rule { return Rule{egress.KindVirtualService, by, path} }

// WeightedCluster is a cluster with its weight.
type WeightedCluster struct {
	Cluster string
	Weight  uint32 // of the sum of all
	// To are the names or addresses that it connects to, with their ports; none
	// for the original destination.
	To []string
	// Authority is the Host of this cluster's requests, if it is not that of the
	// decision.
	Authority string
}

// policyOf is the rule of outboundTrafficPolicy, and its words in a reason.
func policyOf(v *egress.View) (r Rule, mode string) {
	r.Kind, mode = RulePolicy, "ALLOW_ANY"
	if v.Mesh().RegistryOnly {
		mode = "REGISTRY_ONLY"
	}
	if by, is := v.PolicyBy(); is {
		r.Meta, r.Path = by, "spec.outboundTrafficPolicy.mode"
		mode += " of Sidecar " + by.Namespace + "/" + by.Name
	}
	return r, mode
}
