package egresstest

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/egress/decide"
	"github.com/outrider-mesh/outrider/test/kit"
)

// Victim is the namespace that hijacks are aimed at, and Tenant the one that tries them.
const Victim, Tenant = "shop", "tenant"

// The addresses of HijackWorld: of what Victim declares, of a host that nobody declares,
// of a Service of the cluster, and of the tenant's own server.
const (
	HijackOther   = "198.51.100.99"
	HijackRange   = "203.0.114.7"
	HijackAddress = "203.0.113.7"
	HijackService = "10.96.0.77"
	HijackThief   = "192.0.2.79"
)

// HijackNames are the addresses of the names that are reached.
func HijackNames() map[string]string {
	return map[string]string{
		"api.corp.test": "192.0.2.71", "db.corp.test": "192.0.2.72", "plain.root.corp.test": "192.0.2.73", "a.root.corp.test": "192.0.2.73",
		"cache.corp.test": "192.0.2.74", "a.wild.corp.test": "192.0.2.75", "b.a.wild.corp.test": "192.0.2.76", "addr.corp.test": "192.0.2.77", "api2.corp.test": "192.0.2.78",
		"nowhere.corp.test": HijackOther, "a.nowhere.corp.test": HijackOther, "mine.test": HijackThief,
	}
}

// HijackWorld is what Victim and the root namespace declare; the objects of Tenant are
// older.
const HijackWorld = `
---
kind: ServiceEntry
metadata: {namespace: shop, name: api, created: "2026-01-02T00:00:00Z"}
spec: {hosts: [api.corp.test, api2.corp.test], ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}], resolution: DNS}

---
kind: VirtualService
metadata: {namespace: shop, name: api, created: "2026-01-02T00:00:00Z"}
spec: {hosts: [api.corp.test], http: [{match: [{uri: {prefix: /v1/}}], timeout: 5s, headers: {request: {set: {x-shop: "1"}}, response: {set: {x-by: shop}}}, route: [{destination: {host: api.corp.test}}]}, {route: [{destination: {host: api.corp.test}}]}]}

---
kind: ServiceEntry
metadata: {namespace: shop, name: wild, created: "2026-01-02T00:00:00Z"}
spec: {hosts: ["*.wild.corp.test"], ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}]}

---
kind: ServiceEntry
metadata: {namespace: shop, name: db, created: "2026-01-02T00:00:00Z"}
spec: {hosts: [db.corp.test], ports: [{number: 9000, name: tcp, protocol: TCP}], resolution: DNS}

---
kind: ServiceEntry
metadata: {namespace: shop, name: cache, created: "2026-01-02T00:00:00Z"}
spec: {hosts: [cache.corp.test], addresses: [203.0.114.0/24], ports: [{number: 8081, name: tcp, protocol: TCP}, {number: 443, name: tls, protocol: TLS}], resolution: STATIC, endpoints: [{address: 192.0.2.74}]}

---
kind: ServiceEntry
metadata: {namespace: shop, name: address, created: "2026-01-02T00:00:00Z"}
spec: {hosts: [addr.corp.test], addresses: [203.0.113.7], ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS}

---
kind: ServiceEntry
metadata: {namespace: istio-system, name: root, created: "2026-01-02T00:00:00Z"}
spec: {exportTo: ["*"], hosts: ["*.root.corp.test", plain.root.corp.test], ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}]}

---
kind: VirtualService
metadata: {namespace: istio-system, name: root, created: "2026-01-02T00:00:00Z"}
spec: {exportTo: ["*"], hosts: [plain.root.corp.test], http: [{headers: {response: {set: {x-by: root}}}, route: [{destination: {host: plain.root.corp.test}}]}]}

---
inCluster:
- {address: 10.96.0.77, ports: [80, 443], service: {namespace: shop, name: web}}
`

// HijackRequests are those of Victim, to all that HijackWorld declares and to hosts that
// nobody declares.
func HijackRequests() []decide.Request {
	var out []decide.Request
	http := func(address string, port uint16, path string, hosts ...string) {
		for _, h := range hosts {
			out = append(out, decide.Request{Address: netip.MustParseAddr(address), Port: port, Protocol: decide.HTTP, Method: "GET", Authority: h, Path: path, Header: map[string][]string{}})
		}
	}
	tls := func(address string, port uint16, names ...string) {
		for _, n := range names {
			out = append(out, decide.Request{Address: netip.MustParseAddr(address), Port: port, Protocol: decide.TLS, ServerName: n, Method: "GET", Authority: "x", Path: "/", Header: map[string][]string{}})
		}
	}
	tcp := func(address string, ports ...uint16) {
		for _, p := range ports {
			out = append(out, decide.Request{Address: netip.MustParseAddr(address), Port: p, Protocol: decide.TCP})
		}
	}
	http(HijackOther, 80, "/v1/x", "api.corp.test", "API.corp.test:80")
	http(HijackOther, 80, "/", "api2.corp.test", "a.wild.corp.test", "b.a.wild.corp.test", "plain.root.corp.test", "a.root.corp.test", "nowhere.corp.test", "a.nowhere.corp.test", HijackAddress)
	http(HijackOther, 8080, "/", "api.corp.test", "nowhere.corp.test")
	http(HijackService, 80, "/", "web.shop.svc.cluster.local", "web")
	tls(HijackOther, 443, "api.corp.test", "a.wild.corp.test", "plain.root.corp.test", "a.root.corp.test", "nowhere.corp.test", "a.nowhere.corp.test", "")
	tls(HijackRange, 443, "")
	tls(HijackService, 443, "web.shop.svc.cluster.local")
	tcp(HijackOther, 9000, 8080)
	tcp(HijackRange, 8081)
	return out
}

// Shipped is the mesh configuration that the chart installs, with a mode and fields that
// replace those of it.
func Shipped(t testing.TB, mode string) string {
	t.Helper()
	root, err := kit.Checkout()
	kit.Must(t, err)
	text, err := os.ReadFile(filepath.Join(root, "deploy", "settings.yaml")) // rendered from deploy/chart
	kit.Must(t, err)
	var found corev1.ConfigMap
	for doc := range strings.SplitSeq(string(text), "\n---\n") {
		var m corev1.ConfigMap
		kit.Must(t, yaml.Unmarshal([]byte(doc), &m))
		if m.Name == "istio" {
			found = m
		}
	}
	mesh := map[string]any{}
	kit.Must(t, yaml.Unmarshal([]byte(found.Data["mesh"]), &mesh))
	if len(mesh) < 3 {
		t.Fatalf("the shipped mesh configuration has %v", mesh)
	}
	mesh["outboundTrafficPolicy"] = map[string]any{"mode": mode}
	out, err := yaml.Marshal(mesh)
	kit.Must(t, err)
	return string(out)
}

// Hijack is what a tenant tries.
type Hijack struct {
	Name string
	// Of is where the host that it is for is declared: Victim, the root namespace, "nowhere", or
	// "Service" for one of the cluster.
	Of      string
	Objects string // as in Parse
}

// Input is a mesh with HijackWorld and the objects of the tenant, which are exported to
// exportTo where they do not state it.
func (h Hijack) Input(t testing.TB, mesh string, exportTo ...string) egress.Input {
	t.Helper()
	in := Parse(t, mesh+HijackWorld+h.Objects)
	for _, o := range in.ServiceEntries {
		if o.Namespace == Tenant {
			stated(&o.Spec.ExportTo, exportTo)
		}
	}
	for _, o := range in.VirtualServices {
		if o.Namespace == Tenant {
			stated(&o.Spec.ExportTo, exportTo)
		}
	}
	return in
}

func stated(list *[]string, exportTo []string) {
	if len(*list) == 0 {
		*list = exportTo
	}
}
