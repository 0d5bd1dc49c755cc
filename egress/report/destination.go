package report

import (
	"cmp"
	"net/netip"
	"strings"
	"time"
)

// Workload is what a pod belongs to: its controller, or the pod itself.
type Workload struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
}

func (w Workload) String() string { return w.Kind + "/" + w.Name }

func compareWorkloads(a, b Workload) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
}

// Protocol is how a destination was identified.
type Protocol string

// The protocols.
const (
	HTTP Protocol = "HTTP" // by its Host
	TLS  Protocol = "TLS"  // by its SNI
	TCP  Protocol = "TCP"  // by its address
)

// Verdict is what happened to a connection or request.
type Verdict string

// The verdicts.
const (
	Passthrough Verdict = "passthrough" // not declared, and forwarded
	Blocked     Verdict = "blocked"     // not declared, and rejected
	Allowed     Verdict = "allowed"     // declared
)

// Verdicts lists the verdicts.
func Verdicts() []Verdict { return []Verdict{Passthrough, Blocked, Allowed} }

// Destination identifies what is counted together.
type Destination struct {
	// Host is the SNI, the Host, or an address; of an allowed one the host of the
	// ServiceEntry, which may be *.example.com, or the name of the Service.
	Host     string   `json:"host"`
	Port     uint16   `json:"port"`
	Protocol Protocol `json:"protocol"`
	Verdict  Verdict  `json:"verdict"`
	// Rule decided: allow_any or block_all (outboundTrafficPolicy), block_port (a Host
	// with another port than the declared one), or the ServiceEntry as NAMESPACE/NAME, or
	// the Service of the cluster as "Service NAMESPACE/NAME".
	Rule string `json:"rule,omitempty"`
}

func compareDestinations(a, b Destination) int {
	return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.Port, b.Port), cmp.Compare(a.Protocol, b.Protocol),
		cmp.Compare(a.Verdict, b.Verdict), cmp.Compare(a.Rule, b.Rule))
}

// Counts are those of a destination.
type Counts struct {
	First         time.Time `json:"firstSeen"`
	Last          time.Time `json:"lastSeen"`
	Connections   uint64    `json:"connections,omitempty"`
	Requests      uint64    `json:"requests,omitempty"`
	BytesSent     uint64    `json:"bytesSent,omitempty"`
	BytesReceived uint64    `json:"bytesReceived,omitempty"`
}

// add adds counts of the same destination.
func (c *Counts) add(o Counts) {
	if c.First.IsZero() || !o.First.IsZero() && o.First.Before(c.First) {
		c.First = o.First
	}
	if o.Last.After(c.Last) {
		c.Last = o.Last
	}
	c.Connections = sum(c.Connections, o.Connections)
	c.Requests = sum(c.Requests, o.Requests)
	c.BytesSent = sum(c.BytesSent, o.BytesSent)
	c.BytesReceived = sum(c.BytesReceived, o.BytesReceived)
}

// maxCount is the largest integer that JSON readers represent exactly, and within
// int64, which the object's schema has.
const maxCount = 1<<53 - 1

// sum saturates: a sidecar may report any number.
func sum(a, b uint64) uint64 {
	a, b = min(a, maxCount), min(b, maxCount)
	return min(a+b, maxCount)
}

// maxHost is the length of a DNS name.
const maxHost = 253

// CleanHost returns a Host or SNI as it is reported: in lower case, without a port and a
// final dot. It is "" for what is neither a DNS name nor an address.
func CleanHost(text string) string {
	if len(text) > maxHost+len(".:65535") {
		return ""
	}
	if mayBeAddress(text) {
		if a, err := netip.ParseAddr(strings.Trim(text, "[]")); err == nil {
			return a.Unmap().WithZone("").String()
		}
		if a, err := netip.ParseAddrPort(text); err == nil {
			return a.Addr().Unmap().WithZone("").String()
		}
	}
	host, port, found := strings.Cut(text, ":")
	if found && (len(port) > 5 || strings.Trim(port, "0123456789") != "") {
		return ""
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if !isName(host) {
		return ""
	}
	return host
}

// IsAddress reports whether a text is an address without a port.
func IsAddress(text string) bool {
	if !mayBeAddress(text) {
		return false
	}
	_, err := netip.ParseAddr(text)
	return err == nil
}

// mayBeAddress is false for most names: the error of a parser takes memory for each of them.
func mayBeAddress(text string) bool {
	if text == "" {
		return false
	}
	last := text[len(text)-1]
	return last >= '0' && last <= '9' || last == ']' || strings.Contains(text, ":")
}

// isName reports whether a text is a DNS name. Underscores are in names that exist.
func isName(host string) bool {
	if host == "" || len(host) > maxHost {
		return false
	}
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			c := label[i]
			if c != '-' && c != '_' && (c < 'a' || c > 'z') && (c < '0' || c > '9') {
				return false
			}
		}
	}
	return true
}
