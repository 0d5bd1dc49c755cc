package egress_test

// ordinaryObjects are objects as the documentation of meshes has them: they have
// no problem.
func ordinaryObjects() []fault {
	entries := map[string]string{
		"HTTPS by name":       `{hosts: [one.test, two.test, three.test], location: MESH_EXTERNAL, ports: [{number: 443, name: https, protocol: TLS}], resolution: DNS}`,
		"HTTP and HTTPS":      `{hosts: [site.test], location: MESH_EXTERNAL, ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: https, protocol: HTTPS}], resolution: DNS}`,
		"a wildcard":          `{hosts: ["*.site.test"], location: MESH_EXTERNAL, ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: https, protocol: TLS}], resolution: NONE}`,
		"a wildcard, dynamic": `{hosts: ["*.site.test"], ports: [{number: 443, name: tls, protocol: TLS}], resolution: DYNAMIC_DNS}`,
		"a database":          `{hosts: [db.test], addresses: [192.0.2.0/24], ports: [{number: 27018, name: mongo, protocol: MONGO}], location: MESH_EXTERNAL, resolution: STATIC, endpoints: [{address: 192.0.2.2}, {address: 192.0.2.3}]}`,
		"a range":             `{hosts: [db.test], addresses: [192.0.2.0/24], ports: [{number: 5432, name: tcp, protocol: TCP}], location: MESH_EXTERNAL}`,
		"endpoints by name":   `{hosts: [api.test], location: MESH_EXTERNAL, ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS, endpoints: [{address: us.api.test, ports: {http: 8080}}, {address: uk.api.test, ports: {http: 9080}}, {address: in.api.test, ports: {http: 7080}}]}`,
		"two ports":           `{hosts: [api.test], ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}, {number: 8443, name: tls, protocol: TLS}], resolution: STATIC, endpoints: [{address: 192.0.2.2, weight: 20, ports: {tls: 443}}]}`,
		"gRPC":                `{hosts: [api.test], ports: [{number: 50051, name: grpc, protocol: GRPC}], resolution: DNS, exportTo: ["."]}`,
		"exported":            `{hosts: [api.test], ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS, exportTo: [".", istio-system]}`,
	}
	routes := map[string]string{
		"a timeout":     route(`timeout: 3s`),
		"retries":       route(`retries: {attempts: 3, perTryTimeout: 2s, retryOn: "connect-failure,refused-stream,503"}`),
		"weights":       `{hosts: [a.example], http: [{route: [{destination: {host: a.example}, weight: 75}, {destination: {host: b.example}, weight: 25}]}]}`,
		"canary":        `{hosts: [a.example], gateways: [mesh], http: [{name: primary, route: [{destination: {host: a.example}, weight: 100}, {destination: {host: b.example}, weight: 0}]}]}`,
		"a redirect":    `{hosts: [a.example], http: [{match: [{uri: {exact: /v1/x}}], redirect: {uri: /v1/y, authority: b.example}}, {` + toA + `}]}`,
		"to HTTPS":      `{hosts: [a.example], http: [{redirect: {scheme: https, port: 443, redirectCode: 308}}]}`,
		"a rewrite":     `{hosts: [a.example], http: [{match: [{uri: {prefix: /ratings}}], rewrite: {uri: /v1/ratings}, ` + toA + `}]}`,
		"a prefix":      `{hosts: [a.example], http: [{match: [{uri: {prefix: /catalog}}, {uri: {prefix: /products}}], rewrite: {uri: /new}, ` + toA + `}, {` + toA + `}]}`,
		"CORS":          route(`corsPolicy: {allowOrigins: [{exact: "https://b.example"}, {prefix: "https://"}], allowMethods: [POST, GET], allowCredentials: false, allowHeaders: [X-Foo-Bar], maxAge: 24h}`),
		"headers":       route(`headers: {request: {set: {test: "true"}}, response: {remove: [foo]}}`),
		"a fault":       route(`fault: {delay: {percentage: {value: 0.1}, fixedDelay: 5s}}`),
		"a mirror":      route(`mirror: {host: b.example}, mirrorPercentage: {value: 100.0}`),
		"a response":    `{hosts: [a.example], http: [{match: [{method: {exact: DELETE}}], directResponse: {status: 503, body: {string: "no"}}}, {` + toA + `}]}`,
		"by SNI":        sni(`match: [{port: 443, sniHosts: [tls.example]}], ` + toTLS),
		"by header":     route(`match: [{headers: {end-user: {exact: jason}}, ignoreUriCase: true, uri: {prefix: /r}}, {headers: {cookie: {regex: "^(.*?;)?(user=jason)(;.*)?$"}}}]`),
		"by parameters": route(`match: [{queryParams: {debug: {exact: "1"}}}]`),
	}
	var out []fault
	for name, spec := range entries {
		out = append(out, entryFault(name, spec, ""))
	}
	for name, spec := range routes {
		out = append(out, routeFault(name, spec, ""))
	}
	return out
}
