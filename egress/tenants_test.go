package egress_test

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/egress/decide"
	"github.com/outrider-mesh/outrider/test/egresstest"
)

// declared are objects of the namespaces shop and istio-system, which is the root
// namespace, and of shared, whose entries all namespaces see.
const declared = `
---
kind: ServiceEntry
metadata: {namespace: shop, name: api, created: "2026-01-01T00:00:00Z"}
spec: {hosts: [api.example.com], ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}], resolution: DNS}

---
kind: ServiceEntry
metadata: {namespace: shop, name: wild, created: "2026-01-01T00:00:00Z"}
spec: {hosts: ["*.shop.test"], ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}]}

---
kind: ServiceEntry
metadata: {namespace: shop, name: db, created: "2026-01-01T00:00:00Z"}
spec: {hosts: [db.example.com], ports: [{number: 5432, name: tcp, protocol: TCP}], resolution: STATIC, endpoints: [{address: 192.0.2.10}]}

---
kind: ServiceEntry
metadata: {namespace: shop, name: cache, created: "2026-01-01T00:00:00Z"}
spec: {hosts: [cache.example.com], addresses: [198.51.100.0/24], ports: [{number: 6379, name: tcp, protocol: TCP}, {number: 443, name: tls, protocol: TLS}], resolution: STATIC, endpoints: [{address: 192.0.2.11}]}

---
kind: ServiceEntry
metadata: {namespace: shop, name: address, created: "2026-01-01T00:00:00Z"}
spec: {hosts: [addr.example.com], addresses: [203.0.113.7], ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS}

---
kind: ServiceEntry
metadata: {namespace: istio-system, name: root, created: "2026-01-03T00:00:00Z"}
spec: {hosts: ["*.root.test", plain.root.test], ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}]}

---
kind: ServiceEntry
metadata: {namespace: shared, name: wild, created: "2026-01-01T00:00:00Z"}
spec: {hosts: ["*.shared.test"], ports: [{number: 80, name: http, protocol: HTTP}, {number: 8080, name: web, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}]}

---
kind: VirtualService
metadata: {namespace: shared, name: wild, created: "2026-01-01T00:00:00Z"}
spec: {hosts: ["*.shared.test"], http: [{timeout: 5s, route: [{destination: {host: "*.shared.test"}}]}]}

---
inCluster: [{address: 10.96.0.20}]
`

// requests are those of the namespace shop.
func requests() []decide.Request {
	var out []decide.Request
	at := netip.MustParseAddr("203.0.113.1")
	for _, host := range []string{"api.example.com", "a.shop.test", "b.a.shop.test", "a.root.test", "plain.root.test", "a.shared.test", "203.0.113.7", "addr.example.com", "web.shop.svc.cluster.local", "web"} {
		for _, port := range []uint16{80, 8080, 8443, 5432} {
			out = append(out, decide.Request{Address: at, Port: port, Protocol: decide.HTTP, Method: "GET", Authority: host, Path: "/x"})
		}
		for _, port := range []uint16{443, 8443} {
			out = append(out, decide.Request{Address: at, Port: port, Protocol: decide.TLS, ServerName: host})
		}
	}
	for _, address := range []string{"198.51.100.7", "203.0.113.1", "203.0.113.7", "10.96.0.20"} {
		ports := []uint16{80, 443, 3306, 5432, 6379}
		if strings.HasPrefix(address, "203") {
			ports = ports[:4] // on 6379 shop declares other addresses alone
		}
		for _, port := range ports {
			for _, protocol := range []string{decide.TCP, decide.TLS, decide.HTTP} {
				out = append(out, decide.Request{Address: netip.MustParseAddr(address), Port: port, Protocol: protocol, Method: "GET", Authority: "x.example", Path: "/"})
			}
		}
	}
	return out
}

// TestWhatOthersDeclareTakesNothingOver has objects of another namespace for what
// shop, the root namespace, or an older object has. No request of shop goes
// anywhere else because of them, in either mode.
func TestWhatOthersDeclareTakesNothingOver(t *testing.T) {
	entry := func(spec string) string { return entryIn("tenant/e", spec) }
	routes := func(spec string) string {
		return "\n---\nkind: VirtualService\nmetadata: {namespace: tenant, name: v, created: \"2025-01-01T00:00:00Z\"}\nspec: {" + spec + "}\n"
	}
	const (
		ports  = "ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}]"
		static = ", resolution: STATIC, endpoints: [{address: 10.244.6.6}]"
		tcp80  = "ports: [{number: 80, name: t, protocol: TCP}]"
		toMe   = "http: [{route: [{destination: {host: mine.test}}]}]"
		mine   = "\n---\nkind: ServiceEntry\nmetadata: {namespace: tenant, name: mine}\nspec: {hosts: [mine.test], ports: [{number: 80, name: http, protocol: HTTP}], resolution: STATIC, endpoints: [{address: 10.244.6.6}]}\n"
	)
	later := func(text string) string {
		return strings.ReplaceAll(text, "name: e}", `name: e, created: "2026-02-01T00:00:00Z"}`)
	}
	views, all := map[string]*egress.View{}, requests()
	for _, mode := range []string{"ALLOW_ANY", "REGISTRY_ONLY"} {
		m, _ := egress.Build(egresstest.Parse(t, "outboundTrafficPolicy: {mode: "+mode+"}\n"+declared))
		views[mode] = m.View("shop")
	}
	for name, attack := range map[string]string{
		"the host of another":                entry("hosts: [api.example.com], " + ports + static),
		"on another port":                    entry("hosts: [api.example.com], ports: [{number: 8080, name: http, protocol: HTTP}, {number: 8443, name: tls, protocol: TLS}]" + static),
		"with another protocol":              entry("hosts: [api.example.com], ports: [{number: 80, name: tls, protocol: TLS}, {number: 443, name: http, protocol: HTTP}]" + static),
		"as TCP":                             entry("hosts: [api.example.com], " + tcp80 + static),
		"the host of the root namespace":     entry("hosts: [plain.root.test, a.root.test], " + ports + static),
		"a name under another's wildcard":    entry("hosts: [a.shop.test, b.a.shop.test], " + ports + static),
		"under it, on another port":          entry("hosts: [a.shop.test], ports: [{number: 8080, name: http, protocol: HTTP}]" + static),
		"a wildcard under another's":         entry(`hosts: ["*.a.shop.test"], ` + ports + static),
		"a wildcard under the root's":        entry(`hosts: ["*.a.root.test"], ` + ports + static),
		"a wildcard over another's host":     entry(`hosts: ["*.example.com"], ` + ports + static),
		"over it, on another port":           entry(`hosts: ["*.example.com"], ports: [{number: 8080, name: http, protocol: HTTP}, {number: 8443, name: tls, protocol: TLS}]` + static),
		"over it, with routes":               later(entry(`hosts: ["*.example.com"], ports: [{number: 80, name: http, protocol: HTTP}]`)) + mine + routes(`hosts: ["*.example.com"], `+toMe),
		"over the root's":                    entry(`hosts: ["*.root.test."], ` + ports + static),
		"under an older one":                 later(entry("hosts: [a.shared.test], " + ports + static)),
		"under an older one, on a port":      later(entry("hosts: [a.shared.test], ports: [{number: 8443, name: tls, protocol: TLS}]" + static)),
		"the older one itself":               later(entry(`hosts: ["*.shared.test"], ` + ports + static)),
		"an address as Host":                 entry("hosts: [mine.test], addresses: [203.0.113.7], ports: [{number: 80, name: http, protocol: HTTP}, {number: 8080, name: http2, protocol: HTTP}]" + static),
		"TCP without addresses":              entry("hosts: [mine.test], ports: [{number: 80, name: a, protocol: TCP}, {number: 443, name: b, protocol: TCP}, {number: 5432, name: c, protocol: TCP}, {number: 6379, name: d, protocol: TCP}, {number: 3306, name: e, protocol: TCP}]" + static),
		"TCP with nearly all addresses":      entry("hosts: [mine.test], addresses: [0.0.0.0/1, 128.0.0.0/1], ports: [{number: 80, name: a, protocol: TCP}, {number: 443, name: b, protocol: TCP}, {number: 5432, name: c, protocol: TCP}, {number: 6379, name: d, protocol: TCP}, {number: 3306, name: e, protocol: TCP}]" + static),
		"TLS with nearly all addresses":      entry("hosts: [mine.test], addresses: [0.0.0.0/1, 128.0.0.0/1], ports: [{number: 443, name: b, protocol: TLS}]" + static),
		"TCP with the addresses of names":    entry("hosts: [mine.test], addresses: [203.0.113.1], ports: [{number: 80, name: a, protocol: TCP}, {number: 443, name: b, protocol: TCP}, {number: 5432, name: c, protocol: TCP}]" + static),
		"TCP, closer addresses":              entry("hosts: [mine.test], addresses: [198.51.100.7], ports: [{number: 6379, name: a, protocol: TCP}]" + static),
		"TCP, wider addresses":               entry("hosts: [mine.test], addresses: [198.51.0.0/16], ports: [{number: 6379, name: a, protocol: TCP}]" + static),
		"TLS, closer addresses":              entry("hosts: [mine.test], addresses: [198.51.100.7], ports: [{number: 443, name: a, protocol: TLS}]" + static),
		"TCP, addresses of a port with all":  entry("hosts: [mine.test], addresses: [198.51.100.7], ports: [{number: 5432, name: a, protocol: TCP}]" + static),
		"HTTP on a TCP port":                 entry("hosts: [mine.test], ports: [{number: 5432, name: a, protocol: HTTP}, {number: 6379, name: b, protocol: HTTP}]" + static),
		"TLS on a TCP port":                  entry("hosts: [mine.test], ports: [{number: 5432, name: a, protocol: TLS}]" + static),
		"a Service of the cluster":           entry("hosts: [web.shop.svc.cluster.local], addresses: [10.96.0.20], ports: [{number: 443, name: tls, protocol: TLS}]" + static),
		"routes for another's host":          mine + routes("hosts: [api.example.com], "+toMe),
		"routes, exported to it":             mine + routes("exportTo: [shop], hosts: [api.example.com], "+toMe),
		"a mirror":                           mine + routes("hosts: [api.example.com], http: [{route: [{destination: {host: api.example.com}}], mirror: {host: mine.test}}]"),
		"a redirect":                         routes("hosts: [api.example.com, a.shop.test, plain.root.test, a.root.test], http: [{redirect: {authority: mine.test}}]"),
		"a fault":                            routes("hosts: [api.example.com, addr.example.com], http: [{fault: {abort: {percentage: {value: 100}, httpStatus: 500}}, route: [{destination: {host: api.example.com}}]}]"),
		"a direct response":                  routes(`hosts: ["*.example.com", "*.com.example.com", "*.shop.test"], http: [{directResponse: {status: 200}}]`),
		"routes for a name under a wildcard": mine + routes("hosts: [a.shop.test, b.a.shop.test, a.root.test, a.shared.test], "+toMe),
		"routes for a wildcard":              mine + routes(`hosts: ["*.shop.test", "*.a.shop.test", "*.root.test", "*.shared.test"], `+toMe),
		"routes by SNI":                      routes("hosts: [api.example.com, a.shop.test, a.root.test], tls: [{match: [{sniHosts: [api.example.com]}, {sniHosts: [a.shop.test]}, {sniHosts: [a.root.test]}], route: [{destination: {host: mine2.test}}]}]") + entry("hosts: [mine2.test], ports: [{number: 443, name: tls, protocol: TLS}]"+static),
		"an entry and routes":                entry("hosts: [api.example.com], "+ports+static) + mine + routes("hosts: [api.example.com], "+toMe),
		"routes for a Service":               mine + routes("hosts: [web.shop.svc.cluster.local], "+toMe),
		"a short name":                       later(entry("hosts: [web.shop], " + ports + static)),
		"a name in upper case":               entry("hosts: [API.Example.COM], " + ports + static),
		"a name with a final dot":            entry("hosts: [api.example.com.], " + ports + static),
		"a name with a port's routes":        mine + routes(`hosts: ["api.example.com"], http: [{match: [{port: 80, headers: {x: {exact: z}}}], route: [{destination: {host: mine.test, port: {number: 80}}}]}]`),
		"an address of IPv6 form":            entry(`hosts: [mine.test], addresses: ["::ffff:203.0.113.7", "::ffff:203.0.113.1"], ports: [{number: 80, name: http, protocol: HTTP}]` + static),
		"an address of a ClusterIP":          entry("hosts: [mine.test], addresses: [10.96.0.20], ports: [{number: 80, name: a, protocol: TCP}, {number: 5432, name: b, protocol: TCP}, {number: 6379, name: c, protocol: HTTP}]" + static),
		"a range over the ClusterIPs":        entry("hosts: [mine.test], addresses: [10.96.0.0/16], ports: [{number: 5432, name: a, protocol: TCP}, {number: 443, name: b, protocol: TLS}]" + static),
		"a range as wide as is allowed":      entry("hosts: [mine.test], addresses: [203.0.0.0/16, 198.51.0.0/16], ports: [{number: 5432, name: a, protocol: TCP}, {number: 80, name: b, protocol: HTTP}]" + static),
		"another's port as GRPC":             entry("hosts: [api.example.com], ports: [{number: 80, name: g, protocol: GRPC}, {number: 443, name: h, protocol: HTTP2}]" + static),
		"another's port as MONGO":            entry("hosts: [db.example.com], ports: [{number: 5432, name: m, protocol: MONGO}]" + static),
		"exported by name":                   entry("exportTo: [shop], hosts: [api.example.com, a.shop.test, plain.root.test], "+ports+static) + mine + routes("exportTo: [shop], hosts: [api.example.com, a.shop.test, plain.root.test], "+toMe),
		"many objects of one name":           entry("hosts: [api.example.com], "+ports+static) + entryIn("tenant/a", "hosts: [api.example.com], "+ports+static) + entryIn("tenant2/a", `hosts: ["*.example.com"], `+ports+static) + mine + routes("hosts: [api.example.com], "+toMe),
		"a delegate of another's":            mine + "\n---\nkind: VirtualService\nmetadata: {namespace: tenant, name: v}\nspec: {" + toMe + "}\n",
		"retries and timeouts":               routes("hosts: [api.example.com, a.root.test, addr.example.com], http: [{timeout: 1ms, retries: {attempts: 10}, headers: {request: {set: {authorization: x}}}, route: [{destination: {host: api.example.com}}]}]"),
		"CORS and a rewrite":                 routes(`hosts: ["*.example.com", "*.shop.test"], http: [{corsPolicy: {allowOrigins: [{regex: ".*"}]}, rewrite: {authority: mine.test, uri: /}, route: [{destination: {host: api.example.com}}]}]`),
		"a destination in a wildcard":        entry(`hosts: ["*.mine.test"], `+ports) + routes("hosts: [api.example.com, a.shared.test], http: [{route: [{destination: {host: a.mine.test}}]}]"),
		"names of a Service in other forms":  later(entry("hosts: [web.shop.svc, web.shop.svc.cluster.local., web.shop.cluster.local], "+ports+static)) + mine + routes("hosts: [web.shop.svc, web], "+toMe),
		"endpoints of another's address":     entry("hosts: [mine.test], ports: [{number: 5432, name: t, protocol: TCP}], resolution: STATIC, endpoints: [{address: 192.0.2.10}]"),
	} {
		t.Run(name, func(t *testing.T) {
			for mode, before := range views {
				after, problems := egress.Build(egresstest.Parse(t, "outboundTrafficPolicy: {mode: "+mode+"}\n"+declared+attack))
				for _, p := range problems.Errors() { // or the object would not take part
					t.Errorf("%s", p)
				}
				view := after.View("shop")
				for _, q := range all {
					want, got := decide.Decide(before, q), decide.Decide(view, q)
					want.Reason, got.Reason = "", ""
					if !reflect.DeepEqual(got, want) {
						t.Errorf("%s: %+v\ngot  %+v\nwant %+v", mode, q, got, want)
					}
				}
				egresstest.Make(t, view)
			}
		})
	}
}

// TestWhoseRoutesApply has routes of several namespaces for hosts of others, and the
// object whose routes a request of shop follows.
func TestWhoseRoutesApply(t *testing.T) {
	entry := func(namespace, host string) string {
		return entryIn(namespace+"/e", `hosts: ["`+host+`"], ports: [{number: 80, name: http, protocol: HTTP}]`)
	}
	routes := func(object, host string) string {
		namespace, name, _ := strings.Cut(object, "/")
		return "\n---\nkind: VirtualService\nmetadata: {namespace: " + namespace + ", name: " + name + "}\nspec: {hosts: [\"" + host + "\"], http: [{directResponse: {status: 200}}]}\n"
	}
	for name, c := range map[string]struct{ text, want string }{
		"of the entry's namespace":              {entry("lib", "a.test") + routes("lib/r", "a.test"), "lib/r"},
		"of another":                            {entry("lib", "a.test") + routes("gym/r", "a.test"), ""},
		"of shop, for another's host":           {entry("lib", "a.test") + routes("lib/r", "a.test") + routes("shop/r", "a.test"), "shop/r"},
		"of the root namespace":                 {entry("lib", "a.test") + routes("lib/r", "a.test") + routes("istio-system/r", "a.test"), "istio-system/r"},
		"of the root namespace, for shop's":     {entry("shop", "a.test") + routes("istio-system/r", "a.test"), "istio-system/r"},
		"of shop, for the root namespace's":     {entry("istio-system", "a.test") + routes("shop/r", "a.test") + routes("istio-system/r", "a.test"), "shop/r"},
		"of shop, less specific":                {entry("lib", "a.x.test") + routes("lib/r", "a.x.test") + routes("shop/r", "*.x.test"), "shop/r"},
		"of the root namespace, more specific":  {entry("lib", "a.x.test") + routes("istio-system/r", "a.x.test") + routes("shop/r", "*.x.test"), "istio-system/r"},
		"for a name under its wildcard":         {entry("lib", "*.x.test") + routes("lib/r", "a.x.test"), "lib/r"},
		"for a name under another's":            {entry("lib", "*.x.test") + routes("gym/r", "a.x.test"), ""},
		"for a wildcard over a host":            {entry("lib", "a.x.test") + routes("lib/r", "*.x.test"), "lib/r"},
		"for a wildcard over another's":         {entry("lib", "a.x.test") + entry("gym", "b.x.test") + routes("gym/r", "*.x.test"), ""},
		"under a wildcard that others are in":   {entry("gym", "*.x.test") + entryIn("shop/e", "hosts: [b.x.test], ports: [{number: 443, name: tls, protocol: TLS}]") + routes("gym/r", "*.x.test"), ""},
		"under one that others share a port in": {entry("gym", "*.x.test") + entry("shop", "b.x.test") + routes("gym/r", "*.x.test"), "gym/r"},
	} {
		t.Run(name, func(t *testing.T) {
			m, _ := egress.Build(egresstest.Parse(t, "outboundTrafficPolicy: {mode: REGISTRY_ONLY}\n"+c.text))
			host := "a.test"
			if strings.Contains(c.text, "x.test") {
				host = "a.x.test"
			}
			d := decide.Decide(m.View("shop"), decide.Request{Address: netip.MustParseAddr("203.0.113.1"), Port: 80, Protocol: decide.HTTP, Method: "GET", Authority: host, Path: "/"})
			_, by, _ := strings.Cut(d.Reason, "of VirtualService ")
			if by != c.want || c.want == "" && d.Kind != decide.Forwarded {
				t.Errorf("routes of %q, want %q: %+v", by, c.want, d)
			}
		})
	}
}

// TestAddressesOfOneNamespace has an address that one namespace reaches as the
// cluster's own, and some that none does.
func TestAddressesOfOneNamespace(t *testing.T) {
	in := egresstest.Parse(t, "outboundTrafficPolicy: {mode: REGISTRY_ONLY}\n")
	for address, namespace := range map[string]string{"10.96.0.1": "", "198.51.100.7": "bank", "169.254.169.254": "", "127.0.0.1": "bank", "::ffff:169.254.169.254": "bank"} {
		in.InCluster = append(in.InCluster, egress.InClusterAddress{Address: netip.MustParseAddr(address), Namespace: namespace})
	}
	m, _ := egress.Build(in)
	for _, c := range []struct{ namespace, address, want string }{
		{"bank", "10.96.0.1", decide.Forwarded}, {"shop", "10.96.0.1", decide.Forwarded},
		{"bank", "198.51.100.7", decide.Forwarded}, {"shop", "198.51.100.7", decide.Closed},
		{"shop", "169.254.169.254", decide.Closed}, {"bank", "169.254.169.254", decide.Closed}, {"bank", "127.0.0.1", decide.Closed},
	} {
		d := decide.Decide(m.View(c.namespace), decide.Request{Address: netip.MustParseAddr(c.address), Port: 5432, Protocol: decide.TCP})
		if d.Kind != c.want {
			t.Errorf("%s in %s: %+v, want %s", c.address, c.namespace, d, c.want)
		}
	}
	if m.Class("bank") == m.Class("shop") {
		t.Error("the namespaces share a view")
	}
}
