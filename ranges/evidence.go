package ranges

import (
	"fmt"
	"net/netip"
	"strings"
	"unicode"

	"github.com/outrider-mesh/outrider/cidr"
)

// Kind says whose addresses a range holds.
type Kind string

// The kinds.
const (
	Service Kind = "service"
	Pod     Kind = "pod"
)

// Family is an address family.
type Family string

// The families.
const (
	IPv4 Family = "IPv4"
	IPv6 Family = "IPv6"
)

func familyOf(a netip.Addr) Family {
	if a.Unmap().Is4() {
		return IPv4
	}
	return IPv6
}

// Grade says how far evidence can be trusted.
type Grade string

// The grades, best first.
const (
	Complete   Grade = "complete"    // the whole range
	Claimed    Grade = "claimed"     // configuration, which may be stale or unused
	Assumed    Grade = "assumed"     // a tool's or platform's default
	LowerBound Grade = "lower bound" // real, but only a part
)

// Place says where something stands.
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

// Verdict is what Resolve made of a piece of evidence.
type Verdict string

// The verdicts.
const (
	Used      Verdict = "used"
	Outranked Verdict = "outranked" // a better source answered
	Rejected  Verdict = "rejected"  // disproved by the cluster's addresses, or of no meaning there
)

// Evidence is one statement about ranges of one kind and family.
type Evidence struct {
	Kind    Kind
	Family  Family
	Ranges  cidr.List
	Value   string // as written
	Source  string // the kind of document, flag or object
	Grade   Grade
	Where   Place
	Verdict Verdict // empty before Resolve
	Reason  string  // of the verdict, if it needs one

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
	rankProvider      = iota // what the provider's own command says
	rankServiceCIDR          // all ServiceCIDR objects
	rankOpenShift            // status of OpenShift's Network
	rankAPIServer            // flag of the API server
	rankControllers          // the same flag of the controller manager
	rankNodeArgs             // arguments of a k3s or RKE2 server
	rankConfig               // configuration that made the cluster
	rankProbe                // an API server's refusal of an address
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

// supply is a range of the network below the cluster. It is the cluster's only
// where a gap asks for it, or where no document of a cluster is there to ask.
type supply struct {
	keys   []string // what a gap may call it
	what   string   // "VPC vpc-1"
	sort   string   // "vpc": supplies of one sort stand for each other
	kind   Kind     // what it is when nothing asks for it; empty for nothing
	where  []Place
	ranges []string
	root   int
}

// Facts are what documents say. Make them with Read.
type Facts struct {
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
	native     []string // why pods have addresses of the network below the cluster
	read       int      // documents of a known kind
}

// Known reports whether any document was of a known kind.
func (f *Facts) Known() bool { return f.read > 0 }

// maxNotes bounds what is said about documents that are wrong all over.
const maxNotes = 100

func (f *Facts) warn(format string, args ...any) {
	if len(f.Warnings) >= maxNotes {
		return
	}
	text := printable(fmt.Sprintf(format, args...))
	for _, w := range f.Warnings {
		if w == text {
			return
		}
	}
	f.Warnings = append(f.Warnings, text)
}

// Problem is one thing wrong with a document.
type Problem struct {
	Where Place
	Value string
	Rule  string
	Fix   string
}

// String names place, value, rule and fix.
func (p Problem) String() string {
	s := p.Where.String() + ": "
	if p.Value != "" {
		s += fmt.Sprintf("%q: ", clip(p.Value))
	}
	s += p.Rule
	if p.Fix != "" {
		s += "; " + p.Fix
	}
	return printable(s)
}

// Error is everything wrong with the documents, in their order.
type Error struct{ Problems []Problem }

// Error is one problem a line; after twenty it counts.
func (e *Error) Error() string {
	const most = 20
	var lines []string
	for i, p := range e.Problems {
		if i == most {
			lines = append(lines, fmt.Sprintf("and %d more", len(e.Problems)-most))
			break
		}
		lines = append(lines, p.String())
	}
	return strings.Join(lines, "\n")
}

// clip shortens text that is only repeated to its writer.
func clip(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// printable is text without control characters, which a terminal would obey.
func printable(s string) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsControl(c) || !unicode.IsPrint(c) {
			return '\uFFFD'
		}
		return c
	}, s)
}

// shellWord is one word of a command line, quoted if it has to be.
func shellWord(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(clip(s), "'", `'\''`) + "'"
}
