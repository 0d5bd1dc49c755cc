package egress_test

import (
	"testing"

	networkingv1alpha3 "istio.io/api/networking/v1alpha3"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/egress/decide"
	"github.com/outrider-mesh/outrider/test/egresstest"
)

// FuzzServiceEntry builds whatever an API server may hold: it never panics, the
// resources are always made, and each problem has a path, a rule and a fix.
func FuzzServiceEntry(f *testing.F) {
	f.Add(`{"hosts": ["httpbin.org", "*.example.com"], "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}], "resolution": "DNS"}`)
	f.Add(`{"hosts": ["a.example"], "addresses": ["192.0.2.0/24"], "ports": [{"number": 9000, "name": "t", "protocol": "TCP", "targetPort": 1}]}`)
	f.Add(`{"hosts": ["a.example"], "ports": [{"number": 443, "protocol": "TLS"}], "resolution": "STATIC", "endpoints": [{"address": "192.0.2.1", "weight": 2, "ports": {"": 70000}}]}`)
	f.Add(`{"hosts": ["bu\u0308cher.example", "https://a.example:443/x"], "ports": [{"number": 443, "name": "http", "targetPort": 1}], "exportTo": [".", "*", "a/*", "~"], "location": 1, "resolution": 2, "endpoints": [{"address": "b.example", "ports": {"htpp": 0, "http": 443}, "labels": {"a": "b"}}]}`)
	f.Add(`{"hosts": [""], "ports": [null], "endpoints": [null], "addresses": ["fe80::1%eth0"], "exportTo": [""]}`)
	f.Fuzz(func(t *testing.T, text string) {
		s := &networkingv1alpha3.ServiceEntry{}
		if s.UnmarshalJSON([]byte(text)) != nil {
			t.Skip("not an object of the API")
		}
		in := egress.Input{Mesh: egresstest.Mesh(t, ""), ServiceEntries: []egress.ServiceEntry{{egress.Meta{Namespace: "shop", Name: "e"}, s, 0}}}
		m, problems := egress.Build(in)
		for _, p := range problems {
			if p.Path == "" || p.Rule == "" || p.Fix == "" {
				t.Errorf("half a problem: %+v", p)
			}
		}
		v := m.View("shop")
		made := egresstest.Make(t, v)
		if len(v.Hosts()) == 0 && problems.Err() == nil && len(s.Hosts) > 0 && len(s.ExportTo) == 0 {
			t.Errorf("neither a result nor a problem for %s", text)
		}
		for _, c := range made.Clusters {
			for _, e := range c.GetLoadAssignment().GetEndpoints() {
				for _, to := range e.LbEndpoints {
					if p := to.GetEndpoint().GetAddress().GetSocketAddress().GetPortValue(); p == 0 || p > 65535 {
						t.Errorf("cluster %s connects to port %d", c.Name, p)
					}
				}
			}
		}
	})
}

// FuzzVirtualService builds routes for declared hosts out of whatever an API
// server may hold, and asks where requests go: it never panics, the resources
// are always made, and each problem has a path, a rule and a fix.
func FuzzVirtualService(f *testing.F) {
	f.Add(`{"hosts": ["a.example"], "http": [{"match": [{"uri": {"regex": "/a(b)"}, "port": 80}], "route": [{"destination": {"host": "b.example"}, "weight": 1}], "rewrite": {"uriRegexRewrite": {"match": "(a)", "rewrite": "\\1"}}}]}`, "/ab?q=1")
	f.Add(`{"hosts": ["*.wild.example"], "tls": [{"match": [{"sniHosts": ["x.wild.example"]}], "route": [{"destination": {"host": "tls.example"}}]}]}`, "")
	f.Add(`{"hosts": ["a.example"], "gateways": ["gw", "mesh"], "http": [{"match": [{"gateways": ["gw"]}, {"uri": {"prefix": "/a"}, "method": {"exact": "get"}}], "route": [{"destination": {"host": "a.example"}, "weight": 1}], "rewrite": {"uri": "/"}, "retries": {"retryOn": "5xx"}, "corsPolicy": {"allowMethods": ["PUTT"], "allowOrigins": [{"exact": "a"}], "maxAge": "1.5s"}}]}`, "/a/b")
	f.Add(`{"hosts": [null, ""], "http": [null, {"match": [null], "route": [null], "mirrors": [null], "fault": {"abort": {"grpcStatus": ""}}}], "tls": [null, {"match": [null]}]}`, "/../..")
	f.Add(`{"hosts": ["a.example"], "http": [{"redirect": {"uri": "?", "port": 1}, "headers": {"request": {"set": {"": "%"}}}}]}`, "?")
	objects := egresstest.Parse(f, egresstest.RouteText(`{hosts: [x.example]}`)+world)
	f.Fuzz(func(t *testing.T, text, path string) {
		s := &networkingv1alpha3.VirtualService{}
		if s.UnmarshalJSON([]byte(text)) != nil {
			t.Skip("not an object of the API")
		}
		in := egress.Input{Mesh: objects.Mesh, ServiceEntries: objects.ServiceEntries}
		in.VirtualServices = []egress.VirtualService{{egress.Meta{Namespace: "shop", Name: "v"}, s, 0}}
		m, problems := egress.Build(in)
		for _, p := range problems {
			if p.Path == "" || p.Rule == "" || p.Fix == "" {
				t.Errorf("half a problem: %+v", p)
			}
		}
		v := m.View("shop")
		egresstest.Make(t, v)
		for _, r := range []decide.Request{
			{Port: 80, Protocol: decide.HTTP, Method: "GET", Authority: "a.example", Path: path},
			{Port: 80, Protocol: decide.HTTP, Method: "GET", Authority: "x.wild.example:80", Path: path, Header: map[string][]string{"a": {path}}},
			{Port: 443, Protocol: decide.TLS, ServerName: "x.wild.example"}, {Port: 9000, Protocol: decide.TCP},
		} {
			if d := decide.Decide(v, r); d.Reason == "" && d.Kind == "" {
				t.Errorf("no decision for %+v", r)
			}
		}
	})
}
