package egresstest

import (
	"fmt"
	"net/netip"

	"github.com/outrider-mesh/outrider/egress/decide"
)

// PortKinds are ways to declare a port: what an entry has beside its host.
func PortKinds() map[string]string {
	return map[string]string{
		"nothing": "", "TCP": "TCP", "TCP with addresses": "TCP", "TLS": "TLS", "TLS with addresses": "TLS", "HTTP": "HTTP",
	}
}

// The addresses that entries of shop and bank have.
var portAddresses = map[string]string{"shop": "203.0.113.10", "bank": "203.0.113.20"}

// PortEntry is an entry of a namespace that declares a port in one of the ways, for the
// host api.NAMESPACE.test.
func PortEntry(namespace, kind string, port uint16) string {
	if kind == "nothing" {
		return ""
	}
	addresses := ""
	if kind != PortKinds()[kind] {
		addresses = ", addresses: [" + portAddresses[namespace] + "]"
	}
	return fmt.Sprintf("\n---\nkind: ServiceEntry\nmetadata: {namespace: %s, name: e}\nspec: {hosts: [api.%[1]s.test], ports: [{number: %d, name: p, protocol: %s}], resolution: DNS%s}\n",
		namespace, port, PortKinds()[kind], addresses)
}

// PortRequests are requests of a namespace to a port, other than to the host and the
// address of another one.
func PortRequests(namespace string, port uint16) []decide.Request {
	var out []decide.Request
	for _, address := range []string{portAddresses[namespace], "203.0.113.99"} {
		at := netip.MustParseAddr(address)
		out = append(out, decide.Request{Address: at, Port: port, Protocol: decide.TCP})
		for _, name := range []string{"api." + namespace + ".test", "undeclared.test", ""} {
			out = append(out, decide.Request{Address: at, Port: port, Protocol: decide.TLS, ServerName: name, Method: "GET", Authority: "x", Path: "/"})
			if name != "" {
				out = append(out, decide.Request{Address: at, Port: port, Protocol: decide.HTTP, Method: "GET", Authority: name, Path: "/"})
			}
		}
	}
	return out
}
