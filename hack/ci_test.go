// Package hack tests the scripts beside it.
package hack

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// fakeMake prints what go test prints, and fails for the target BROKEN.
const fakeMake = `#!/bin/sh
echo "make $*"
if [ "$1" = test ]; then
	printf 'ok  \texample.com/fast\t0.5s\n?   \texample.com/none\t[no test files]\nok  \texample.com/slow\t12.25s\n'
	printf 'FAIL\texample.com/bad\t3.000s\nok  \texample.com/kept\t(cached)\n'
fi
[ "$1" != "$BROKEN" ]
`

// TestCIEndsWithTimes runs CI with another make: its log ends with the seconds of
// each part and of the slowest packages, and a part that fails ends it.
func TestCIEndsWithTimes(t *testing.T) {
	script, err := filepath.Abs("../.ci/run")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skipf("CI is a script of bash: %v", err)
	}
	packages := "Seconds by package, the slowest ten:\n   12.2  example.com/slow\n    3.0  example.com/bad\n    0.5  example.com/fast\n"
	for _, c := range []struct {
		broken, parts, last string
		fails               bool
	}{
		{"", "prerequisites|lint|lint: other platforms|lint: chart|generated files|programs for the tests|tests", packages, false},
		{"test", "prerequisites|lint|lint: other platforms|lint: chart|generated files|programs for the tests|tests", packages, true},
		{"lint-chart", "prerequisites|lint|lint: other platforms|lint: chart", "Seconds by package, the slowest ten:\n", true},
	} {
		bin := t.TempDir()
		if err := os.WriteFile(filepath.Join(bin, "make"), []byte(fakeMake), 0o755); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), "bash", script)
		cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "BROKEN="+c.broken, "TMPDIR="+bin)
		out, err := cmd.Output()
		if (err != nil) != c.fails {
			t.Errorf("with a failing %q: error %v", c.broken, err)
		}
		_, summary, _ := strings.Cut(string(out), "\nSeconds by part:\n")
		var parts []string
		for _, m := range regexp.MustCompile(`(?m)^ +\d+  (\S.*)$`).FindAllStringSubmatch(summary, -1) {
			parts = append(parts, m[1])
		}
		if got := strings.Join(parts, "|"); got != c.parts || !strings.HasSuffix(summary, c.last) {
			t.Errorf("with a failing %q: parts %s, the log ends with\n%s", c.broken, got, summary)
		}
		if left, _ := filepath.Glob(filepath.Join(bin, "tmp*")); len(left) > 0 {
			t.Errorf("with a failing %q: left %q", c.broken, left)
		}
	}
}
