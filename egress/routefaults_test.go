package egress_test

import "strings"

// toA is a route to a.example.
const toA = `route: [{destination: {host: a.example}}]`

func gatewayFaults() []fault {
	const nothing = `no effect: nothing in this VirtualService applies to sidecars, whose only gateway is "mesh"; `
	return []fault{
		routeFault("mesh", `{hosts: [a.example], gateways: [mesh], http: [{`+toA+`}]}`, ""),
		routeFault("none", `{hosts: [a.example], gateways: [], http: [{`+toA+`}]}`, ""),
		routeFault("another", `{hosts: ["*"], gateways: [gw], http: [{route: [{destination: {host: reviews, subset: v1}}]}]}`, `warning: spec.gateways[0]: "gw": `+nothing+`add "mesh" to apply it to them`),
		routeFault("another namespace's", `{hosts: [a.example], gateways: [infra/gw, gw2], tcp: [{route: [{destination: {host: db}}]}]}`, `warning: spec.gateways[0]: "infra/gw": `+nothing),
		routeFault("delegating", `{hosts: [x.example], gateways: [gw], http: [{delegate: {name: d}}], exportTo: ["~"]}`, `warning: spec.gateways[0]: "gw": `+nothing),
		routeFault("with labels", `{hosts: [x.example, "*"], gateways: [gw], tls: [{match: [{sniHosts: ["*"], sourceLabels: {a: b}}], route: [{destination: {host: "*"}}]}]}`, `warning: spec.gateways[0]: "gw": `+nothing),
		routeFault("without hosts", `{gateways: [gw]}`, `warning: spec.gateways[0]: "gw": `+nothing),
		routeFault("nearly mesh", `{hosts: [a.example], gateways: [mash], http: [{`+toA+`}]}`, `warning: spec.gateways[0]: "mash": `+nothing+`did you mean "mesh"?`),
		routeFault("capitals", `{hosts: [a.example], gateways: [Mesh], http: [{`+toA+`}]}`, `error: spec.gateways[0]: "Mesh": must be the name of a Gateway; did you mean "mesh"?`),
		routeFault("a blank", `{hosts: [a.example], gateways: ["mesh "], http: [{`+toA+`}]}`, `error: spec.gateways[0]: "mesh ": must be the name of a Gateway; did you mean "mesh"?`),
		routeFault("an empty name", `{hosts: [a.example], gateways: [""], http: [{`+toA+`}]}`, `error: spec.gateways[0]: must be the name of a Gateway; use "mesh" for the sidecars`),
		routeFault("no name", `{hosts: [a.example], gateways: ["infra/", "", a/b/c], http: [{`+toA+`}]}`, "error: spec.gateways[0]: \"infra/\": must be\nerror: spec.gateways[1]: must be\nerror: spec.gateways[2]: \"a/b/c\": must be"),
		routeFault("both", `{hosts: [a.example], gateways: [mesh, gw], http: [{`+toA+`}]}`, `warning: spec.gateways[1]: "gw": no effect: only gateway "mesh" is supported`),
		routeFault("both, each with its route", `{hosts: [a.example], gateways: [mesh, gw], http: [{match: [{gateways: [gw], sourceLabels: {a: b}}], delegate: {name: d}}, {match: [{gateways: [mesh]}], `+toA+`}]}`,
			`warning: spec.gateways[1]: "gw": no effect`),
		routeFault("both, in one route", `{hosts: [a.example], gateways: [mesh, gw], http: [{match: [{gateways: [gw], sourceLabels: {a: b}}, {gateways: [mesh]}], `+toA+`}]}`, `warning: spec.gateways[1]: "gw": no effect`),
		routeFault("both, for TCP and TLS", `{hosts: [tls.example], gateways: [mesh, gw], tcp: [{match: [{gateways: [gw]}], route: [{destination: {host: db}}]}], tls: [{match: [{gateways: [gw], sniHosts: [no.example]}], `+toTLS+`}]}`,
			`warning: spec.gateways[1]: "gw": no effect`),
		routeFault("one route for another", `{hosts: [a.example], http: [{match: [{gateways: [gw]}], `+toA+`}, {`+toA+`}]}`, `warning: spec.http[0].match[0].gateways[0]: "gw": no effect`),
		routeFault("a delegate", `{http: [{`+toA+`}]}`, `warning: spec.hosts: virtual service must have at least one host to apply to sidecars`),
	}
}

func routeFaults() []fault {
	disabled := `error: spec.http[0].retries.attempts: attempts is 0 or not set, which disables retries: it cannot be combined with `
	cors := func(fields string) string { return route(`corsPolicy: {` + fields + `}`) }
	const anyOrigin = `allowOrigins: [{exact: "*"}]`
	return []fault{
		routeFault("retries", route(`retries: {attempts: 2, retryOn: 5xx, perTryTimeout: 2s}, timeout: 5s`), ""),
		routeFault("no retries", route(`retries: {attempts: 0}`), ""),
		routeFault("retries without attempts", route(`retries: {retryOn: 5xx, perTryTimeout: 2s}`), disabled+"retryOn and perTryTimeout; set attempts, such as 2, or remove retryOn and perTryTimeout"),
		routeFault("retryOn alone", route(`retries: {retryOn: 5xx}`), disabled+"retryOn; set"),
		routeFault("perTryTimeout of zero", route(`retries: {perTryTimeout: 0s}`), disabled+"perTryTimeout; set"),
		routeFault("perTryTimeout and zero", route(`retries: {attempts: 0, perTryTimeout: 2s}`), disabled+"perTryTimeout; set"),
		routeFault("localities alone", route(`retries: {retryRemoteLocalities: true}`), "warning: spec.http[0].retries.retryRemoteLocalities: no effect\n"+disabled+"retryRemoteLocalities"),
		routeFault("backoff alone", route(`retries: {backoff: 1s}`), "warning: spec.http[0].retries.backoff: no effect: attempts is 0 or not set"),
		routeFault("hosts alone", route(`retries: {retryIgnorePreviousHosts: true}`), "warning: spec.http[0].retries.retryIgnorePreviousHosts: no effect: attempts is 0"),
		routeFault("longer than the route", route(`timeout: 1s, retries: {attempts: 2, perTryTimeout: 2s}`), `warning: spec.http[0].retries.perTryTimeout: "2s": no effect: it is longer than the timeout of the route, 1s`),

		routeFault("no weight", `{hosts: [a.example], http: [{route: [{destination: {host: a.example}, weight: 100}, {destination: {host: b.example}}]}]}`, `warning: spec.http[0].route[1].weight: without a weight, beside destinations with one, this destination receives no requests; set weight`),
		routeFault("weight 0", `{hosts: [a.example], http: [{route: [{destination: {host: a.example}, weight: 100}, {destination: {host: b.example}, weight: 0}]}]}`, ""),
		routeFault("weight null, first", `{hosts: [a.example], http: [{route: [{destination: {host: a.example}, weight: null}, {destination: {host: b.example}, weight: 1}]}]}`, `warning: spec.http[0].route[0].weight: without a weight`),
		routeFault("two without", `{hosts: [a.example], http: [{match: [{uri: {exact: /}}], `+toA+`}, {route: [{destination: {host: a.example}}, {destination: {host: b.example}, weight: 3}, {destination: {host: b.example}}]}]}`, "warning: spec.http[1].route[0].weight\nwarning: spec.http[1].route[2].weight"),
		routeFault("TLS without", sni(`match: [{sniHosts: [tls.example]}], route: [{destination: {host: tls.example}, weight: 1}, {destination: {host: b.tls.example}}]`), `warning: spec.tls[0].route[1].weight: without a weight, beside destinations with one, this destination receives no connections`),
		routeFault("no weights", `{hosts: [a.example], http: [{route: [{destination: {host: a.example}}, {destination: {host: b.example}}]}]}`, "error: spec.http[0].route: sum of weights is 0"),
		routeFault("one destination", `{hosts: [a.example], http: [{`+toA+`}]}`, ""),

		routeFault("prefixRewrite", `{hosts: [a.example], http: [{redirect: {prefixRewrite: /x}}]}`, `error: spec.http[0].redirect.prefixRewrite: "/x": not supported; use uri`),
		routeFault("an empty redirect", `{hosts: [a.example], http: [{redirect: {}}]}`, `error: spec.http[0].redirect: redirect has no target`),
		routeFault("a delegate of a sidecar's", `{hosts: [a.example], http: [{delegate: {name: d}}]}`, `error: spec.http[0].delegate: not supported`),
		routeFault("two kinds and a timeout", route(`directResponse: {status: 200}, timeout: 1s`), `error: spec.http[0]: exactly one of route, redirect or directResponse must be set`),
		routeFault("SNI of a wrong host", `{hosts: [bücher.example], tls: [{match: [{sniHosts: [xn--bcher-kva.example]}], `+toTLS+`}]}`, `error: spec.hosts[0]: "bücher.example"`),
		routeFault("a redirect to a URL", `{hosts: [a.example], http: [{redirect: {uri: "https://b.example/x"}}]}`, `warning: spec.http[0].redirect.uri: "https://b.example/x": a path begins with "/"`),
		routeFault("a URL as authority", `{hosts: [a.example], http: [{redirect: {authority: "https://b.example/x"}}]}`, `warning: spec.http[0].redirect.authority: "https://b.example/x": invalid DNS name: ':' is not a letter, digit, "-" or "_"; use b.example`),
		routeFault("request headers of a redirect", `{hosts: [a.example], http: [{redirect: {uri: /x}, headers: {request: {set: {a: b}}, response: {set: {a: b}}}}]}`, `warning: spec.http[0].headers.request: no effect: the request is not forwarded`),

		routeFault("CORS", cors(`allowOrigins: [{exact: "https://a.example:8443"}, {regex: ".*"}], allowMethods: [GET, PATCH, "*"], maxAge: 24h`), ""),
		routeFault("CORS method", cors(anyOrigin+`, allowMethods: [PUTT]`), `error: spec.http[0].corsPolicy.allowMethods[0]: "PUTT": not an HTTP method; did you mean PUT?`),
		routeFault("CORS method in small letters", cors(anyOrigin+`, allowMethods: [GET, post]`), `error: spec.http[0].corsPolicy.allowMethods[1]: "post": not an HTTP method; did you mean POST?`),
		routeFault("CORS methods in one", cors(anyOrigin+`, allowMethods: ["GET,POST", ""]`), "error: spec.http[0].corsPolicy.allowMethods[0]: \"GET,POST\": not an HTTP method; use\nerror: spec.http[0].corsPolicy.allowMethods[1]: not an HTTP method"),
		routeFault("CORS age", cors(anyOrigin+`, maxAge: 1500ms`), `error: spec.http[0].corsPolicy.maxAge: "1.5s": must be a whole number of seconds`),
		routeFault("CORS origins", cors(`allowOrigins: [{exact: b.example}, {exact: "https://b.example/"}, {exact: "https://*.b.example"}]`), "warning: spec.http[0].corsPolicy.allowOrigins[0].exact: \"b.example\": never matches\nwarning: spec.http[0].corsPolicy.allowOrigins[1].exact: \"https://b.example/\": never matches: an origin is scheme://host, with :port unless it is the default, in lower case and without a path; use https://b.example\nwarning: spec.http[0].corsPolicy.allowOrigins[2].exact: \"https://*.b.example\": never matches: \"*\""),
		routeFault("CORS without origins", cors(`allowMethods: [GET]`), `warning: spec.http[0].corsPolicy.allowOrigins: allowOrigins is required`),
		routeFault("method", match(`method: {exact: get}`), `warning: spec.http[0].match[0].method.exact: "get": not an HTTP method; use a method such as GET`),
		routeFault("method misspelt", match(`method: {exact: PUTT}`), `warning: spec.http[0].match[0].method.exact: "PUTT": not an HTTP method; use a method such as PUT`),
		routeFault("method of WebDAV", match(`method: {exact: PROPFIND}`), ""),
	}
}

func rewriteFaults() []fault {
	to := func(match, uri string) string { return route(match + `rewrite: {uri: "` + uri + `"}`) }
	prefix := func(p string) string { return `match: [{uri: {prefix: ` + p + `}}], ` }
	const at = `warning: spec.http[0].rewrite.uri: `
	return []fault{
		routeFault("both bare", to(prefix("/api"), "/v2"), ""),
		routeFault("both with a slash", to(prefix("/api/"), "/v2/"), ""),
		routeFault("stripped", to(`match: [{uri: {prefix: /api/}}, {uri: {exact: /api}}], `, "/"), ""),
		routeFault("stripped with a slash", to(prefix("/api/"), "/"), at+`"/": requests for /api do not match prefix "/api/"; add a match of uri.exact /api`),
		routeFault("stripped without one", to(prefix("/api"), "/"), at+`"/": this ends with "/" and prefix "/api" does not: /api/x becomes //x; match uri.prefix /api/ and uri.exact /api instead`),
		routeFault("a slash more", to(prefix("/api"), "/v2/"), at+`"/v2/": this ends with "/" and prefix "/api" does not: /api/x becomes /v2//x`),
		routeFault("a slash less", to(prefix("/api/"), "/v2"), at+`"/v2": prefix "/api/" ends with "/" and this does not: /api/x becomes /v2x; use /v2/`),
		routeFault("all requests", to("", "/v2"), at+`"/v2": prefix "/" ends with "/" and this does not: /x becomes /v2x; use /v2/`),
		routeFault("all requests by header", to(`match: [{headers: {a: {}}}], `, "/v2"), at+`"/v2": prefix "/" ends`),
		routeFault("all requests, with a slash", to("", "/v2/"), ""),
		routeFault("unchanged", to(prefix("/"), "/"), at+`"/": no effect: it is equal to the prefix`),
		routeFault("relative", to(prefix("/api"), "v2"), at+`"v2": a path begins with "/"; use /v2`),
		routeFault("exact", to(`match: [{uri: {exact: /api}}], `, "/"), ""),
		routeFault("another route has it", strings.Replace(to(prefix("/api/"), "/"), "http: [", "http: [{match: [{uri: {exact: /api}}], redirect: {uri: /api/}}, ", 1), ""),
		routeFault("authority", route(`rewrite: {authority: "http://b.example"}`), `warning: spec.http[0].rewrite.authority: "http://b.example": invalid DNS name: ':' is not a letter, digit, "-" or "_"; use b.example`),
		routeFault("authority in another script", route(`rewrite: {authority: bücher.example}`), `warning: spec.http[0].rewrite.authority: "bücher.example": invalid DNS name: "ü" is not an ASCII letter, digit, "-" or "_"; use xn--bcher-kva.example`),
		routeFault("a header as authority", route(`headers: {request: {set: {Host: bücher.example}}}`), `warning: spec.http[0].headers.request.set.Host: "bücher.example": invalid DNS name: "ü" is not`),
		routeFault("match of an authority", match(`authority: {exact: "https://a.example"}`), `warning: spec.http[0].match[0].authority.exact: "https://a.example": invalid DNS name: ':' is not a letter, digit, "-" or "_"; use a.example`),
		routeFault("match of an authority in another script", match(`authority: {exact: bücher.example}`), `warning: spec.http[0].match[0].authority.exact: "bücher.example": invalid DNS name: "ü" is not an ASCII letter, digit, "-" or "_"; use xn--bcher-kva.example`),
		routeFault("authority with a port", route(`rewrite: {authority: "b.example:8080"}`), ""),
	}
}

func hostFaults() []fault {
	host := func(h string) string {
		return `{hosts: ["` + h + `"], ports: [{number: 80, name: http, protocol: HTTP}]}`
	}
	const at, ascii = `error: spec.hosts[0]: `, ` is not an ASCII letter, digit, "-" or "_"; use `
	return []fault{
		entryFault("umlaut", host("bücher.example"), at+`"bücher.example": invalid DNS name: "ü"`+ascii+`xn--bcher-kva.example`),
		entryFault("capital umlaut", host("BÜCHER.Example"), at+`"BÜCHER.Example": invalid DNS name: "Ü"`+ascii+`xn--bcher-kva.example`),
		entryFault("decomposed umlaut", host(`bu\u0308cher.example`), at+"\"bu\u0308cher.example\": invalid DNS name: \"u\u0308\""+ascii+`xn--bcher-kva.example`),
		entryFault("wildcard", host("*.bücher.example"), at+`"*.bücher.example": invalid DNS name: "ü"`+ascii+`*.xn--bcher-kva.example`),
		entryFault("another script", host("日本.example"), at+`"日本.example": invalid DNS name: "日"`+ascii+`xn--wgv71a.example`),
		entryFault("emoji", host("i❤️.example"), at+`"i❤️.example": invalid DNS name: "❤️"`+ascii),
		entryFault("emoji of several", host("👩‍💻.example"), at+`"👩\u200d💻.example": invalid DNS name: "👩\u200d💻" is not an ASCII`),
		entryFault("full-width dot", host("a。example"), at+`"a。example": invalid DNS name: "。"`+ascii+`a.example`),
		entryFault("no-break space", host(`a.example\u00a0`), at+`"a.example\u00a0": invalid DNS name: "\u00a0"`+ascii+`a.example`),
		entryFault("zero-width space", host(`a\u200b.example`), at+`"a\u200b.example": invalid DNS name: "\u200b"`+ascii+`a.example`),
		entryFault("xn--", host("xn--bcher-kva.example"), ""),
		entryFault("underscore and final dot", host("_a.B.example."), ""),
		entryFault("URL", host("https://www.example.com/x"), at+`"https://www.example.com/x": invalid DNS name: ':' is not a letter, digit, "-" or "_"; use www.example.com`),
		entryFault("port", host("www.example.com:443"), at+`"www.example.com:443": invalid DNS name: ':' is not a letter, digit, "-" or "_"; use www.example.com`),
		entryFault("blank", host(" www.example.com "), at+`" www.example.com ": invalid DNS name: ' ' is not a letter, digit, "-" or "_"; use www.example.com`),
		entryFault("leading dot", host(".example.com"), at+`".example.com": invalid DNS name: a label must have 1 to 63 characters; use *.example.com`),
		entryFault("nothing to suggest", host("a b"), at+`"a b": invalid DNS name: ' ' is not a letter, digit, "-" or "_"; use a name such as`),
		entryFault("endpoint", web(`endpoints: [{address: bücher.example}]`), `error: spec.endpoints[0].address: "bücher.example": invalid DNS name: "ü"`+ascii+`xn--bcher-kva.example`),
		routeFault("host", `{hosts: [bücher.example], http: [{`+toA+`}]}`, at+`"bücher.example": invalid DNS name: "ü"`+ascii+`xn--bcher-kva.example`),
		routeFault("destination", `{hosts: [a.example], http: [{route: [{destination: {host: bücher.example}}]}]}`, `error: spec.http[0].route[0].destination.host: "bücher.example": invalid DNS name: "ü"`+ascii+`xn--bcher-kva.example`),
		routeFault("SNI", sni(`match: [{sniHosts: [bücher.example]}], `+toTLS), `error: spec.tls[0].match[0].sniHosts[0]: "bücher.example": invalid DNS name: "ü"`+ascii+`xn--bcher-kva.example`),
		routeFault("mirror", route(`mirror: {host: "https://b.example"}`), `error: spec.http[0].mirror.host: "https://b.example": invalid DNS name: ':' is not a letter, digit, "-" or "_"; use b.example`),
	}
}
