package xds

import (
	"testing"

	networkingv1alpha3 "istio.io/api/networking/v1alpha3"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/test/kit"
)

// refused is a regular expression that Envoy rejects.
const refused = `\p{Letter}`

// unvalidated is the model of objects of which validation missed an error: change
// changes them after they were validated.
func unvalidated(t testing.TB, mode string, change func(*egress.Input), parts ...func(*egress.Input)) *egress.Model {
	t.Helper()
	var in *egress.Input
	m := modelOf(t, mode, append(parts, func(all *egress.Input) { in = all })...)
	change(in)
	return m
}

// matching makes the first route of a VirtualService match by an expression.
func matching(name, regex string) func(*egress.Input) {
	return func(in *egress.Input) {
		for _, v := range in.VirtualServices {
			if v.Name == name {
				v.Spec.Http[0].Match = []*networkingv1alpha3.HTTPMatchRequest{{Uri: &networkingv1alpha3.StringMatch{
					MatchType: &networkingv1alpha3.StringMatch_Regex{Regex: regex},
				}}}
			}
		}
	}
}

// TestPolicyOfRejectedResources changes outboundTrafficPolicy while a sidecar rejects the
// routes, and the listeners: what is not declared is blocked all the same.
func TestPolicyOfRejectedResources(t *testing.T) {
	m := newMesh(t, nil)
	m.expectNACK.Store(true)
	bin := entryOf(t, "shop", "httpbin", httpbin)
	m.publish(modelOf(t, "ALLOW_ANY", bin), "http", "example.org", addrOther, "200")
	m.want("https", "example.org", addrOther, "/", "200")

	rejected := func(mode, more string) *egress.Model {
		log := func(in *egress.Input) { in.Mesh = meshOf(t, mode, more) }
		return unvalidated(t, mode, matching("httpbin", refused), bin, routeOf(t, "evil", "httpbin", timeout), log)
	}
	for _, more := range []string{"", `accessLogFormat: "%CEL(no such thing)%"`} { // without and with listeners
		m.server.Publish(rejected("REGISTRY_ONLY", more))
		kit.EventuallyTrue(t, "undeclared HTTP is blocked", func() bool { return m.get("http", "example.org", addrOther, "/")[0] == '5' })
		kit.EventuallyTrue(t, "undeclared TLS is closed", func() bool { return m.get("https", "example.org", addrOther, "/") == "closed" })
		m.want("http", "other.test:8080", addrOther, "/", "50")
		m.want("http", "httpbin.org", addrHTTPBin, "/", "200")
		m.publish(modelOf(t, "ALLOW_ANY", bin), "http", "example.org", addrOther, "200")
		m.publish(modelOf(t, "ALLOW_ANY", bin), "https", "example.org", addrOther, "200")
	}
}
