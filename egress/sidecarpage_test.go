package egress_test

import (
	"os"
	"testing"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/test/egresstest"
	"github.com/outrider-mesh/outrider/test/kit"
	"github.com/outrider-mesh/outrider/test/page"
)

// TestSidecarPage builds the examples of the page: a mesh configuration, and a Sidecar.
func TestSidecarPage(t *testing.T) {
	text, err := os.ReadFile("../docs/sidecars.md")
	kit.Must(t, err)
	examples := page.Of(string(text), "yaml")
	if len(examples) != 2 {
		t.Fatalf("%d examples, want 2", len(examples))
	}
	in := egresstest.Parse(t, examples[0].Body+exposures()+"\n---\n"+examples[1].Body)
	in.Namespaces = map[string]map[string]string{"istio-system": {"kubernetes.io/metadata.name": "istio-system"}, "shop": {}, "bank": {}, "gym": {"team": "platform"}}
	m, problems := egress.Build(in)
	if len(problems) > 0 {
		t.Errorf("%v", problems)
	}
	for namespace, want := range map[string]string{"shop": "shop/own.test 10.96.0.1 10.96.0.2 only", "bank": "bank/a.bank.test bank/b.bank.test 10.96.0.1 10.96.0.2 10.96.0.3"} {
		if got := seenBy(m, egress.Workload{Namespace: namespace}); got != want {
			t.Errorf("%s sees %q, want %q", namespace, got, want)
		}
	}
}
