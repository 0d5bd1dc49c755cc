package egress_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/test/egresstest"
	"github.com/outrider-mesh/outrider/test/envoy"
	"github.com/outrider-mesh/outrider/test/kit"
)

// TestDocs builds the examples of the page.
func TestDocs(t *testing.T) {
	page, err := os.ReadFile("../docs/egress.md")
	kit.Must(t, err)
	examples := strings.Split(string(page), "```yaml\n")[1:]
	if len(examples) == 0 {
		t.Fatal("the page has no example")
	}
	text := "accessLogFile: /dev/stdout\n"
	for i, e := range examples {
		example, _, _ := strings.Cut(e, "```")
		text += "\n---\n" + example // each goes on from those before
		m, problems := egress.Build(egresstest.Parse(t, text))
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
