package ranges

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/outrider-mesh/outrider/internal/problem"
)

// ClusterData is the content of documents, as Read returns it.
type ClusterData struct {
	Evidence  []Evidence
	ClusterIP []Address      // of Services
	PodIP     []Address      // of running pods with an address of their own
	NodeCIDR  []netip.Prefix // slices that nodes were given
	Warnings  []string
	// Values is the key "values" of the injector's ConfigMap, if that was among
	// the documents.
	Values string

	kubernetes []netip.Addr // clusterIPs of default/kubernetes
	apiServer  []Address    // these, and what is behind them
	dns        []Address    // clusterIPs of the cluster's name server
	nodes      int          // nodes that were shown
	version    string       // of the API server
	minor      int          // of that; 0 when unknown
	signals    []signal
	gaps       []gap
	supplies   []supply
	native     []string // why pods use addresses of the underlying network
	read       int      // documents of a known kind
}

// Known reports whether any document was of a known kind.
func (d *ClusterData) Known() bool { return d.read > 0 }

// maxNotes bounds the warnings about documents with many errors.
const maxNotes = 100

func (d *ClusterData) warn(format string, args ...any) {
	if len(d.Warnings) >= maxNotes {
		return
	}
	text := problem.Printable(fmt.Sprintf(format, args...))
	for _, w := range d.Warnings {
		if w == text {
			return
		}
	}
	d.Warnings = append(d.Warnings, text)
}

// addOnce appends a string that is not in the list.
func addOnce(to []string, s string) []string {
	if slices.Contains(to, s) {
		return to
	}
	return append(to, s)
}

// gap is something a document leaves open about a kind.
type gap struct {
	kind    Kind
	family  Family // empty for both
	why     string
	command string
	need    string // key of the supply that closes it; empty if none does
	soft    bool   // closed by complete evidence from anywhere else
	where   Place
	root    int
}

// supply is a range of the underlying network. It is the cluster's only
// where it fills a gap, or where there is no document of a cluster.
type supply struct {
	keys   []string // what a gap may call it
	what   string   // "VPC vpc-1"
	sort   string   // "vpc": supplies of one sort may replace each other
	kind   Kind     // what it is where it fills no gap; empty for nothing
	where  []Place
	ranges []string
	root   int
}

// signal is something that identifies the platform.
type signal struct{ platform, what string }

// Unknown is the platform when nothing identifies it, or two signals conflict.
const Unknown = "unknown"

// tiers are the platforms in order of precedence. OpenShift and the distributions
// run on every cloud, so a cloud's mark identifies the place, not the platform;
// and many of them are made with kubeadm.
var tiers = [][]string{
	{"openshift"},
	{"kind", "k3s", "rke2", "microk8s", "minikube", "docker-desktop", "talos", "k0s"},
	{"acs"}, // its nodes have the labels of AKS, and masters that AKS does not show
	{"gke", "aks", "eks", "iks", "icp", "doks", "oke", "ack", "tke", "lke", "kops", "eks-anywhere"},
	{"k3s-config", "kubeadm"},
}

// Detect is the platform that the documents identify. Two of the same rank are
// Unknown, with both named in conflict.
func (d *ClusterData) Detect() (platform string, conflict []string) {
	for _, tier := range tiers {
		var have []string
		for _, s := range d.signals {
			if slices.Contains(tier, s.platform) {
				have = append(have, s.platform)
			}
		}
		switch {
		case len(have) == 1:
			return strings.TrimSuffix(have[0], "-config"), nil
		case len(have) > 1:
			slices.Sort(have)
			return Unknown, have
		}
	}
	return Unknown, nil
}

// kubernetesIs reports whether default/kubernetes has the first address of the
// range, as it has of the default range of every API server.
func (d *ClusterData) kubernetesIs(p netip.Prefix) bool {
	first := p.Masked().Addr().Next()
	return slices.Contains(d.kubernetes, first)
}
