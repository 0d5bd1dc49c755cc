package envoy

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestDocs compares the page's list of ports with the code's.
func TestDocs(t *testing.T) {
	page, err := os.ReadFile("../../docs/egress.md")
	if err != nil {
		t.Fatal(err)
	}
	var ports []string
	for _, p := range serverFirstPorts() {
		ports = append(ports, fmt.Sprint(p))
	}
	last := len(ports) - 1
	if want := strings.Join(ports[:last], ", ") + " and " + ports[last]; !strings.Contains(string(page), want) {
		t.Errorf("the page does not list the ports %s", want)
	}
}
