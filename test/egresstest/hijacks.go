package egresstest

// tenantOwn is a host of the tenant's own, that its routes go to.
const tenantOwn = `
---
kind: ServiceEntry
metadata: {namespace: tenant, name: mine, created: "2025-01-01T00:00:00Z"}
spec: {hosts: [mine.test], ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}], resolution: STATIC, endpoints: [{address: 192.0.2.79}]}
`

const (
	httpAndTLS = "ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}]"
	toThief    = ", resolution: STATIC, endpoints: [{address: 192.0.2.79}]"
	toMine     = "http: [{route: [{destination: {host: mine.test}}]}]"
)

func tenantEntry(spec string) string { return tenantObject("ServiceEntry", "e", spec) }

func tenantRoutes(spec string) string { return tenantObject("VirtualService", "v", spec) }

func tenantObject(kind, name, spec string) string {
	return "\n---\nkind: " + kind + "\nmetadata: {namespace: tenant, name: " + name + ", created: \"2025-01-01T00:00:00Z\"}\nspec: {" + spec + "}\n"
}

// Hijacks are what a tenant may try, by what the host is declared by.
func Hijacks() []Hijack {
	var out []Hijack
	add := func(of string, all ...[2]string) {
		for _, one := range all {
			out = append(out, Hijack{Of: of, Name: one[0], Objects: one[1]})
		}
	}
	add(Victim,
		[2]string{"an entry with endpoints", tenantEntry("hosts: [api.corp.test], " + httpAndTLS + toThief)},
		[2]string{"an entry with DNS", tenantEntry("hosts: [api.corp.test], " + httpAndTLS + ", resolution: DNS, endpoints: [{address: mine.test}]")},
		[2]string{"an entry with NONE", tenantEntry("hosts: [api.corp.test], " + httpAndTLS + ", resolution: NONE")},
		[2]string{"an entry that selects pods", tenantEntry("hosts: [api.corp.test], " + httpAndTLS + ", resolution: DNS, location: MESH_INTERNAL, workloadSelector: {labels: {app: thief}}, addresses: [192.0.2.79]")},
		[2]string{"another port", tenantEntry("hosts: [api.corp.test], ports: [{number: 8080, name: http, protocol: HTTP}]" + toThief)},
		[2]string{"another protocol on the ports", tenantEntry("hosts: [api.corp.test], ports: [{number: 80, name: tls, protocol: TLS}, {number: 443, name: http, protocol: HTTP}]" + toThief)},
		[2]string{"TCP on the ports", tenantEntry("hosts: [api.corp.test], ports: [{number: 80, name: a, protocol: TCP}, {number: 443, name: b, protocol: TCP}]" + toThief)},
		[2]string{"GRPC and HTTP2", tenantEntry("hosts: [api.corp.test], ports: [{number: 80, name: g, protocol: GRPC}, {number: 443, name: h, protocol: HTTP2}]" + toThief)},
		[2]string{"a name in upper case", tenantEntry("hosts: [API.corp.Test], " + httpAndTLS + toThief)},
		[2]string{"a name with a final dot", tenantEntry("hosts: [api.corp.test.], " + httpAndTLS + toThief)},
		[2]string{"a wider wildcard", tenantEntry(`hosts: ["*.corp.test"], ` + httpAndTLS + toThief)},
		[2]string{"a wider wildcard on another port", tenantEntry(`hosts: ["*.corp.test"], ports: [{number: 8080, name: http, protocol: HTTP}]` + toThief)},
		[2]string{"a name under the wildcard", tenantEntry("hosts: [a.wild.corp.test], " + httpAndTLS + toThief)},
		[2]string{"a wildcard under the wildcard", tenantEntry(`hosts: ["*.a.wild.corp.test"], ` + httpAndTLS + toThief)},
		[2]string{"the wildcard", tenantEntry(`hosts: ["*.wild.corp.test"], ` + httpAndTLS + toThief)},
		[2]string{"TCP of the port", tenantEntry("hosts: [db.corp.test], ports: [{number: 9000, name: t, protocol: TCP}]" + toThief)},
		[2]string{"TCP of the port, another host", tenantEntry("hosts: [mine.test], ports: [{number: 9000, name: t, protocol: TCP}]" + toThief)},
		[2]string{"HTTP on the TCP port", tenantEntry("hosts: [mine.test], ports: [{number: 9000, name: h, protocol: HTTP}]" + toThief)},
		[2]string{"TLS on the TCP port", tenantEntry("hosts: [mine.test], ports: [{number: 9000, name: h, protocol: TLS}]" + toThief)},
		[2]string{"single addresses in the range", tenantEntry("hosts: [mine.test], addresses: [203.0.114.7], ports: [{number: 8081, name: a, protocol: TCP}, {number: 443, name: b, protocol: TLS}]" + toThief)},
		[2]string{"a range over the range", tenantEntry("hosts: [mine.test], addresses: [203.0.0.0/16], ports: [{number: 8081, name: a, protocol: TCP}, {number: 443, name: b, protocol: TLS}]" + toThief)},
		[2]string{"a range over the port", tenantEntry("hosts: [mine.test], addresses: [198.51.0.0/16], ports: [{number: 9000, name: a, protocol: TCP}, {number: 80, name: b, protocol: TCP}, {number: 443, name: c, protocol: TCP}]" + toThief)},
		[2]string{"all addresses", tenantEntry("hosts: [mine.test], addresses: [0.0.0.0/1, 128.0.0.0/1], ports: [{number: 9000, name: a, protocol: TCP}, {number: 80, name: b, protocol: TCP}, {number: 443, name: c, protocol: TCP}]" + toThief)},
		[2]string{"an address as Host", tenantEntry("hosts: [mine.test], addresses: [203.0.113.7], ports: [{number: 80, name: http, protocol: HTTP}]" + toThief)},
		[2]string{"routes", tenantOwn + tenantRoutes("hosts: [api.corp.test], "+toMine)},
		[2]string{"an entry and routes", tenantEntry("hosts: [api.corp.test], "+httpAndTLS+toThief) + tenantOwn + tenantRoutes("hosts: [api.corp.test], "+toMine)},
		[2]string{"a redirect", tenantRoutes("hosts: [api.corp.test], http: [{redirect: {authority: mine.test}}]")},
		[2]string{"a mirror", tenantOwn + tenantRoutes("hosts: [api.corp.test], http: [{route: [{destination: {host: api.corp.test}}], mirror: {host: mine.test}}]")},
		[2]string{"a fault", tenantRoutes("hosts: [api.corp.test], http: [{fault: {abort: {percentage: {value: 100}, httpStatus: 500}}, route: [{destination: {host: api.corp.test}}]}]")},
		[2]string{"headers", tenantRoutes("hosts: [api.corp.test], http: [{headers: {request: {set: {x-stolen: mine}}, response: {set: {x-by: tenant}}}, route: [{destination: {host: api.corp.test}}]}]")},
		[2]string{"a rewrite and a timeout", tenantRoutes("hosts: [api.corp.test], http: [{rewrite: {authority: mine.test, uri: /}, timeout: 0.001s, route: [{destination: {host: api.corp.test}}]}]")},
		[2]string{"a direct response", tenantRoutes("hosts: [api.corp.test], http: [{directResponse: {status: 418}}]")},
		[2]string{"routes of a wildcard", tenantOwn + tenantRoutes(`hosts: ["*.corp.test"], `+toMine)},
		[2]string{"routes of a name under the wildcard", tenantOwn + tenantRoutes("hosts: [a.wild.corp.test], "+toMine)},
		[2]string{"routes by SNI", tenantOwn + tenantRoutes("hosts: [api.corp.test], tls: [{match: [{sniHosts: [api.corp.test]}], route: [{destination: {host: mine.test, port: {number: 443}}}]}]")},
		[2]string{"two namespaces", tenantEntry("hosts: [api.corp.test], "+httpAndTLS+toThief) + "\n---\nkind: ServiceEntry\nmetadata: {namespace: tenant2, name: e, created: \"2024-01-01T00:00:00Z\"}\nspec: {exportTo: [shop, tenant], hosts: [\"*.corp.test\"], " + httpAndTLS + toThief + "}\n"},
	)
	add("the root namespace",
		[2]string{"an entry for a root host", tenantEntry("hosts: [plain.root.corp.test], " + httpAndTLS + toThief)},
		[2]string{"a name under the root's wildcard", tenantEntry("hosts: [a.root.corp.test], " + httpAndTLS + toThief)},
		[2]string{"a wildcard over the root's", tenantEntry(`hosts: ["*.corp.test"], ports: [{number: 80, name: http, protocol: HTTP}, {number: 8080, name: web, protocol: HTTP}]` + toThief)},
		[2]string{"routes for a root host", tenantOwn + tenantRoutes("hosts: [plain.root.corp.test], "+toMine)},
		[2]string{"a response for a root wildcard", tenantRoutes(`hosts: ["*.root.corp.test"], http: [{directResponse: {status: 418}}]`)},
		[2]string{"routes by SNI for a root host", tenantOwn + tenantRoutes("hosts: [a.root.corp.test], tls: [{match: [{sniHosts: [a.root.corp.test]}], route: [{destination: {host: mine.test, port: {number: 443}}}]}]")},
	)
	add("nowhere",
		[2]string{"an entry that opens it", tenantEntry("hosts: [nowhere.corp.test], " + httpAndTLS + ", resolution: DNS")},
		[2]string{"an entry that leads it elsewhere", tenantEntry("hosts: [nowhere.corp.test], " + httpAndTLS + toThief)},
		[2]string{"a wildcard over it", tenantEntry(`hosts: ["*.nowhere.corp.test"], ` + httpAndTLS)},
		[2]string{"its addresses", tenantEntry("hosts: [mine.test], addresses: [198.51.100.99], ports: [{number: 8080, name: a, protocol: TCP}]" + toThief)},
		[2]string{"an entry for it and routes", tenantEntry("hosts: [nowhere.corp.test], "+httpAndTLS+toThief) + tenantRoutes("hosts: [nowhere.corp.test], http: [{directResponse: {status: 418}}]")},
		[2]string{"routes for it alone", tenantOwn + tenantRoutes("hosts: [nowhere.corp.test], "+toMine)},
		[2]string{"a port of it", tenantEntry("hosts: [mine.test], ports: [{number: 8080, name: http, protocol: HTTP}]" + toThief)},
		[2]string{"a Service with its address", "\n---\ninCluster: [{address: 198.51.100.99, namespace: tenant, service: {namespace: tenant, name: s}}]\n"},
		[2]string{"a Sidecar", tenantObject("Sidecar", "s", `outboundTrafficPolicy: {mode: ALLOW_ANY}, egress: [{hosts: ["shop/*"]}]`)},
	)
	add("Service",
		[2]string{"an entry for a Service", tenantEntry("hosts: [web.shop.svc.cluster.local], addresses: [10.96.0.77], " + httpAndTLS + toThief)},
		[2]string{"routes for a Service", tenantOwn + tenantRoutes("hosts: [web.shop.svc.cluster.local, web.shop.svc], "+toMine)},
		[2]string{"the address of a Service", tenantEntry("hosts: [mine.test], addresses: [10.96.0.77], ports: [{number: 443, name: tls, protocol: TLS}, {number: 8080, name: a, protocol: TCP}]" + toThief)},
		[2]string{"a short name of a Service", tenantEntry("hosts: [web.shop], " + httpAndTLS + toThief)},
	)
	return out
}
