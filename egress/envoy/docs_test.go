package envoy

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/outrider-mesh/outrider/egress"
)

// TestDocs compares the page's list of ports with the code's.
func TestDocs(t *testing.T) {
	page, err := os.ReadFile("../../docs/egress.md")
	if err != nil {
		t.Fatal(err)
	}
	var ports []string
	for _, r := range egress.DetectedPorts() {
		text := fmt.Sprint(r.First)
		if r.Last != r.First {
			text += fmt.Sprintf("-%d", r.Last)
		}
		ports = append(ports, text)
	}
	last := len(ports) - 1
	for _, want := range []string{strings.Join(ports[:last], ", ") + " and " + ports[last], fmt.Sprintf("%d ms", undeclaredDetection.Milliseconds())} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page does not have %s", want)
		}
	}
}
