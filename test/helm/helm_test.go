package helm

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// The version in messages of tests is the one that the module pins.
func TestVersion(t *testing.T) {
	mod, err := os.ReadFile("tools/go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if want := "helm.sh/helm/v4 " + Version + "\n"; !strings.Contains(string(mod), want) {
		t.Errorf("tools/go.mod does not require %s", want)
	}
	out, err := exec.CommandContext(t.Context(), Require(t), "version", "--short").CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), Version) {
		t.Errorf("helm version: %q, %v, want %s", out, err, Version)
	}
}
