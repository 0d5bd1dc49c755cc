package egress_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/egress/decide"
	"github.com/outrider-mesh/outrider/internal/problem"
	"github.com/outrider-mesh/outrider/test/egresstest"
)

// world is what the routes below are about.
const world = `
---
kind: ServiceEntry
metadata: {namespace: shop, name: a}
spec: {hosts: [a.example, b.example], ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS}

---
kind: ServiceEntry
metadata: {namespace: shop, name: tls}
spec: {hosts: [tls.example, b.tls.example], ports: [{number: 443, name: tls, protocol: HTTPS}], resolution: DNS}

---
kind: ServiceEntry
metadata: {namespace: shop, name: wild}
spec: {hosts: ["*.wild.example"], ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}], resolution: NONE}

---
kind: ServiceEntry
metadata: {namespace: shop, name: open}
spec: {hosts: [open.example], addresses: [198.51.100.0/24], ports: [{number: 9000, name: tcp, protocol: TCP}], resolution: NONE}

---
kind: ServiceEntry
metadata: {namespace: shop, name: several}
spec: {hosts: [several.example], ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS, endpoints: [{address: one.example}, {address: two.example}]}
`

// routeProblem is the spec of a VirtualService, with a part of each of its
// problems, one a line.
type routeProblem struct{ spec, want string }

// route is a spec with one route to a.example that has more fields.
func route(fields string) string {
	return `{hosts: [a.example], http: [{` + fields + `, route: [{destination: {host: a.example}}]}]}`
}

func match(fields string) string { return route(`match: [{` + fields + `}]`) }

func sni(fields string) string {
	return `{hosts: [tls.example, "*.wild.example"], tls: [{` + fields + `}]}`
}

const toTLS = `route: [{destination: {host: tls.example}}]`

func routeProblems() map[string]routeProblem {
	return map[string]routeProblem{
		"good":       {route(`timeout: 3s`), ""},
		"no hosts":   {`{http: [{route: [{destination: {host: a.example}}]}]}`, "spec.hosts: virtual service must have at least one host"},
		"bad host":   {`{hosts: ["a b"], http: [{route: [{destination: {host: a.example}}]}]}`, `spec.hosts[0]: "a b": invalid DNS name`},
		"host twice": {`{hosts: [a.example, A.example], http: [{route: [{destination: {host: a.example}}]}]}`, "spec.hosts[1]: \"A.example\": duplicate host"},
		"no routes":  {`{hosts: [a.example]}`, "spec.http: http, tcp or tls must be provided in virtual service"},
		"tcp":        {`{hosts: [a.example], tcp: [{}]}`, "spec.tcp: TCP routes are not supported"},
		"gateway":    {`{hosts: [a.example], gateways: [g], http: [{route: [{destination: {host: a.example}}]}]}`, `spec.gateways[0]: "g": no effect`},
		"undeclared": {`{hosts: [c.example], http: [{route: [{destination: {host: a.example}}]}]}`, `spec.hosts[0]: "c.example": no effect: no visible ServiceEntry`},
		"delegate":   {`{hosts: [a.example], http: [{delegate: {name: d}}]}`, "spec.http[0].delegate: not supported"},
		"two kinds":  {route(`directResponse: {status: 200}`), "spec.http[0]: exactly one of"},
		"unreached":  {`{hosts: [a.example], http: [{route: [{destination: {host: a.example}}]}, {route: [{destination: {host: b.example}}]}]}`, "spec.http[1]: unreachable: spec.http[0] matches all requests"},
		"short":      {route(`timeout: 0.0001s`), `spec.http[0].timeout: "100µs": duration must be at least 1ms`},
		"long":       {route(`timeout: 40000000s`), `spec.http[0].timeout: "40000000s": duration must be at most 8760h`},
		"negative":   {route(`timeout: -1s`), `spec.http[0].timeout: "-1s": duration must be at least 1ms`},
		"line":       {route(`name: "a\nb"`), "spec.http[0].name: \"a\\nb\": must not contain line breaks"},
	}
}

func matchAndHeaderProblems() map[string]routeProblem {
	return map[string]routeProblem{
		"labels":        {match(`sourceLabels: {a: b}`), "spec.http[0].match[0].sourceLabels: not supported"},
		"namespace":     {match(`sourceNamespace: x`), `spec.http[0].match[0].sourceNamespace: "x": not supported`},
		"stat prefix":   {match(`statPrefix: x`), `spec.http[0].match[0].statPrefix: "x": no effect`},
		"no condition":  {match(`uri: {}`), "spec.http[0].match[0].uri: empty match"},
		"relative":      {match(`uri: {prefix: api}`), `spec.http[0].match[0].uri: "api": path must start with "/"; use /api`},
		"query":         {match(`uri: {exact: "/a?b"}`), `spec.http[0].match[0].uri: "/a?b": query strings are not matched`},
		"regex":         {match(`uri: {regex: "/("}`), `spec.http[0].match[0].uri.regex: "/(": error parsing regexp`},
		"regex size":    {match(`uri: {regex: "/((a{100}){100}){100}"}`), "spec.http[0].match[0].uri.regex: \"/((a{100}){100}){100}\": "},
		"regex classes": {match(`uri: {regex: "/\\pL{900}"}`), "spec.http[0].match[0].uri.regex: \"/\\\\pL{900}\": regex program too large"},
		"regex case":    {match(`uri: {regex: /a}, ignoreUriCase: true`), `spec.http[0].match[0].uri: "/a": ignoreUriCase has no effect`},
		"case alone":    {match(`ignoreUriCase: true`), "spec.http[0].match[0].ignoreUriCase: no effect: uri is not set"},
		"pseudo header": {match(`headers: {":authority": {exact: a.example}, ":Path": {exact: /}}, withoutHeaders: {":method": {}, ":scheme": {exact: http}}`),
			"spec.http[0].match[0].headers.:Path: \":Path\": pseudo-headers have fields of their own; use the field uri\n" +
				"spec.http[0].match[0].headers.:authority: \":authority\": pseudo-headers have fields of their own; use the field authority\n" +
				"spec.http[0].match[0].withoutHeaders.:method: \":method\": pseudo-headers have fields of their own; use the field method\n" +
				"spec.http[0].match[0].withoutHeaders.:scheme: \":scheme\": pseudo-headers have fields of their own; use the field scheme"},
		"pseudo field":      {match(`headers: {authority: {exact: a.example}, Method: {exact: GET}}`), "spec.http[0].match[0].headers.Method: \"Method\": compares a header of this name, which requests do not have: pseudo-headers have fields of their own; use the field method\nspec.http[0].match[0].headers.authority: no effect: pseudo-headers have fields of their own; use the field authority"},
		"prefix with a dot": {match(`authority: {prefix: a.example.}, headers: {host: {prefix: A.example.}}`), "spec.http[0].match[0].authority.prefix: \"a.example.\": never matches: the final dot\nspec.http[0].match[0].headers.host.prefix: \"A.example.\": never matches"},
		"prefix of a label": {match(`authority: {prefix: a.}`), ""},
		"final dot":         {match(`authority: {exact: a.example.}, headers: {Host: {exact: a.example.}, x: {exact: a.}}`), "spec.http[0].match[0].authority.exact: \"a.example.\": never matches: the final dot\nspec.http[0].match[0].headers.Host.exact: \"a.example.\": never matches"},
		"pseudo set":        {route(`headers: {request: {set: {":path": /x}}}`), `spec.http[0].headers.request.set.:path: ":path": header cannot be modified; use rewrite.uri`},
		"other pseudo":      {match(`headers: {":status": {exact: "200"}}`), `spec.http[0].match[0].headers.:status: ":status": invalid header name`},
		"own header":        {match(`headers: {X-Outrider-Cluster: {}}`), "header is reserved by the sidecar"},
		"own header set":    {route(`headers: {request: {set: {x-outrider-cluster: x}}}`), "header is reserved by the sidecar"},
		"host":              {match(`headers: {Host: {exact: a.example}}, withoutHeaders: {host: {exact: b.example}}`), ""},
		"header name":       {route(`headers: {request: {set: {? ` + strings.Repeat("a", 70000) + ` : x}}}`), strings.Repeat("a", 200) + "…: \"" + strings.Repeat("a", 80) + "…\": header cannot be modified; use a name such as x-api, of at most 1024 characters"},
		"header length":     {route(`headers: {request: {set: {x: "%PROTOCOL:5%"}}}`), `"%PROTOCOL:5%": %PROTOCOL% does not accept a length; use %% for`},
		"header opaque":     {route(`headers: {request: {set: {x: "%CEL(1 +)%"}}}`), `spec.http[0].headers.request.set.x: "%CEL(1 +)%": %CEL% is not allowed in headers: it is not about the request; use`},
		"header secret":     {route(`headers: {request: {set: {x: "a %ENVIRONMENT(POD_NAME)%"}}}`), `spec.http[0].headers.request.set.x: "a %ENVIRONMENT(POD_NAME)%": %ENVIRONMENT% is not allowed in headers`},
		"header sign":       {route(`headers: {request: {set: {x: "100% y"}}}`), "invalid command operator"},
		"header REQ":        {route(`headers: {request: {set: {x: "%REQ%"}}}`), "invalid arguments of %REQ()%: use the form %REQ(X-API)%"},
		"header value":      {route(`headers: {request: {set: {x: "a\r\nb"}}}`), "must not contain line breaks"},
		"dest header":       {`{hosts: [a.example], http: [{route: [{destination: {host: a.example}, headers: {request: {remove: [host]}}}]}]}`, "spec.http[0].route[0].headers.request.remove[0]: \"host\": Host supports only"},
	}
}

func faultProblems() map[string]routeProblem {
	return map[string]routeProblem{
		"fault":         {route(`fault: {}`), "spec.http[0].fault: must set delay or abort"},
		"delay":         {route(`fault: {delay: {percentage: {value: 101}}}`), "spec.http[0].fault.delay.fixedDelay: required\nspec.http[0].fault.delay.percentage.value: \"101\": must be in the range 0..100"},
		"exponential":   {route(`fault: {delay: {percentage: {value: 1}, exponentialDelay: 1s}}`), "spec.http[0].fault.delay.exponentialDelay: not supported"},
		"no percentage": {route(`fault: {delay: {fixedDelay: 1s}, abort: {httpStatus: 500}}`), "spec.http[0].fault.delay.percentage: percentage is required\nspec.http[0].fault.abort.percentage: percentage is required"},
		"abort status":  {route(`fault: {abort: {percentage: {value: 1}, httpStatus: 99}}`), `spec.http[0].fault.abort.httpStatus: "99": HTTP status must be in the range 200..599`},
		"abort grpc":    {route(`fault: {abort: {percentage: {value: 1}, grpcStatus: "NO"}}`), `spec.http[0].fault.abort.grpcStatus: "NO": unknown gRPC status`},
		"abort http2":   {route(`fault: {abort: {percentage: {value: 1}, http2Error: "NO"}}`), `spec.http[0].fault.abort.http2Error: "NO": not supported`},
	}
}

func mirrorProblems() map[string]routeProblem {
	return map[string]routeProblem{
		"mirror share":   {route(`mirror: {host: b.example}, mirrorPercentage: {value: -1}`), `spec.http[0].mirrorPercentage.value: "-1"`},
		"mirror percent": {route(`mirror: {host: b.example}, mirrorPercent: 101`), `spec.http[0].mirrorPercent: "101": must be in the range 0..100`},
		"mirror alone":   {route(`mirrorPercentage: {value: 1}`), "spec.http[0].mirrorPercentage: no effect: mirror is not set"},
		"two mirrors":    {route(`mirror: {host: b.example}, mirrors: [{destination: {host: b.example}}]`), "spec.http[0].mirrors: cannot be combined with mirror"},
		"mirror gone":    {route(`mirror: {host: c.example}`), "spec.http[0].mirror: \"c.example\": no ServiceEntry visible to this namespace declares c.example:80 (requests are not mirrored)"},
		"mirror names":   {route(`mirror: {host: several.example}`), "spec.http[0].mirror: \"several.example\": cannot mirror to several DNS endpoints"},
		"cors":           {route(`corsPolicy: {allowOrigins: [{}], allowMethods: ["G T"], allowHeaders: ["a b"], maxAge: -1s}`), "spec.http[0].corsPolicy.allowOrigins[0]: empty match\nspec.http[0].corsPolicy.allowMethods[0]\nspec.http[0].corsPolicy.allowHeaders[0]\nspec.http[0].corsPolicy.maxAge"},
	}
}

func tlsProblems() map[string]routeProblem {
	return map[string]routeProblem{
		"timeout on TLS": {`{hosts: [tls.example], http: [{timeout: 3s, route: [{destination: {host: tls.example}}]}]}`, "spec.http[0].timeout: port 443 is TLS or TCP passthrough; HTTP timeouts cannot apply"},
		"http on TLS":    {`{hosts: [tls.example], http: [{retries: {attempts: 1}, route: [{destination: {host: tls.example}}]}]}`, "spec.http[0]: port 443 is TLS or TCP passthrough"},
		"sni":            {sni(`match: [{sniHosts: [tls.example]}], ` + toTLS), ""},
		"sni nothing":    {sni(``), "spec.tls[0].route: destination is required\nspec.tls[0].match: match.sniHosts is required"},
		"sni hosts":      {sni(`match: [{port: 443}], ` + toTLS), "spec.tls[0].match[0].sniHosts: required"},
		"sni elsewhere":  {sni(`match: [{sniHosts: [b.tls.example]}], ` + toTLS), `spec.tls[0].match[0].sniHosts[0]: "b.tls.example": must be listed in spec.hosts`},
		"sni subnets":    {sni(`match: [{sniHosts: [tls.example], destinationSubnets: [10.0.0.0/8]}], ` + toTLS), "spec.tls[0].match[0].destinationSubnets: not supported"},
		"sni port":       {sni(`match: [{sniHosts: [tls.example], port: 444}], ` + toTLS), `spec.tls[0].match[0]: "tls.example": no effect: no visible ServiceEntry declares this host as TLS`},
		"sni nowhere":    {sni(`match: [{sniHosts: [tls.example]}], route: [{destination: {host: c.example}}]`), "no ServiceEntry visible to this namespace declares c.example:443 (connections are closed)"},
	}
}

// TestRouteProblems checks the problems of specs.
func TestRouteProblems(t *testing.T) {
	for _, group := range []map[string]routeProblem{routeProblems(), matchAndHeaderProblems(), faultProblems(), mirrorProblems(), tlsProblems()} {
		for name, c := range group {
			t.Run(name, func(t *testing.T) { checkRouteProblem(t, c) })
		}
	}
}

func checkRouteProblem(t *testing.T, c routeProblem) {
	t.Helper()
	m, problems := egress.Build(egresstest.Parse(t, egresstest.RouteText(c.spec)+world))
	var want []string
	if c.want != "" {
		want = strings.Split(c.want, "\n")
	}
	if len(problems) != len(want) {
		t.Fatalf("problems %v, want %q", problems, want)
	}
	for i, p := range problems {
		if !strings.Contains(p.String(), want[i]) || p.Fix == "" {
			t.Errorf("problem %q, want %q and a fix", p, want[i])
		}
	}
	egresstest.Make(t, m.View("shop"))
}

// TestConflictsAreReported has two objects of one namespace with the same host:
// the ignored one has a warning.
func TestConflictsAreReported(t *testing.T) {
	const entry = "\n---\nkind: ServiceEntry\nmetadata: {namespace: shop, name: z, created: \"2026-01-01T00:00:00Z\"}\nspec: {hosts: [a.example], ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS}\n"
	const spec = `{hosts: [a.example], http: [{route: [{destination: {host: a.example}}]}]}`
	other := strings.Replace(strings.SplitN(egresstest.RouteText(spec), "\n---\n", 2)[1], "name: v", "name: w", 1)
	_, problems := egress.Build(egresstest.Parse(t, egresstest.RouteText(spec)+"\n---\n"+other+entry+world))
	want := []string{
		"ServiceEntry shop/z: spec.hosts: \"a.example\": no effect on port 80: conflicts with ServiceEntry shop/a, which takes precedence",
		"VirtualService shop/w: spec.hosts[0]: \"a.example\": no effect: conflicts with VirtualService shop/v, which takes precedence",
	}
	if len(problems) != len(want) {
		t.Fatalf("problems %v", problems)
	}
	for i, p := range problems {
		if !strings.HasPrefix(p.String(), want[i]) || p.Severity != problem.Warning {
			t.Errorf("problem %q, want %q", p, want[i])
		}
	}
}

// TestTCPAddressOwners has TCP hosts with the same addresses of a port: the
// namespace's own host owns them, then the oldest, and a host without any has a
// warning. One that is declared without addresses has them in its namespace only.
func TestTCPAddressOwners(t *testing.T) {
	entry := func(name, namespace, created, host, addresses string) string {
		return "\n---\nkind: ServiceEntry\nmetadata: {namespace: " + namespace + ", name: " + name + ", created: \"" + created + "\"}\n" +
			"spec: {hosts: [" + host + "], addresses: [" + addresses + "], ports: [{number: 9000, name: tcp, protocol: TCP}], resolution: STATIC, endpoints: [{address: 192.0.2.1}]}\n"
	}
	const older, newer = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"
	m, problems := egress.Build(egresstest.Parse(t, "accessLogFile: \"\"\n"+
		entry("new", "shop", newer, "a.example", "198.51.100.1, 198.51.100.2")+entry("old", "shop", older, "b.example", "198.51.100.1")+
		entry("none", "shop", newer, "c.example", "198.51.100.1/32")+
		entry("all", "bank", older, "d.example", "")+entry("more", "bank", newer, "e.example", "")))
	var got []string
	for _, p := range problems {
		got = append(got, p.Source+" "+p.Path)
	}
	if want := "ServiceEntry bank/more spec.addresses, ServiceEntry shop/none spec.addresses"; strings.Join(got, ", ") != want {
		t.Errorf("problems %v, want %s", problems, want)
	}
	if m.Class("bank") == m.Class("gym") {
		t.Error("a namespace with TCP without addresses shares its view with others")
	}
	own := map[string]string{"198.51.100.1": "d.example", "198.51.100.2": "d.example", "198.51.100.3": "d.example"}
	others := map[string]string{"198.51.100.1": "b.example", "198.51.100.2": "a.example", "198.51.100.3": ""}
	for namespace, want := range map[string]map[string]string{"bank": own, "shop": others, "gym": others, "": others} {
		for address, wanted := range want {
			d := decide.Decide(m.View(m.Class(namespace)), decide.Request{Address: netip.MustParseAddr(address), Port: 9000, Protocol: decide.TCP})
			cluster := "outbound|9000||" + wanted
			if wanted == "" {
				cluster = egress.PassthroughCluster
			}
			if len(d.Clusters) != 1 || d.Clusters[0].Cluster != cluster {
				t.Errorf("%s in %s: %+v, want %s", address, namespace, d, wanted)
			}
		}
	}
}

// TestHostsOfOneEntryShareAView has entries whose own hosts have the same addresses:
// the result is the same in all namespaces, which have one view.
func TestHostsOfOneEntryShareAView(t *testing.T) {
	for _, protocol := range []string{"TCP", "TLS", "HTTP"} {
		m, problems := egress.Build(egresstest.Parse(t, egresstest.EntryText(`{hosts: [a.example, b.example], addresses: [198.51.100.7, 198.51.100.7/32, 198.51.100.8], ports: [{number: 9000, name: x, protocol: `+protocol+`}], resolution: STATIC, endpoints: [{address: 192.0.2.1}]}`)))
		if len(problems) > 0 || m.Class("shop") != m.Class("gym") {
			t.Errorf("%s: problems %v, classes %q and %q", protocol, problems, m.Class("shop"), m.Class("gym"))
		}
		if own := m.View("shop"); own.Version() != m.View("gym").Version() {
			t.Errorf("%s: the view of the entry's namespace differs", protocol)
		}
	}
}
