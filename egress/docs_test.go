package egress_test

import (
	"os"
	"slices"
	"testing"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/test/egresstest"
	"github.com/outrider-mesh/outrider/test/envoy"
	"github.com/outrider-mesh/outrider/test/kit"
	"github.com/outrider-mesh/outrider/test/page"
)

// TestDocs builds the examples of the page.
func TestDocs(t *testing.T) {
	text, err := os.ReadFile("../docs/egress.md")
	kit.Must(t, err)
	examples := page.Of(string(text), "yaml")
	if len(examples) == 0 {
		t.Fatal("the page has no example")
	}
	objects := "accessLogFile: /dev/stdout\n"
	for i, e := range examples {
		objects += "\n---\n" + e.Body // each goes on from those before
		m, problems := egress.Build(egresstest.Parse(t, objects))
		if len(problems) > 0 {
			t.Errorf("%v", problems)
		}
		v := m.View("default")
		want := []string{"outbound|80||httpbin.org", "outbound|443||*.googleapis.com", "outbound|443||www.google.com"}
		if got := v.Hosts(); i == 0 && !slices.Equal(got, want) {
			t.Errorf("hosts %q, want %q", got, want)
		}
		egresstest.Validate(t, envoy.Require(t), egresstest.Make(t, v))
	}
}
