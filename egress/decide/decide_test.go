package decide_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/egress/decide"
	"github.com/outrider-mesh/outrider/test/egresstest"
	"github.com/outrider-mesh/outrider/test/kit"
)

const objects = `
---
kind: ServiceEntry
metadata: {namespace: shop, name: a}
spec: {hosts: [a.example, b.example], ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS}

---
kind: ServiceEntry
metadata: {namespace: shop, name: wild}
spec: {hosts: ["*.wild.example"], ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}]}

---
kind: ServiceEntry
metadata: {namespace: shop, name: tcp}
spec: {hosts: [tcp.example], addresses: [198.51.100.0/24], ports: [{number: 9000, name: tcp, protocol: TCP}], resolution: NONE}

---
kind: VirtualService
metadata: {namespace: shop, name: v}
spec:
  hosts: [a.example]
  http:
  - match: [{uri: {prefix: /old}}, {headers: {x-old: {}}}]
    redirect: {uri: /new}
  - match: [{uri: {exact: /gone}}]
    directResponse: {status: 410}
  - match: [{uri: {prefix: /api}}]
    rewrite: {uri: /v2}
    timeout: 3s
    route: [{destination: {host: a.example}, weight: 9}, {destination: {host: c.example}, weight: 1}]

---
kind: ServiceEntry
metadata: {namespace: shop, name: vault}
spec: {hosts: [vault.example], ports: [{number: 443, name: tcp, protocol: TCP}], resolution: DNS}

---
kind: ServiceEntry
metadata: {namespace: shop, name: logs}
spec: {hosts: [logs.example], addresses: [192.0.2.7, "2001:db8::7"], ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}], resolution: DNS}

---
kind: ServiceEntry
metadata: {namespace: shop, name: kept}
spec: {hosts: [kept.example], addresses: [192.0.2.64/26], ports: [{number: 443, name: tls, protocol: TLS}], resolution: NONE}

---
inCluster: [{address: 10.96.0.1, ports: [443]}]
`

func view(t *testing.T, mode string) *egress.View {
	t.Helper()
	model, problems := egress.Build(egresstest.Parse(t, "outboundTrafficPolicy: {mode: "+mode+"}\n"+objects))
	kit.Must(t, problems.Err())
	return model.View("shop")
}

// TestDecide compares the kind, the response or the clusters, and the reason of
// decisions.
func TestDecide(t *testing.T) {
	get := func(host, path string) decide.Request {
		return decide.Request{Address: netip.MustParseAddr("203.0.113.1"), Port: 80, Protocol: decide.HTTP, Method: "GET", Authority: host, Path: path}
	}
	connect := func(address string, port uint16, protocol, sni string) decide.Request {
		return decide.Request{Address: netip.MustParseAddr(address), Port: port, Protocol: protocol, ServerName: sni}
	}
	old := get("a.example", "/")
	old.Header = map[string][]string{"X-Old": {"1"}}
	for name, c := range map[string]struct {
		request  decide.Request
		kind     string
		status   int
		clusters string
		reason   string // a part
	}{
		"no VirtualService":   {get("b.example", "/"), decide.Forwarded, 0, "outbound|80||b.example to b.example:80", "ServiceEntry shop/a declares b.example; no VirtualService applies"},
		"redirect":            {get("a.example", "/old"), decide.Answered, 301, "", "matched by spec.http[0].match[0] of VirtualService shop/v"},
		"second match":        {old, decide.Answered, 301, "", "matched by spec.http[0].match[1] of VirtualService shop/v"},
		"direct response":     {get("a.example", "/gone"), decide.Answered, 410, "", "matched by spec.http[1] of VirtualService shop/v"},
		"weights":             {get("A.example:80", "/x/../api"), decide.Forwarded, 0, "outbound|80||a.example to a.example:80, BlackHoleCluster to ", "declares c.example:80 (requests get 503)"},
		"no route":            {get("a.example", "/"), decide.Answered, 404, "", "no route of VirtualService shop/v matches"},
		"wildcard":            {get("x.wild.example", "/"), decide.Forwarded, 0, "outbound|80||*.wild.example to x.wild.example:80", "declares *.wild.example"},
		"wildcard's port":     {get("x.wild.example:81", "/"), decide.Answered, 502, "", "blocked (block_port): a ServiceEntry declares x.wild.example on port 80, and the Host header has another port"},
		"undeclared host":     {get("wild.example", "/"), decide.Answered, 502, "", "blocked (block_all): no ServiceEntry visible to this namespace declares wild.example for HTTP on port 80 (REGISTRY_ONLY)"},
		"no first label":      {get(".wild.example", "/"), decide.Answered, 502, "", "declares .wild.example for HTTP on port 80 (REGISTRY_ONLY)"},
		"no first label, SNI": {connect("203.0.113.1", 443, decide.TLS, ".wild.example"), decide.Forwarded, 0, "outbound|443||*.wild.example to .wild.example:443", "SNI is .wild.example"},
		"SNI":                 {connect("203.0.113.1", 443, decide.TLS, "X.wild.example"), decide.Forwarded, 0, "outbound|443||*.wild.example to x.wild.example:443", "SNI is x.wild.example"},
		"no SNI":              {connect("203.0.113.1", 443, decide.TLS, ""), decide.Closed, 0, "BlackHoleCluster to ", "declares 203.0.113.1 for TLS on port 443; the client sends no SNI (REGISTRY_ONLY)"},
		"TCP":                 {connect("198.51.100.7", 9000, decide.TCP, ""), decide.Forwarded, 0, "outbound|9000||tcp.example to ", "198.51.100.7 is in its addresses"},
		"another address":     {connect("203.0.113.1", 9000, decide.TCP, ""), decide.Closed, 0, "BlackHoleCluster to ", "blocked (block_all): no ServiceEntry visible to this namespace declares 203.0.113.1 for TCP on port 9000 (REGISTRY_ONLY)"},
		"another port":        {connect("203.0.113.1", 9001, decide.TCP, ""), decide.Closed, 0, "BlackHoleCluster to ", "declares 203.0.113.1 for TCP on port 9001"},
		"in the cluster":      {connect("::ffff:10.96.0.1", 443, decide.TLS, ""), decide.Forwarded, 0, "PassthroughCluster to ", "10.96.0.1:443 is in the cluster"},
		"final dot":           {get("B.Example.:80", "/"), decide.Forwarded, 0, "outbound|80||b.example to b.example:80", "ServiceEntry shop/a declares b.example"},
		"SNI, final dot":      {connect("203.0.113.1", 443, decide.TLS, "x.Wild.example."), decide.Forwarded, 0, "outbound|443||*.wild.example to x.wild.example:443", "SNI is x.wild.example"},
		"TCP by SNI":          {connect("203.0.113.1", 443, decide.TLS, "vault.example"), decide.Forwarded, 0, "outbound|443||vault.example to vault.example:443", "SNI is vault.example"},
		"address as Host":     {get("192.0.2.7", "/"), decide.Forwarded, 0, "outbound|80||192.0.2.7 to logs.example:80", "ServiceEntry shop/logs declares 192.0.2.7"},
		"IPv6 as Host":        {get("[2001:DB8::7]:80", "/"), decide.Forwarded, 0, "outbound|80||[2001:db8::7] to logs.example:80", "ServiceEntry shop/logs declares [2001:db8::7]"},
		"address, no SNI":     {connect("192.0.2.7", 443, decide.TLS, ""), decide.Forwarded, 0, "outbound|443||192.0.2.7 to logs.example:443", "192.0.2.7 is in its addresses, and the client sends no SNI"},
		"range, no SNI":       {connect("192.0.2.70", 443, decide.TLS, ""), decide.Forwarded, 0, "outbound|443||192.0.2.70 to ", "192.0.2.70 is in its addresses"},
		"address, other SNI":  {connect("192.0.2.7", 443, decide.TLS, "x.example"), decide.Closed, 0, "BlackHoleCluster to ", "no ServiceEntry visible to this namespace declares x.example for TLS on port 443"},
		"the sidecar's port":  {connect("203.0.113.1", 15001, decide.TCP, ""), decide.Closed, 0, "", "port 15001 is reserved by the sidecar"},
	} {
		t.Run(name, func(t *testing.T) {
			d := decide.Decide(view(t, "REGISTRY_ONLY"), c.request)
			var clusters []string
			for _, w := range d.Clusters {
				clusters = append(clusters, w.Cluster+" to "+strings.Join(w.To, " "))
			}
			if d.Kind != c.kind || d.Status != c.status || strings.Join(clusters, ", ") != c.clusters || !strings.Contains(d.Reason, c.reason) {
				t.Errorf("got %+v, want %s %d %q because %q", d, c.kind, c.status, c.clusters, c.reason)
			}
		})
	}
	allowed := decide.Decide(view(t, "ALLOW_ANY"), get("x.example", "/"))
	if allowed.Kind != decide.Forwarded || allowed.Route != egress.RouteAllowAny || !strings.Contains(allowed.Reason, "(ALLOW_ANY)") {
		t.Errorf("ALLOW_ANY: %+v", allowed)
	}
}
