package egress

import "testing"

// TestCheck has one object's problems alone, and without a mesh.
func TestCheck(t *testing.T) {
	in := parse(t, entryText(`{hosts: [a.example], ports: [{number: 0, protocol: HTTP}], resolution: DNS}`))
	const rule = "a port is 1 to 65535"
	for _, mesh := range []Input{in, {}} {
		got := CheckServiceEntry(in.ServiceEntries[0], mesh.Mesh)
		if len(got) != 1 || got[0].Path != "spec.ports[0].number" || got[0].Rule != rule || got[0].Name != "e" {
			t.Errorf("problems %v", got)
		}
	}
	in = parse(t, routeText(`{hosts: [a.example], tcp: [{}], http: [{timeout: 1s, route: [{destination: {host: a.example}}]}]}`))
	got := CheckVirtualService(in.VirtualServices[0], in.Mesh)
	if len(got) != 1 || got[0].Path != "spec.tcp" || got[0].Severity != SeverityError {
		t.Errorf("problems %v", got)
	}
	in.VirtualServices[0].Spec.Tcp = nil
	if got := CheckVirtualService(in.VirtualServices[0], in.Mesh); got != nil {
		t.Errorf("problems %v", got)
	}
}
