package egress_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/egress/decide"
	"github.com/outrider-mesh/outrider/test/egresstest"
)

// TestOutcomeOfWarnings has what the warnings about objects state.
func TestOutcomeOfWarnings(t *testing.T) {
	const strict = "outboundTrafficPolicy: {mode: REGISTRY_ONLY}\n"
	http := decide.Request{Port: 80, Protocol: decide.HTTP, Method: "GET", Authority: "a.example", Path: "/"}
	tls := decide.Request{Port: 443, Protocol: decide.TLS, ServerName: "e.example"}
	toE := http
	toE.Authority = "e.example"
	for _, c := range []struct {
		name, text string
		request    decide.Request
		want       string // kind, status, and where it goes
	}{
		{"https:// to HTTP on 443", egresstest.EntryText(`{hosts: [e.example], ports: [{number: 443, name: http, protocol: HTTP}], resolution: DNS}`), tls, "closed 0 []"},
		{"https:// to HTTPS on 443", egresstest.EntryText(`{hosts: [e.example], ports: [{number: 443, name: https, protocol: HTTPS}], resolution: DNS}`), tls, "forwarded 0 [e.example:443]"},
		{"HTTP with target 443", egresstest.EntryText(`{hosts: [e.example], ports: [{number: 80, name: http, protocol: HTTP, targetPort: 443}], resolution: DNS}`), toE, "forwarded 0 [e.example:443]"},
		{"the port of an endpoint before targetPort", egresstest.EntryText(fixed(`{number: 80, name: http, protocol: HTTP, targetPort: 8081}`, `ports: {http: 8080}`)), toE, "forwarded 0 [192.0.2.1:8080]"},
		{"an endpoint with a wrong port", egresstest.EntryText(fixed(httpPort, `ports: {htpp: 8080}`)), toE, "answered 502 []"},
		{"exported to nobody", egresstest.EntryText(web(`exportTo: ["~"]`)), toE, "answered 502 []"},
		{"exported to a wrong name", egresstest.EntryText(web(`exportTo: ["Shop "]`)), toE, "answered 502 []"},
		{"routes for another gateway", egresstest.RouteText(`{hosts: ["*", a.example], gateways: [gw], http: [{directResponse: {status: 418}}]}`), http, "forwarded 0 [a.example:80]"},
		{"a delegate", egresstest.RouteText(`{http: [{directResponse: {status: 418}}]}`), http, "forwarded 0 [a.example:80]"},
		{"routes for both, one for another", egresstest.RouteText(`{hosts: [a.example], gateways: [mesh, gw], http: [{match: [{gateways: [gw]}], directResponse: {status: 418}}, {match: [{gateways: [mesh]}], directResponse: {status: 419}}]}`), http, "answered 419 []"},
		{"routes for both, all for another", egresstest.RouteText(`{hosts: [a.example], gateways: [mesh, gw], http: [{match: [{gateways: [gw]}], directResponse: {status: 418}}]}`), http, "answered 404 []"},
		{"exported to nobody, routes", egresstest.RouteText(`{hosts: [a.example], exportTo: ["~"], http: [{directResponse: {status: 418}}]}`), http, "forwarded 0 [a.example:80]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, _ := egress.Build(egresstest.Parse(t, strings.Replace(c.text, "\n", "\n"+strict, 1)+world))
			d := decide.Decide(m.View("shop"), c.request)
			var to []string
			for _, cluster := range d.Clusters {
				to = append(to, cluster.To...)
			}
			if got := strings.ToLower(fmt.Sprint(d.Kind, " ", d.Status, " ", to)); got != c.want {
				t.Errorf("%s, want %s: %s", got, c.want, d.Reason)
			}
		})
	}
}
