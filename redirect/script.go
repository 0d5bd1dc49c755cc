package redirect

import (
	"fmt"
	"strings"
)

// The names of the chains. "redirect" would be a keyword of nft.
const (
	OutputChain = "output"
	ProxyChain  = "to_proxy"
	ResetChain  = "resets"
)

// The comments of the rules that no Reason names.
const (
	CaptureComment = "proxy"     // redirects connections to the proxy
	TestComment    = "test"      // redirects test connections, while there are any
	ResetComment   = "not-ready" // drops the resets of ReadinessPort
)

// ReadinessPort is the port at which the proxy answers the kubelet's probes. The
// proxy opens it when it has its configuration; until then the kernel would
// answer a probe with a reset, which is an event of the pod. These resets are
// dropped, so that the kubelet's kernel tries again, after a second, within one
// probe.
const ReadinessPort = 15021

// Script is the plan as input for nft(8). Loading it installs exactly the rules
// that redirect/kernel installs, in one transaction. A plan without rules
// removes the table.
func (p Plan) Script() string {
	var b strings.Builder
	// Adding before deleting makes the deletion succeed where there is none.
	fmt.Fprintf(&b, "table %s %s\ndelete table %s %s\n", p.Family, TableName, p.Family, TableName)
	if len(p.Rules) == 0 {
		return b.String()
	}
	fmt.Fprintf(&b, "table %s %s {\n", p.Family, TableName)
	for _, s := range p.Sets {
		s.script(&b)
	}
	fmt.Fprintf(&b, "\tchain %s {\n\t\tmeta l4proto tcp counter redirect to :%d comment \"%s\"\n\t}\n\n",
		ProxyChain, p.ProxyPort, CaptureComment)
	fmt.Fprintf(&b, "\tchain %s {\n\t\ttype nat hook output priority -100; policy accept;\n", OutputChain)
	for _, r := range p.Rules {
		b.WriteString("\t\t" + r.String() + "\n")
	}
	b.WriteString("\t}\n")
	if !p.KeepResets {
		fmt.Fprintf(&b, "\n\tchain %s {\n\t\ttype filter hook output priority 0; policy accept;\n", ResetChain)
		fmt.Fprintf(&b, "\t\ttcp sport %d tcp sequence 0 tcp flags & (fin|syn|rst|ack) == rst|ack counter drop comment \"%s\"\n\t}\n",
			ReadinessPort, ResetComment)
	}
	b.WriteString("}\n")
	return b.String()
}

func (s Set) script(b *strings.Builder) {
	fmt.Fprintf(b, "\tset %s {\n\t\ttype %s\n", s.Name, s.Kind)
	if s.Kind == SetPorts {
		fmt.Fprintf(b, "\t\telements = { %s }\n\t}\n\n", strings.ReplaceAll(s.Ports.String(), ",", ", "))
		return
	}
	b.WriteString("\t\tflags interval\n\t\telements = { ")
	const perLine = 6
	for i, p := range s.Ranges.Prefixes() {
		switch {
		case i > 0 && i%perLine == 0:
			b.WriteString(",\n\t\t\t     ")
		case i > 0:
			b.WriteString(", ")
		}
		b.WriteString(p.String())
	}
	b.WriteString(" }\n\t}\n\n")
}

// String is the rule as a line of an nft script.
func (r Rule) String() string {
	verdict := "return"
	if r.Capture {
		verdict = "goto " + ProxyChain
	}
	s := fmt.Sprintf("counter %s comment %q", verdict, string(r.Reason))
	if m := r.Match.String(); m != "" {
		s = m + " " + s
	}
	return s
}

// String is the condition in nft's syntax; empty when it always matches.
func (m Match) String() string {
	switch m.On {
	case NotTCP:
		return "meta l4proto != tcp"
	case Interface:
		return fmt.Sprintf("oifname %q", nftInterface(m.Interface))
	case UID:
		return fmt.Sprintf("meta skuid %d", m.ID)
	case GID:
		return fmt.Sprintf("meta skgid %d", m.ID)
	case Address:
		if m.Addr.Is4() {
			return "ip daddr " + m.Addr.String()
		}
		return "ip6 daddr " + m.Addr.String()
	case InSet:
		field := map[SetKind]string{SetIPv4: "ip daddr", SetIPv6: "ip6 daddr", SetPorts: "tcp dport"}[m.Set.Kind]
		return field + " @" + m.Set.Name
	}
	return ""
}

// nftInterface replaces the "+" of iptables with the "*" of nft.
func nftInterface(name string) string {
	if prefix, any := strings.CutSuffix(name, "+"); any {
		return prefix + "*"
	}
	return name
}
