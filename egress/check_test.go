package egress_test

import (
	"testing"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/internal/problem"
	"github.com/outrider-mesh/outrider/test/egresstest"
)

// TestCheck validates one object alone, with and without a mesh.
func TestCheck(t *testing.T) {
	in := egresstest.Parse(t, egresstest.EntryText(`{hosts: [a.example], ports: [{number: 0, protocol: HTTP}], resolution: DNS}`))
	const rule = "port number must be in the range 1..65535"
	for _, mesh := range []egress.Input{in, {}} {
		got := egress.CheckServiceEntry(in.ServiceEntries[0], mesh.Mesh)
		if len(got) != 1 || got[0].Path != "spec.ports[0].number" || got[0].Rule != rule || got[0].Source != "ServiceEntry shop/e" {
			t.Errorf("problems %v", got)
		}
	}
	in = egresstest.Parse(t, egresstest.RouteText(`{hosts: [a.example], tcp: [{}], http: [{timeout: 1s, route: [{destination: {host: a.example}}]}]}`))
	got := egress.CheckVirtualService(in.VirtualServices[0], in.Mesh)
	if len(got) != 1 || got[0].Path != "spec.tcp" || got[0].Severity != problem.Error {
		t.Errorf("problems %v", got)
	}
	in.VirtualServices[0].Spec.Tcp = nil
	if got := egress.CheckVirtualService(in.VirtualServices[0], in.Mesh); got != nil {
		t.Errorf("problems %v", got)
	}
}
