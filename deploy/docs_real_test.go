package deploy

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/outrider-mesh/outrider/test/page"
)

// TestAdmissionPage runs the commands of docs/admission.md with the program
// running behind the manifests.
func TestAdmissionPage(t *testing.T) {
	d := deploy(t)
	d.startBoth()
	dir := t.TempDir()
	shell := func(line string) string {
		cmd := exec.CommandContext(t.Context(), "bash", "-c", line)
		cmd.Dir = dir
		cmd.Env = slices.Concat(d.Kubectl(t.Context()).Env, []string{"PATH=" + filepath.Dir(d.KubectlPath()) + ":" + os.Getenv("PATH")})
		out, _ := cmd.CombinedOutput() // the page shows stderr too
		return string(out)
	}
	text, err := os.ReadFile("../docs/admission.md")
	d.must(err)
	ran := 0
	for _, b := range page.Blocks(string(text)) {
		if b.File != "" {
			d.must(os.WriteFile(filepath.Join(dir, b.File), []byte(b.Body), 0o600))
		}
		for _, c := range b.Commands() {
			if b.Kind != "console" {
				continue
			}
			// The first ones wait for the CRDs and for the registration.
			d.eventually("$ "+c.Line, func() error {
				if got := shell(c.Line); !c.Prints(got) {
					if ran > 0 {
						t.Fatalf("$ %s\ngot:\n%s\nthe page has:\n%s", c.Line, got, c.Output)
					}
					return fmt.Errorf("%s", strings.TrimSpace(got))
				}
				return nil
			})
			ran++
		}
	}
	d.nothingDenied()
	if ran < 5 {
		t.Errorf("%d commands were run", ran)
	}
}
