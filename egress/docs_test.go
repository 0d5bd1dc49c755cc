package egress

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/outrider-mesh/outrider/test/envoy"
	"github.com/outrider-mesh/outrider/test/kit"
)

// TestDocs builds the examples of the page, and holds its list of ports against
// the code's.
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
		m, problems := Build(parse(t, text))
		if len(problems) > 0 {
			t.Errorf("%v", problems)
		}
		v := m.View("default")
		want := []string{"outbound|80||httpbin.org", "outbound|443||*.googleapis.com", "outbound|443||www.google.com"}
		if got := v.Hosts(); i == 0 && !slices.Equal(got, want) {
			t.Errorf("hosts %q, want %q", got, want)
		}
		validate(t, envoy.Require(t), messagesOf(t, v))
	}
	const ports = "21, 22, 23, 25, 110, 119, 143, 587, 2525, 3306, 4222 and 5900"
	if !strings.Contains(string(page), ports) || !slices.Equal(serverFirstPorts(), []uint32{21, 22, 23, 25, 110, 119, 143, 587, 2525, 3306, 4222, 5900}) {
		t.Errorf("the page does not list the ports %v", serverFirstPorts())
	}
}
