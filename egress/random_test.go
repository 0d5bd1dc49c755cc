package egress

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/outrider-mesh/outrider/test/envoy"
	"github.com/outrider-mesh/outrider/test/objects"
)

// TestRandomObjects has the real Envoy accept what is made of 500 random entries
// and as many VirtualServices, with and without errors in them, in worlds of 50.
func TestRandomObjects(t *testing.T) {
	program := envoy.Require(t)
	const worlds, entries = 10, 50
	hosts, rules, sni := 0, 0, 0
	for seed := range uint64(worlds) {
		r := rand.New(rand.NewPCG(seed, 1))
		model, _ := Build(randomInput(t, r, entries))
		v := model.View("shop")
		hosts += len(v.hosts)
		for _, d := range v.domains {
			rules += len(d.Routes)
		}
		sni += len(v.sni)
		validate(t, program, messagesOf(t, v))
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	t.Logf("%d hosts, %d routes and %d routes by SNI", hosts, rules, sni)
	if hosts < worlds*entries/2 || rules < worlds*entries/2 || sni < worlds {
		t.Errorf("the objects are too bad to show anything")
	}
}

func randomInput(t testing.TB, r *rand.Rand, n int) Input {
	t.Helper()
	mode := objects.Pick(r, "ALLOW_ANY", "REGISTRY_ONLY")
	in := Input{Mesh: meshOf(t, "accessLogFile: "+objects.Pick(r, "/dev/stdout", "/dev/stderr", "\"\"")+"\noutboundTrafficPolicy: {mode: "+mode+"}\n")}
	for i := range n {
		e, v := objects.ServiceEntry(r, i), objects.VirtualService(r, i, false)
		in.ServiceEntries = append(in.ServiceEntries, ServiceEntry{Meta{e.Namespace, e.Name, e.Created}, e.Spec})
		in.VirtualServices = append(in.VirtualServices, VirtualService{Meta{v.Namespace, v.Name, v.Created}, v.Spec})
		in.InCluster = append(in.InCluster, InClusterAddress{
			Address: netip.AddrFrom4([4]byte{10, 96, 0, byte(r.IntN(20))}), Ports: objects.Pick(r, nil, []uint16{80}, []uint16{443, 9000}, []uint16{3306}),
		})
	}
	return in
}
