package xds

import (
	"strings"
	"testing"

	networkingv1alpha3 "istio.io/api/networking/v1alpha3"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/test/kit"
)

// modelOf builds a model from a mode of outboundTrafficPolicy and objects; the
// text of an entry or a route is its spec as JSON.
func modelOf(t testing.TB, mode string, change ...func(*egress.Input)) *egress.Model {
	t.Helper()
	in := egress.Input{Mesh: meshOf(t, mode)}
	for _, f := range change {
		f(&in)
	}
	m, problems := egress.Build(in)
	kit.Must(t, problems.Err())
	return m
}

// meshOf is a mesh configuration with a mode, and more keys.
func meshOf(t testing.TB, mode string, more ...string) *egress.Mesh {
	t.Helper()
	c, found := config.Parse(config.Texts{Mesh: "accessLogFile: /dev/stdout\noutboundTrafficPolicy: {mode: " + mode + "}\n" + strings.Join(more, "\n")}, config.Labels{})
	kit.Must(t, found.Err())
	return egress.CompileMesh(c.Mesh)
}

func entryOf(t testing.TB, namespace, name, spec string) func(*egress.Input) {
	t.Helper()
	s := &networkingv1alpha3.ServiceEntry{}
	kit.Must(t, s.UnmarshalJSON([]byte(spec)))
	return func(in *egress.Input) {
		in.ServiceEntries = append(in.ServiceEntries, egress.ServiceEntry{Meta: egress.Meta{Namespace: namespace, Name: name}, Spec: s})
	}
}

func routeOf(t testing.TB, namespace, name, spec string) func(*egress.Input) {
	t.Helper()
	s := &networkingv1alpha3.VirtualService{}
	kit.Must(t, s.UnmarshalJSON([]byte(spec)))
	return func(in *egress.Input) {
		in.VirtualServices = append(in.VirtualServices, egress.VirtualService{Meta: egress.Meta{Namespace: namespace, Name: name}, Spec: s})
	}
}

func sidecarOf(t testing.TB, namespace, name, spec string) func(*egress.Input) {
	t.Helper()
	s := &networkingv1alpha3.Sidecar{}
	kit.Must(t, s.UnmarshalJSON([]byte(spec)))
	return func(in *egress.Input) {
		in.Sidecars = append(in.Sidecars, egress.Sidecar{Meta: egress.Meta{Namespace: namespace, Name: name}, Spec: s})
	}
}

const (
	httpbin = `{"hosts": ["httpbin.org"], "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}], "resolution": "DNS"}`
	google  = `{"hosts": ["www.google.com"], "ports": [{"number": 443, "name": "https", "protocol": "HTTPS"}], "resolution": "DNS"}`
	wild    = `{"hosts": ["*.example.com"], "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}, {"number": 443, "name": "tls", "protocol": "TLS"}]}`
	timeout = `{"hosts": ["httpbin.org"], "http": [{"timeout": "0.3s", "route": [{"destination": {"host": "httpbin.org"}}]}]}`
)
