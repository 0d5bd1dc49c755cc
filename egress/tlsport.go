package egress

import (
	"fmt"
	"maps"
	"slices"

	networkingv1alpha3 "istio.io/api/networking/v1alpha3"
)

// usuallyTLS reports whether a port is one that servers use for HTTP over TLS: the one of
// HTTPS, or one that IANA lists as HTTPS of a product and others use, too.
func usuallyTLS(port uint32) bool { return slices.Contains([]uint32{443, 6443, 8443, 9443}, port) }

// notePlaintext warns about ports whose protocol and number do not fit: a sidecar
// does not originate TLS, so what it sends to a TLS port as HTTP fails.
func notePlaintext(s *networkingv1alpha3.ServiceEntry, ports []entryPort, r reporter) {
	const rule = "HTTP is sent to this port as plaintext, and servers usually have TLS on it: " + withoutTLS
	const fix = "use port 443 with protocol HTTPS, and https:// in clients"
	plain := map[string]bool{} // names of HTTP ports that clients connect to without TLS
	for _, p := range ports {
		switch at := func(field string) string { return fmt.Sprintf("spec.ports[%d].%s", p.index, field) }; {
		case p.protocol.IsHTTP() && usuallyTLS(p.number):
			r.warn(at("number"), fmt.Sprint(p.number), "servers usually have TLS on this port: https:// requests do not match an HTTP port, and http:// requests are sent as plaintext",
				"use protocol HTTPS, or a port such as 80")
		case p.protocol.IsHTTP():
			plain[p.name] = true
			if p.target != p.number && usuallyTLS(p.target) && !p.isOverridden(s) {
				r.warn(at("targetPort"), fmt.Sprint(p.target), rule, fix)
			}
		case p.protocol == ProtocolTLS && p.number == 80:
			r.warn(at("number"), "80", "clients usually send plaintext to this port: http:// requests do not match a TLS port", "use protocol HTTP, or a port such as 443")
		}
	}
	for i, e := range s.Endpoints {
		for _, name := range slices.Sorted(maps.Keys(e.GetPorts())) {
			if n := e.Ports[name]; plain[name] && usuallyTLS(n) {
				r.warn(fmt.Sprintf("spec.endpoints[%d].ports.%s", i, name), fmt.Sprint(n), rule, fix)
			}
		}
	}
}
