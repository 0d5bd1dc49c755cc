package egress

import (
	"fmt"
	"strings"
	"testing"

	networkingv1alpha3 "istio.io/api/networking/v1alpha3"

	"github.com/outrider-mesh/outrider/test/kit"
)

// TestReason has all words.
func TestReason(t *testing.T) {
	for _, c := range []struct {
		reason Reason
		want   string
	}{
		{Reason{Code: RouteBlockAll, Protocol: ReasonHTTP}, "no ServiceEntry visible to this namespace declares it for HTTP on this port; to allow it, apply what outrider egress allow http://HOST:PORT prints"},
		{Reason{Code: RouteBlockAll, Protocol: ReasonTLS, Host: "a.example", Port: 443}, "no ServiceEntry visible to this namespace declares a.example for TLS on port 443; to allow it, apply what outrider egress allow HOST:PORT prints"},
		{Reason{Code: RouteAllowAny, Protocol: ReasonTCP, Host: "192.0.2.7", Port: 5432}, "no ServiceEntry visible to this namespace declares 192.0.2.7 for TCP on port 5432; to allow it, apply what outrider egress allow tcp://ADDRESS:PORT prints"},
		{Reason{Code: RouteBlockAll, Protocol: ReasonTLS, Limited: true}, "no ServiceEntry visible to this workload through its Sidecar declares it for TLS on this port; to allow it, expose a ServiceEntry for it in egress.hosts of the Sidecar"},
		{Host{Port: 80, TargetPort: 80}.OtherPort(""), "a ServiceEntry declares it on port 80, and the Host header has another port; send the Host header without a port"},
		{Host{Port: 80, TargetPort: 8080}.OtherPort("a.example"), "a ServiceEntry declares a.example on port 80 with targetPort 8080, and the Host header has a port; send the Host header without a port"},
	} {
		if got := c.reason.Text(); got != c.want {
			t.Errorf("got\n%s, want\n%s", got, c.want)
		}
	}
}

// TestBlockedNote: an Event has the hosts by code, within the limit of its note.
func TestBlockedNote(t *testing.T) {
	block := func(host string, port uint32, protocol, code string) Reason {
		return Reason{Code: code, Protocol: protocol, Host: host, Port: port}
	}
	all := []Reason{
		block("api.pay.example", 443, ReasonTLS, RouteBlockAll), block("a.example", 80, ReasonHTTP, RouteBlockPort), block("2001:db8::7", 5432, ReasonTCP, RouteBlockAll),
	}
	want := "blocked (block_all), no ServiceEntry visible to this workload declares it: api.pay.example:443 (TLS), [2001:db8::7]:5432 (TCP); " +
		"blocked (block_port), the Host header has another port than the declared one: a.example:80 (HTTP); and 4 more; see outrider egress verify -n shop"
	if got := BlockedNote("shop", all, 4); got != want {
		t.Errorf("got\n%s, want\n%s", got, want)
	}
	long := strings.Repeat(strings.Repeat("a", 63)+".", 3) + strings.Repeat("a", 61)
	all = nil
	for range 5 {
		all = append(all, block(long, 65535, ReasonHTTP, RouteBlockAll), block(long, 65535, ReasonHTTP, RouteBlockPort))
	}
	got := BlockedNote(strings.Repeat("n", 63), all, 1<<40)
	if len(got) > 1024 || !strings.Contains(got, long) || !strings.Contains(got, fmt.Sprintf("and %d more", 1<<40+8)) {
		t.Errorf("%d bytes: %s", len(got), got)
	}
}

// TestLimitedViews: a reason is true for all workloads that share a view, and views differ by
// it only where it is in a response.
func TestLimitedViews(t *testing.T) {
	view := func(registryOnly, body bool, sidecars ...Sidecar) *View {
		mesh := *CompileMesh(nil)
		mesh.RegistryOnly = registryOnly
		m, problems := Build(Input{Mesh: &mesh, Sidecars: sidecars, BlockedBody: body})
		kit.Must(t, problems.Err())
		return m.View("shop")
	}
	own := sidecarOf(t, `{"egress": [{"hosts": ["./*"]}]}`)
	for _, registryOnly := range []bool{true, false} {
		for _, body := range []bool{true, false} {
			none, limited := view(registryOnly, body), view(registryOnly, body, own)
			if none.Limited() || !limited.Limited() {
				t.Errorf("limited: %v without a Sidecar, %v with one", none.Limited(), limited.Limited())
			}
			if differ := none.Version() != limited.Version(); differ != (registryOnly && body) {
				t.Errorf("REGISTRY_ONLY %v, body %v: the views differ: %v", registryOnly, body, differ)
			}
		}
	}
	if policy := sidecarOf(t, `{"outboundTrafficPolicy": {"mode": "REGISTRY_ONLY"}}`); view(false, true, policy).Limited() {
		t.Error("a Sidecar without hosts limits the view")
	}
	if on, off := view(true, true).Version(), view(true, false).Version(); on == off {
		t.Error("the body is not in the version")
	}
}

func sidecarOf(t *testing.T, spec string) Sidecar {
	t.Helper()
	s := &networkingv1alpha3.Sidecar{}
	kit.Must(t, s.UnmarshalJSON([]byte(spec)))
	return Sidecar{Meta: Meta{Namespace: "shop", Name: "default"}, Spec: s}
}

// TestReservedRouteNames: a route with the name of a reason code has a warning.
func TestReservedRouteNames(t *testing.T) {
	for name, want := range map[string]bool{"block_all": true, "block_port": true, "allow_any": true, "default": false, "mine": false} {
		s := &networkingv1alpha3.VirtualService{}
		kit.Must(t, s.UnmarshalJSON([]byte(`{"hosts": ["a.example"], "http": [{"name": "`+name+`", "directResponse": {"status": 502}}]}`)))
		_, problems := Build(Input{VirtualServices: []VirtualService{{Meta: Meta{Namespace: "shop", Name: "v"}, Spec: s}}})
		found := false
		for _, p := range problems {
			found = found || strings.Contains(p.String(), "spec.http[0].name")
		}
		if found != want || problems.Err() != nil {
			t.Errorf("%s: %v", name, problems)
		}
	}
}
