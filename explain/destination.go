package explain

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/outrider-mesh/outrider/egress/decide"
	"github.com/outrider-mesh/outrider/internal/problem"
)

// Destination is what is asked for.
type Destination struct {
	To       string // as it was written
	Host     string // a name in lower case; empty for an address
	Port     uint16 // 0: that of the protocol
	Protocol string // empty: HTTP and TLS
	Path     string // of HTTP requests; empty is /
	// Addresses are those of the host, and From is their source; none: unknown.
	Addresses []netip.Addr
	From      string
}

// Protocols are the values of a destination's protocol.
func Protocols() []string { return []string{decide.HTTP, decide.TLS, decide.TCP} }

// ParseDestination reads HOST or ADDRESS, with :PORT or without.
func ParseDestination(to, protocol string) (Destination, error) {
	d := Destination{To: to, Protocol: protocol}
	if protocol != "" && !slices.Contains(Protocols(), protocol) {
		return d, problem.NotSupported("--protocol", protocol, Protocols()...)
	}
	invalid := func(rule, fix string) error { return problem.Invalid("--to", to, rule, fix) }
	if strings.Contains(to, "/") {
		return d, invalid("not a host or an address", "use HOST[:PORT] or ADDRESS[:PORT], without a scheme and a path")
	}
	host, port := to, ""
	if a, err := netip.ParseAddr(to); err != nil || !a.Is6() { // an IPv6 address without brackets has no port
		if i := strings.LastIndexByte(to, ':'); i >= 0 && !strings.HasSuffix(to, "]") {
			host, port = to[:i], to[i+1:]
			n, err := strconv.ParseUint(port, 10, 16)
			if err != nil || n == 0 {
				return d, problem.Port("--to", port)
			}
			d.Port = uint16(n)
		}
	}
	if a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")); err == nil {
		d.Addresses = []netip.Addr{a.Unmap().WithZone("")}
	} else {
		d.Host = strings.ToLower(strings.TrimSuffix(host, "."))
		if len(validation.IsDNS1123Subdomain(strings.ReplaceAll(d.Host, "_", "-"))) > 0 {
			return d, invalid("not a host name or an address", "use a name such as www.example.com, or an IP address")
		}
	}
	if d.Port == 0 && protocol == decide.TCP {
		return d, invalid("a TCP destination requires a port", "add :PORT")
	}
	return d, nil
}

// defaultPorts are those of the protocols.
var defaultPorts = map[string]uint16{decide.HTTP: 80, decide.TLS: 443}

// protocols are those that are explained.
func (d Destination) protocols() []string {
	if d.Protocol != "" {
		return []string{d.Protocol}
	}
	return []string{decide.HTTP, decide.TLS}
}

func (d Destination) port(protocol string) uint16 {
	if d.Port != 0 {
		return d.Port
	}
	return defaultPorts[protocol]
}

// name is the Host or the SNI that a client sends.
func (d Destination) name(protocol string, a netip.Addr, port uint16) string {
	switch {
	case protocol == decide.TCP, protocol == decide.TLS && d.Host == "":
		return ""
	case protocol == decide.TLS:
		return d.Host
	}
	name := d.Host
	if name == "" {
		if name = a.String(); a.Is6() {
			name = "[" + name + "]"
		}
	}
	if port != defaultPorts[decide.HTTP] {
		name += ":" + strconv.Itoa(int(port))
	}
	return name
}
