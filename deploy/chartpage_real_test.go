package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	realhelm "github.com/outrider-mesh/outrider/test/helm"
	"github.com/outrider-mesh/outrider/test/kube"
	"github.com/outrider-mesh/outrider/test/page"
)

// TestChartPage runs the commands of docs/chart.md. Those that install are lines of sh,
// and are rendered instead.
func TestChartPage(t *testing.T) {
	s := kube.Require(t)
	_ = s.Kubectl(t.Context(), "create", "namespace", namespace).Run() // another test may have
	bin := t.TempDir()
	if err := os.Symlink(realhelm.Require(t), filepath.Join(bin, "helm")); err != nil {
		t.Fatal(err)
	}
	shell := func(line string) string {
		cmd := exec.CommandContext(t.Context(), "bash", "-c", line)
		cmd.Dir = ".."
		cmd.Env = slices.Concat(s.Kubectl(t.Context()).Env, []string{"HOME=" + bin, "PATH=" + bin + ":" + filepath.Dir(s.KubectlPath()) + ":" + os.Getenv("PATH")})
		out, _ := cmd.CombinedOutput() // the page shows stderr too
		return string(out)
	}
	ran := 0
	for _, b := range page.Blocks(read(t, "../docs/chart.md")) {
		if b.Kind == "sh" {
			line := strings.NewReplacer("helm install", "helm template", "--create-namespace", "").Replace(b.Body)
			if out := shell(line); !strings.Contains(out, "kind: Deployment") {
				t.Errorf("%s\n%s", line, out)
			}
			ran++
			continue
		}
		for _, c := range b.Commands() {
			if got := strings.TrimRight(shell(c.Line), "\n"); !c.Prints(got) { // an error of Helm ends in an empty line
				t.Errorf("$ %s\ngot:\n%s\nthe page has:\n%s", c.Line, got, c.Output)
			}
			ran++
		}
	}
	if ran < 7 {
		t.Errorf("%d commands were run", ran)
	}
}
