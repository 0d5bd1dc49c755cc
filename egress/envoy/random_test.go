package envoy_test

import (
	"math/rand/v2"
	"testing"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/test/egresstest"
	"github.com/outrider-mesh/outrider/test/envoy"
)

// TestRandomObjects has the real Envoy accept what is made of 500 random entries
// and as many VirtualServices, with and without errors in them, in worlds of 50.
func TestRandomObjects(t *testing.T) {
	program := envoy.Require(t)
	const worlds, entries = 10, 50
	hosts, rules, sni := 0, 0, 0
	for seed := range uint64(worlds) {
		r := rand.New(rand.NewPCG(seed, 1))
		model, _ := egress.Build(egresstest.Random(t, r, entries))
		v := model.View("shop")
		hosts += len(v.Hosts())
		for _, p := range v.Ports() {
			for _, d := range v.Domains(p.Number) {
				rules += len(d.Routes)
			}
			sni += len(v.SNIRoutes(p.Number))
		}
		egresstest.Validate(t, program, egresstest.Make(t, v))
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	t.Logf("%d hosts, %d routes and %d routes by SNI", hosts, rules, sni)
	if hosts < worlds*entries/2 || rules < worlds*entries/2 || sni < worlds {
		t.Errorf("the objects are too invalid to test anything")
	}
}
