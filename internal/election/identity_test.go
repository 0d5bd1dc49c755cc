package election

import (
	"strings"
	"testing"
)

func TestIdentity(t *testing.T) {
	for host, want := range map[string]string{
		"outrider-5d8f7c-x2v9k":            "outrider-5d8f7c-x2v9k-abcdef",
		"Node.Example_1":                   "node-example-1-abcdef",
		strings.Repeat("a", 62) + ".b.com": strings.Repeat("a", 62) + "-abcdef",
	} {
		if got := identity(host, "ABCDEFGH"); got != want {
			t.Errorf("%s: %s", host, got)
		}
	}
	a, err := Identity()
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := Identity(); a == b {
		t.Errorf("twice the same: %s", a)
	}
}
