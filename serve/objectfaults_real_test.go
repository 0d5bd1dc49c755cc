package serve

import (
	"strings"
	"testing"

	"github.com/outrider-mesh/outrider/manifest"
	"github.com/outrider-mesh/outrider/validate"
)

// objectFaults are objects as people write them, and a part of what kubectl prints.
func objectFaults() []struct{ kind, spec, want string } {
	const entry, routes = "ServiceEntry", "VirtualService"
	const port, toA = `ports: [{number: 80, name: http, protocol: HTTP}]`, `route: [{destination: {host: a.example}}]`
	return []struct{ kind, spec, want string }{
		{entry, `{hosts: [a.example], ` + port + `, resolution: STATIC, endpoints: [{address: 192.0.2.1, ports: {htpp: 8080}}]}`,
			`denied the request: ServiceEntry NS/x: spec.endpoints[0].ports.htpp: "8080": no port in spec.ports has the name "htpp"; did you mean "http"?`},
		{entry, `{hosts: [a.example], ports: [{number: 80, name: http, protocol: HTTP}, {number: 81, name: http, protocol: HTTP}], resolution: DNS}`, `spec.ports[1].name: "http": duplicate port name`},
		{entry, `{hosts: [a.example], ` + port + `, resolution: DNS, exportTo: ["./*", "team-*", "Shop ", ""]}`, `denied the request: ServiceEntry NS/x: 4 problems`},
		{entry, `{hosts: [a.example], ` + port + `, resolution: DNS, exportTo: [".", "*"]}`, `spec.exportTo[1]: "*": cannot be combined with other values`},
		{entry, `{hosts: [a.example], ` + port + `, resolution: DNS, exportTo: ["~"]}`, `Warning: ServiceEntry NS/x: spec.exportTo[0]: "~": no effect: no namespace sees this ServiceEntry`},
		{routes, `{hosts: [a.example], exportTo: ["~"], http: [{` + toA + `}]}`, `denied the request: VirtualService NS/x: spec.exportTo[0]: "~": only a ServiceEntry can be exported to no namespace; use "." for its own namespace`},
		{entry, `{hosts: [a.example], ` + port + `, resolution: STATIC, location: MESH_INTERNAL, endpoints: [{address: 192.0.2.1, labels: {a: b}, locality: eu/a, network: x, serviceAccount: web}, {address: 192.0.2.2, labels: {a: c}}]}`,
			`spec.endpoints[0].labels: no effect: endpoints have no labels to be selected by (and 1 more); remove it`},
		{entry, `{hosts: [a.example], ports: [{number: 80, name: http, protocol: HTTP, targetPort: 443}], resolution: DNS}`,
			`Warning: ServiceEntry NS/x: spec.ports[0].targetPort: "443": HTTP is sent to this port as plaintext`},
		{entry, `{hosts: [a.example], ports: [{number: 443, name: http, protocol: HTTP}], resolution: DNS}`, `Warning: ServiceEntry NS/x: spec.ports[0].number: "443": servers usually have TLS`},
		{routes, `{hosts: ["*"], gateways: [gw], http: [{delegate: {name: d}}, {route: [{destination: {host: b, subset: v1}}]}], tcp: [{route: [{destination: {host: c}}]}]}`,
			`Warning: VirtualService NS/x: spec.gateways[0]: "gw": no effect: nothing in this VirtualService applies to sidecars, whose only gateway is "mesh"; add "mesh" to apply it to them` + "\nvirtualservice"},
		{routes, `{hosts: [a.example], http: [{retries: {retryOn: 5xx, perTryTimeout: 2s}, ` + toA + `}]}`, `denied the request: VirtualService NS/x: spec.http[0].retries.attempts: attempts is 0 or not set`},
		{routes, `{hosts: [a.example], http: [{route: [{destination: {host: a.example}, weight: 100}, {destination: {host: b.example}}]}]}`, `Warning: VirtualService NS/x: spec.http[0].route[1].weight: without a weight`},
		{routes, `{hosts: [a.example], http: [{match: [{uri: {prefix: /api/}}], rewrite: {uri: /}, ` + toA + `}]}`, `Warning: VirtualService NS/x: spec.http[0].rewrite.uri: "/": requests for /api do not match prefix "/api/"`},
		{entry, `{hosts: [bücher.example], ` + port + `, resolution: DNS}`, `denied the request: ServiceEntry NS/x: spec.hosts[0]: "bücher.example": invalid DNS name: "ü" is not an ASCII letter, digit, "-" or "_"; use xn--bcher-kva.example`},
		{routes, `{hosts: [a.example], http: [{redirect: {prefixRewrite: /x}}]}`, `denied the request: VirtualService NS/x: spec.http[0].redirect.prefixRewrite: "/x": not supported; use uri` + "\n"},
		{routes, `{hosts: [a.example], http: [{corsPolicy: {allowOrigins: [{exact: "*"}], allowMethods: [PUTT]}, ` + toA + `}]}`,
			`denied the request: VirtualService NS/x: spec.http[0].corsPolicy.allowMethods[0]: "PUTT": not an HTTP method; did you mean PUT?`},
	}
}

// kubectl prints the faults of objects as people write them, whole.
func TestFaultsOfObjectsReachTheClient(t *testing.T) {
	i := startInstance(t, "").ready()
	ns := i.Namespace(t, nil)
	i.awaitObjects(ns)
	for _, tt := range objectFaults() {
		text := i.object(tt.kind, "v1", "x", tt.spec)
		out, _ := i.kubectl(text, "apply", "--dry-run=server", "-n", ns, "-f", "-")
		if want := strings.ReplaceAll(tt.want, "NS/", ns+"/"); !strings.Contains(out, want) || strings.Contains(out, "…") {
			t.Errorf("%s %s\n%s\nwant\n%s", tt.kind, tt.spec, out, want)
		}
		i.sameInFiles(text, ns, out)
	}
}

// sameInFiles compares what kubectl printed about an object with what is found in a file
// with it: each finding is there, word for word, and nothing else is.
func (i *instance) sameInFiles(text, namespace, printed string) {
	i.t.Helper()
	all := validate.New(validate.Options{Namespace: namespace, Location: i.options.configMaps(), Command: "validate"})
	i.must(manifest.Documents(strings.NewReader(text), 1<<20, func(d manifest.Document) {
		all.Add(validate.Document{File: "a.yaml", Document: d})
	}))
	report := all.Report()
	warnings := 0
	for n := range report.Findings {
		f := &report.Findings[n]
		if f.Severity != validate.SeverityError {
			warnings++
		}
		words := f.Message
		if f.Severity != validate.SeverityError { // the fix of a long one is omitted: the API server forwards 256 characters
			words = strings.TrimSuffix(words, "; "+f.Fix)
		}
		if !strings.Contains(printed, words) {
			i.t.Errorf("%s\nis not what kubectl prints:\n%s", f.Text(), printed)
		}
	}
	if n := strings.Count(printed, "Warning: "); n != warnings {
		i.t.Errorf("kubectl prints %d warnings, %d are found:\n%s\n%s", n, warnings, printed, report.Text())
	}
	if denied := strings.Contains(printed, "denied the request"); denied != (report.Summary.Errors > 0) {
		i.t.Errorf("denied is %v:\n%s\n%s", denied, printed, report.Text())
	}
}
