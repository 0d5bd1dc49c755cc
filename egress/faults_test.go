package egress_test

import (
	"strings"
	"testing"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/internal/problem"
	"github.com/outrider-mesh/outrider/test/egresstest"
)

// fault is the spec of an object of its kind, shop/e or shop/v, and the beginnings
// of its problems with their severity, one a line.
type fault struct{ name, kind, spec, want string }

func entryFault(name, spec, want string) fault {
	return fault{name, egress.KindServiceEntry, spec, want}
}

func routeFault(name, spec, want string) fault {
	return fault{name, egress.KindVirtualService, spec, want}
}

// web is an entry with one HTTP port and more fields.
func web(fields string) string {
	return `{hosts: [e.example], ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS, ` + fields + `}`
}

// fixed is an entry with some ports, and one endpoint with more fields.
func fixed(ports, endpoint string) string {
	return `{hosts: [e.example], ports: [` + ports + `], resolution: STATIC, endpoints: [{address: 192.0.2.1, ` + endpoint + `}]}`
}

const httpPort = `{number: 80, name: http, protocol: HTTP}`

func portNameFaults() []fault {
	two := func(a, b string) string {
		return `{hosts: [e.example], resolution: DNS, ports: [{number: 80, name: ` + a + `, protocol: HTTP}, {number: 81, name: ` + b + `, protocol: HTTP}]}`
	}
	return []fault{
		entryFault("endpoint port", fixed(httpPort, `ports: {http: 8080}`), ""),
		entryFault("no such port", fixed(httpPort, `ports: {htpp: 8080}`), `error: spec.endpoints[0].ports.htpp: "8080": no port in spec.ports has the name "htpp"; did you mean "http"?`),
		entryFault("by DNS", web(`endpoints: [{address: a.example, ports: {web: 8080}}]`), `error: spec.endpoints[0].ports.web: "8080": no port in spec.ports has the name "web"; use http`),
		entryFault("other capitals", fixed(httpPort, `ports: {HTTP: 8080}`), `error: spec.endpoints[0].ports.HTTP: "8080": no port in spec.ports has the name "HTTP"; did you mean "http"?`),
		entryFault("the number as name", fixed(httpPort, `ports: {"80": 8080}`), `error: spec.endpoints[0].ports.80: "8080": no port in spec.ports has the name "80"; use http`),
		entryFault("the protocol as name", fixed(`{number: 80, name: web, protocol: HTTP}`, `ports: {http: 8080}`), `error: spec.endpoints[0].ports.http: "8080": no port in spec.ports has the name "http"; use web`),
		entryFault("some", fixed(httpPort, `ports: {http: 8080, b: 1, a: 2}`), "error: spec.endpoints[0].ports.a: \"2\": no port\nerror: spec.endpoints[0].ports.b: \"1\": no port"),
		entryFault("port 0", fixed(httpPort, `ports: {http: 0}`), `error: spec.endpoints[0].ports.http: "0": port number must be in the range 1..65535`),
		entryFault("a wrong port is still one", fixed(`{number: 0, name: http, protocol: HTTP}`, `ports: {http: 1}`), `error: spec.ports[0].number: "0"`),
		entryFault("one name", two("http", "http"), `error: spec.ports[1].name: "http": duplicate port name, also in spec.ports[0]; give each port a name of its own`),
		entryFault("no names", two(`""`, `""`), "error: spec.ports[0].name: required; give each port a name\nerror: spec.ports[1].name: required"),
		entryFault("one without", two(`http`, `""`), "error: spec.ports[1].name: required"),
		entryFault("an underscore", two(`http`, `http_2`), `error: spec.ports[1].name: "http_2": invalid port name`),
		entryFault("a blank", web(`exportTo: ["."], ports: [{number: 80, name: "http ", protocol: HTTP}]`), `error: spec.ports[0].name: "http ": invalid port name`),
		entryFault("a socket", fixed(httpPort, `address: "unix:///run/a.sock"`), `error: spec.endpoints[0].address: "unix:///run/a.sock": Unix domain sockets are not supported`),
		entryFault("no address", `{hosts: [e.example], ports: [`+httpPort+`], resolution: STATIC, endpoints: [{weight: 1}]}`, "error: spec.endpoints[0].address: required"),
	}
}

func exportFaults() []fault {
	const rule = `must be ".", "*" or the name of a namespace; `
	one := func(name, exportTo, want string) []fault {
		return []fault{
			entryFault(name, web(`exportTo: [`+exportTo+`]`), want),
			routeFault(name, `{hosts: [a.example], exportTo: [`+exportTo+`], http: [{route: [{destination: {host: a.example}}]}]}`, want),
		}
	}
	var out []fault
	for _, c := range [][3]string{
		{"all", `"*"`, ""}, {"own", `"."`, ""}, {"names", `a, "1", b-2`, ""}, {"own and another", `".", a`, ""},
		{"a Sidecar's own", `"./*"`, `error: spec.exportTo[0]: "./*": ` + rule + `use "." for the namespace of the object, or "*" for all`},
		{"a Sidecar's all", `"*/*"`, `error: spec.exportTo[0]: "*/*": ` + rule + `use "." for the namespace of the object, or "*" for all`},
		{"a Sidecar's one", `"bank/*"`, `error: spec.exportTo[0]: "bank/*": ` + rule + `use "bank"`},
		{"a pattern", `"team-*"`, `error: spec.exportTo[0]: "team-*": ` + rule + `list the namespaces by name`},
		{"capitals and a blank", `"Shop "`, `error: spec.exportTo[0]: "Shop ": ` + rule + `use "shop"`},
		{"empty", `""`, `error: spec.exportTo[0]: ` + rule + `use "." for`},
		{"a list in one", `"a,b"`, `error: spec.exportTo[0]: "a,b": ` + rule},
		{"a host", `a.svc.cluster.local`, `error: spec.exportTo[0]: "a.svc.cluster.local": ` + rule},
		{"an underscore", `a_b`, `error: spec.exportTo[0]: "a_b": ` + rule},
		{"two of them", `a_b, "", c`, "error: spec.exportTo[0]: \"a_b\"\nerror: spec.exportTo[1]: must"},
		{"all and own", `".", "*"`, `error: spec.exportTo[1]: "*": cannot be combined with other values; use "*" alone for all namespaces, or list`},
		{"all first", `"*", a`, `error: spec.exportTo[0]: "*": cannot be combined with other values`},
		{"nobody and own", `"~", "."`, `error: spec.exportTo[0]: "~": cannot be combined with other values; use "~" alone for no namespace, or remove it`},
		{"all twice", `"*", "*"`, `error: spec.exportTo[0]: "*": cannot be combined with other values`},
		{"all and nobody", `"*", "~"`, `error: spec.exportTo[0]: "*": cannot be combined with other values`},
		{"twice", `a, a`, `error: spec.exportTo[1]: "a": duplicate namespace a`},
		{"own twice", `".", shop`, `error: spec.exportTo[1]: "shop": duplicate namespace shop`},
	} {
		out = append(out, one(c[0], c[1], c[2])...)
	}
	nobody := one("nobody", `"~"`, `warning: spec.exportTo[0]: "~": no effect: no namespace sees this ServiceEntry`)
	nobody[1].want = `error: spec.exportTo[0]: "~": only a ServiceEntry can be exported to no namespace; use "." for its own namespace`
	return append(out, nobody...)
}

func plaintextFaults() []fault {
	const tls, http = `servers usually have TLS on this port: `, `HTTP is sent to this port as plaintext, and servers usually have TLS on it`
	port := func(fields string) string {
		return `{hosts: [e.example], resolution: DNS, ports: [{name: http, ` + fields + `}]}`
	}
	to := func(destination string) string {
		return `{hosts: [a.example], http: [{route: [{destination: {host: ` + destination + `}}]}]}`
	}
	return []fault{
		entryFault("HTTP on 443", port(`number: 443, protocol: HTTP`), `warning: spec.ports[0].number: "443": `+tls),
		entryFault("by name", port(`number: 443`), `warning: spec.ports[0].number: "443": `+tls),
		entryFault("gRPC on 443", port(`number: 443, protocol: GRPC`), `warning: spec.ports[0].number: "443": `+tls),
		entryFault("HTTP on 8443", port(`number: 8443, protocol: HTTP`), `warning: spec.ports[0].number: "8443": `+tls),
		entryFault("HTTP from 443 to 80", port(`number: 443, protocol: HTTP, targetPort: 80`), `warning: spec.ports[0].number: "443": `+tls),
		entryFault("HTTPS on 443", port(`number: 443, protocol: HTTPS`), ""),
		entryFault("HTTP on 8080", port(`number: 8080, protocol: HTTP`), ""),
		entryFault("HTTPS on 80", port(`number: 80, protocol: HTTPS`), `warning: spec.ports[0].number: "80": clients usually send plaintext`),
		entryFault("target 443", port(`number: 80, protocol: HTTP, targetPort: 443`), `warning: spec.ports[0].targetPort: "443": `+http),
		entryFault("target 443 of HTTPS", port(`number: 8443, protocol: HTTPS, targetPort: 443`), ""),
		entryFault("target 443 of HTTP/2", port(`number: 80, protocol: HTTP2, targetPort: 443`), `warning: spec.ports[0].targetPort: "443": `+http),
		entryFault("endpoint 443", fixed(httpPort, `ports: {http: 443}`), `warning: spec.endpoints[0].ports.http: "443": `+http),
		entryFault("target that no endpoint has", fixed(`{number: 80, name: http, protocol: HTTP, targetPort: 443}`, `ports: {http: 8080}`), `warning: spec.ports[0].targetPort: "443": no effect: all endpoints have a port of their own for it`),
		entryFault("target of the original destination", `{hosts: [e.example], addresses: [198.51.100.7], ports: [{number: 9001, name: tcp, protocol: TCP, targetPort: 9002}]}`, `warning: spec.ports[0].targetPort: "9002": no effect: TCP with resolution NONE goes to the original destination`),
		entryFault("wildcard", `{hosts: ["*.example.com"], ports: [{number: 443, name: http, protocol: HTTP}]}`, `warning: spec.ports[0].number: "443": `+tls),
		routeFault("route to 443", to(`plain.example, port: {number: 443}`), `warning: spec.http[0].route[0].destination: "plain.example": HTTP is sent to port 443 as plaintext`),
		routeFault("route to a target of 443", to(`plain.example, port: {number: 80}`), `warning: spec.http[0].route[0].destination: "plain.example": HTTP is sent to port 443 as plaintext`),
		routeFault("route to an endpoint on 8443", to(`plain.example, port: {number: 81}`), `warning: spec.http[0].route[0].destination: "plain.example": HTTP is sent to port 8443 as plaintext`),
		routeFault("mirror to 443", `{hosts: [a.example], http: [{route: [{destination: {host: a.example}}], mirror: {host: plain.example, port: {number: 443}}}]}`, `warning: spec.http[0].mirror: "plain.example": HTTP is sent to port 443 as plaintext`),
		routeFault("route to 443 of TLS", to(`tls.example, port: {number: 443}`), `error: spec.http[0].route[0].destination: "tls.example": destination port 443 is not HTTP`),
		routeFault("route to 8080", to(`plain.example, port: {number: 8080}`), ""),
	}
}

// plain declares HTTP on ports where servers have TLS.
const plain = `
---
kind: ServiceEntry
metadata: {namespace: shop, name: plain}
spec:
  hosts: [plain.example]
  ports: [{number: 443, name: a, protocol: HTTP}, {number: 80, name: b, protocol: HTTP, targetPort: 443}, {number: 81, name: c, protocol: HTTP}, {number: 8080, name: d, protocol: HTTP}]
  resolution: STATIC
  endpoints: [{address: 192.0.2.1, ports: {c: 8443}}]
`

// TestFaults has objects as people write them, among valid ones.
func TestFaults(t *testing.T) {
	for _, group := range [][]fault{portNameFaults(), exportFaults(), plaintextFaults(), gatewayFaults(), routeFaults(), rewriteFaults(), hostFaults(), ordinaryObjects()} {
		for _, c := range group {
			t.Run(c.kind+" "+c.name, func(t *testing.T) { checkFault(t, c) })
		}
	}
}

func checkFault(t *testing.T, c fault) {
	t.Helper()
	text, source := egresstest.EntryText(c.spec), "ServiceEntry shop/e"
	if c.kind == egress.KindVirtualService {
		text, source = egresstest.RouteText(c.spec), "VirtualService shop/v"
	}
	m, all := egress.Build(egresstest.Parse(t, text+world+plain))
	problems := all.From(source)
	want := strings.Split(c.want, "\n")
	if c.want == "" {
		want = nil
	}
	if len(problems) != len(want) {
		t.Fatalf("problems\n%v\nwant\n%s", problems, c.want)
	}
	for i, p := range problems {
		if got := p.Severity.String() + ": " + p.Finding(); !strings.HasPrefix(got, want[i]) || p.Fix == "" {
			t.Errorf("problem\n%s\nwant\n%s\nand a fix", got, want[i])
		}
		if n := len(p.String()); p.Severity == problem.Warning && n > maxWarning {
			t.Errorf("a warning of %d bytes is cut by the API server: %s", n, p)
		}
	}
	egresstest.Make(t, m.View("shop"))
}

// maxWarning is what the API server forwards of a warning, at least.
const maxWarning = 256
