package egress_test

import (
	"strings"
	"testing"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/internal/problem"
	"github.com/outrider-mesh/outrider/test/egresstest"
)

// entryIn is a ServiceEntry NAMESPACE/NAME with its spec.
func entryIn(object, spec string) string {
	namespace, name, _ := strings.Cut(object, "/")
	return "\n---\nkind: ServiceEntry\nmetadata: {namespace: " + namespace + ", name: " + name + "}\nspec: {" + spec + "}\n"
}

// TestSharedPorts has entries with one port, and the warnings of each object, which
// name the other one.
func TestSharedPorts(t *testing.T) {
	tcp := func(port, more string) string {
		return entryIn("shop/tcp", `hosts: [tcp.example], ports: [{number: `+port+`, name: tcp, protocol: TCP}], resolution: DNS`+more)
	}
	web := func(object, port, protocol, more string) string {
		return entryIn(object, `hosts: [web.example], ports: [{number: `+port+`, name: web, protocol: `+protocol+`}], resolution: DNS`+more)
	}
	ranged := func(address, port string) string {
		return entryIn("shop/range", `hosts: [range.example], addresses: ["`+address+`"], ports: [{number: `+port+`, name: tcp, protocol: TCP}], resolution: NONE`)
	}
	const (
		toRoot = `ServiceEntry istio-system/web: spec.ports: "8080": ServiceEntry shop/tcp declares the port as TCP without addresses, and receives only requests with its Host`
		toTCP  = "ServiceEntry shop/tcp: spec.addresses: ServiceEntry istio-system/web declares HTTP or TLS on TCP port 8080: requests are matched by Host, TLS by SNI, and servers that send first are not reached; add addresses"
	)
	for name, c := range map[string]struct{ text, want string }{
		"HTTP in the root namespace": {tcp("8080", "") + web("istio-system/web", "8080", "HTTP", ""), toRoot + "\n" + toTCP},
		"TLS in the root namespace":  {tcp("8080", "") + web("istio-system/web", "8080", "TLS", ""), toRoot + "\n" + toTCP},
		"HTTP in another namespace":  {tcp("8080", "") + web("bank/web", "8080", "HTTP", ""), ""},
		"in the same namespace":      {tcp("8080", ", exportTo: [.]") + web("shop/web", "8080", "GRPC", ""), "ServiceEntry shop/tcp: spec.addresses: ServiceEntry shop/web\nServiceEntry shop/web: spec.ports: \"8080\": ServiceEntry shop/tcp"},
		"exported by name":           {tcp("8080", ", exportTo: [bank, .]") + web("bank/web", "8080", "HTTP", ", exportTo: [.]"), `ServiceEntry shop/tcp: spec.ports: "8080": TCP without addresses applies in the namespace of the entry only; add addresses, or set exportTo: ["."]`},
		"not visible together":       {tcp("8080", ", exportTo: [.]") + web("bank/web", "8080", "HTTP", ", exportTo: [.]"), ""},
		"another port":               {tcp("8080", "") + web("bank/web", "8081", "HTTP", ""), ""},
		"with addresses":             {tcp("8080", ", addresses: [198.51.100.7]") + web("bank/web", "8080", "HTTP", ""), ""},
		"a port of HTTP or TLS":      {tcp("443", "") + web("bank/web", "443", "TLS", ""), ""},
		"two TCP hosts on such a port": {tcp("443", "") + entryIn("shop/vault", `hosts: [vault.example], ports: [{number: 443, name: tcp, protocol: TCP}], resolution: DNS`),
			`ServiceEntry shop/vault: spec.addresses: "vault.example": on TCP port 443 only HTTP and TLS are matched, by Host and SNI: without addresses, ServiceEntry shop/tcp takes precedence`},
		"two TCP hosts on another port": {tcp("9000", "") + entryIn("shop/vault", `hosts: [vault.example], ports: [{number: 9000, name: tcp, protocol: TCP}], resolution: DNS`),
			`ServiceEntry shop/vault: spec.addresses: "vault.example": no effect on TCP port 9000: the addresses conflict with ServiceEntry shop/tcp`},
		"two hosts of one entry": {entryIn("shop/two", `hosts: [a.example, b.example], ports: [{number: 9000, name: a, protocol: TCP}, {number: 443, name: b, protocol: TCP}], resolution: DNS`),
			`ServiceEntry shop/two: spec.hosts: "b.example": no effect on TCP port 9000: without addresses all connections go to a.example`},
		"two hosts with the same endpoints": {entryIn("shop/two", `hosts: [a.example, b.example], ports: [{number: 9000, name: a, protocol: TCP}], resolution: STATIC, endpoints: [{address: 192.0.2.1}]`), ""},
		"a range and a name": {ranged("198.51.100.0/24", "80") + web("bank/web", "80", "HTTP", ""),
			`ServiceEntry shop/range: spec.addresses: "198.51.100.0/24": hides the routes of web.example of ServiceEntry bank/web: connections to these addresses on port 80 are not matched by Host or SNI`},
		"a range of the root namespace": {strings.Replace(ranged("198.51.100.0/24", "80"), "shop", "istio-system", 1) + web("bank/web", "80", "HTTP", ""),
			`ServiceEntry bank/web: spec.ports: "80": routes of web.example do not apply to connections to 198.51.100.0/24: ServiceEntry istio-system/range declares these addresses as TCP` + "\n" + `ServiceEntry istio-system/range: spec.addresses: "198.51.100.0/24": hides the routes`},
		"a range that only its namespace sees": {ranged("198.51.100.0/24", "80") + web("bank/web", "80", "HTTP", ", exportTo: [.]"), ""},
		"a single address and a name":          {ranged("198.51.100.7", "80") + web("bank/web", "80", "HTTP", ""), ""},
		"a range and other endpoints":          {ranged("198.51.100.0/24", "80") + entryIn("bank/web", `hosts: [web.example], ports: [{number: 80, name: h, protocol: HTTP}], resolution: STATIC, endpoints: [{address: 192.0.2.1}]`), ""},
		"a single address, and an endpoint": {ranged("192.0.2.1", "80") + entryIn("bank/web", `hosts: [web.example], ports: [{number: 80, name: h, protocol: GRPC}], resolution: STATIC, endpoints: [{address: 192.0.2.1}]`),
			`ServiceEntry shop/range: spec.addresses: "192.0.2.1/32": hides the routes of web.example`},
		"a range, and an address": {ranged("2001:db8::/32", "80") + entryIn("bank/web", `hosts: [web.example], addresses: ["2001:db8::7"], ports: [{number: 80, name: h, protocol: HTTP}], resolution: STATIC, endpoints: [{address: 192.0.2.1}]`),
			`ServiceEntry shop/range: spec.addresses: "2001:db8::/32": hides the routes of web.example`},
		"a range and TLS": {ranged("198.51.100.0/24", "443") + web("bank/web", "443", "TLS", ""), ""},
		"a range and TLS with routes": {ranged("198.51.100.0/24", "443") + web("shop/web", "443", "TLS", "") +
			"\n---\nkind: VirtualService\nmetadata: {namespace: shop, name: v}\nspec: {hosts: [web.example], tls: [{match: [{sniHosts: [web.example]}], route: [{destination: {host: web.example}}]}]}\n",
			`ServiceEntry shop/range: spec.addresses: "198.51.100.0/24": hides the routes of web.example of ServiceEntry shop/web` + "\n" + `ServiceEntry shop/web: spec.ports: "443": routes of web.example do not apply`},
		"a range of another port":     {ranged("198.51.100.0/24", "81") + web("bank/web", "80", "HTTP", ""), ""},
		"a range that is not visible": {entryIn("shop/range", `hosts: [r.example], addresses: [198.51.100.0/24], ports: [{number: 80, name: t, protocol: TCP}], exportTo: [.]`) + web("bank/web", "80", "HTTP", ", exportTo: [gym]"), ""},
		"a range on an HTTP port": {entryIn("shop/range", `hosts: [a.example], addresses: [198.51.100.0/24, 198.51.100.7, 198.51.100.7/32], ports: [{number: 80, name: a, protocol: HTTP}], resolution: DNS`),
			`ServiceEntry shop/range: spec.addresses: "198.51.100.0/24": no effect on HTTP port 80: requests are matched by Host`},
		"a range of mapped addresses": {ranged("::ffff:192.0.2.0/120", "80") + entryIn("bank/web", `hosts: [web.example], ports: [{number: 80, name: h, protocol: HTTP}], resolution: STATIC, endpoints: [{address: 192.0.2.1}]`),
			`ServiceEntry shop/range: spec.addresses: "192.0.2.0/24": hides the routes of web.example`},
		"ranges on HTTP ports": {entryIn("shop/range", `hosts: [a.example], addresses: [198.51.100.0/24, "2001:db8::/32", 10.0.0.0/8, 198.51.100.7], ports: [{number: 80, name: a, protocol: HTTP}, {number: 8080, name: b, protocol: GRPC}], resolution: DNS`),
			`ServiceEntry shop/range: spec.addresses: "198.51.100.0/24": no effect on HTTP port 80: requests are matched by Host, which is not compared with ranges (and 2 more)` + "\n" +
				`ServiceEntry shop/range: spec.addresses: "198.51.100.0/24": no effect on HTTP port 8080`},
		"a local address of an HTTP port": {entryIn("shop/local", `hosts: [a.example], addresses: [127.0.0.1, 169.254.169.254], ports: [{number: 80, name: a, protocol: HTTP}], resolution: NONE`),
			"ServiceEntry shop/local: spec.addresses[0]: \"127.0.0.1\": loopback\nServiceEntry shop/local: spec.addresses[1]: \"169.254.169.254\": a cloud's metadata\nServiceEntry shop/local: spec.addresses: \"127.0.0.1\": no effect on HTTP port 80: loopback and link-local addresses are not allowed\nServiceEntry shop/local: spec.addresses: \"169.254.169.254\": no effect"},
		"an address of two entries": {entryIn("shop/one", `hosts: [a.example, c.example], addresses: [198.51.100.7], ports: [{number: 80, name: a, protocol: HTTP}, {number: 443, name: t, protocol: TLS}], resolution: DNS`) +
			entryIn("shop/two", `hosts: [b.example], addresses: [198.51.100.7], ports: [{number: 80, name: a, protocol: HTTP}, {number: 443, name: t, protocol: TLS}], resolution: DNS`),
			"ServiceEntry shop/two: spec.addresses: \"198.51.100.7\": no effect on port 80: conflicts with ServiceEntry shop/one\nServiceEntry shop/two: spec.addresses: \"b.example\": no effect on TLS without SNI on port 443: the addresses conflict with ServiceEntry shop/one"},
	} {
		t.Run(name, func(t *testing.T) {
			_, problems := egress.Build(egresstest.Parse(t, "accessLogFile: /dev/stdout\n"+c.text))
			var want []string
			if c.want != "" {
				want = strings.Split(c.want, "\n")
			}
			if len(problems) != len(want) {
				t.Fatalf("problems %v, want %q", problems, want)
			}
			for i, p := range problems {
				if !strings.HasPrefix(p.String(), want[i]) || p.Severity != problem.Warning {
					t.Errorf("problem %q, want %q", p, want[i])
				}
			}
		})
	}
}
