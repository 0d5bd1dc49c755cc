package scenarios

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/outrider-mesh/outrider/test/kube"
)

// outrider is the program, built once for all tests.
var outrider string

func TestMain(m *testing.M) {
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "scenarios-*")
	if err != nil {
		fmt.Fprintln(os.Stderr, "temporary directory:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	outrider = filepath.Join(dir, "outrider")
	build := exec.Command("go", "build", "-o", outrider, "github.com/outrider-mesh/outrider/cmd/outrider")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the program: %v\n%s", err, out)
		return 1
	}
	return kube.Main(m)
}

// uninject takes the injection of a file back.
func uninject(t *testing.T, f file) (out, stderr string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), f.name)
	if err := os.WriteFile(path, []byte(f.text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(outrider, "uninject", "-f", path)
	var result, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &result, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("uninject: %v\n%s", err, errs.String())
	}
	return result.String(), errs.String()
}

// run is what one call of kube-inject came to.
type run struct {
	code int
	out  string
	// What it printed, parsed: about the configuration, about objects by
	// their label, about the file.
	configWarnings []string
	configProblems []string
	skipped        map[string]string
	unchanged      map[string]bool
	warnings       map[string][]string
	problems       map[string][]found
}

type found struct{ line, text string }

// kubeInject runs the program on files. prefix chooses the configuration.
func (s *scenario) kubeInject(t *testing.T, prefix string, files ...file) *run {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	args := []string{"kube-inject"}
	for _, f := range files {
		args = append(args, "-f", f.name)
		write(f.name, f.text)
	}
	for _, f := range []struct{ name, flag string }{
		{"config.yaml", "--injectConfigFile"}, {"values.yaml", "--valuesFile"}, {"mesh.yaml", "--meshConfigFile"},
	} {
		if text, ok := s.get(prefix + f.name); ok {
			write(prefix+f.name, text)
			args = append(args, f.flag, prefix+f.name)
		}
	}
	if text, ok := s.get("ranges.yaml"); ok {
		write("ranges.yaml", text)
		args = append(args, "--ranges-from", "ranges.yaml")
	}
	if v := s.options.KubernetesVersion; v != "" {
		args = append(args, "--kubernetes-version", v)
	}
	if n := s.options.Namespace; n != "" {
		args = append(args, "--namespace", n)
	}
	cmd := exec.Command(outrider, args...)
	cmd.Dir = dir
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	r := &run{
		skipped: map[string]string{}, unchanged: map[string]bool{},
		warnings: map[string][]string{}, problems: map[string][]found{},
	}
	if err := cmd.Run(); err != nil {
		exit := &exec.ExitError{}
		if !errors.As(err, &exit) {
			t.Fatal(err)
		}
		r.code = exit.ExitCode()
	}
	r.out = out.String()
	r.read(t, files, stderr.String())
	return r
}

var messageLine = regexp.MustCompile(`^(?:error: )?([^:]+)(?::(\d+)(?::\d+)?)?: (document \d+ \([^)]*\)): (.*)$`)

// read parses what the program printed. An unexpected line fails.
func (r *run) read(t *testing.T, files []file, stderr string) {
	t.Helper()
	given := func(name string) bool { return slices.ContainsFunc(files, func(f file) bool { return f.name == name }) }
	const rejected = "error: invalid configuration:"
	for line := range strings.Lines(stderr) {
		line = strings.TrimSuffix(line, "\n")
		m := messageLine.FindStringSubmatch(line)
		switch {
		case len(r.configProblems) > 0:
			r.configProblems = append(r.configProblems, line)
		case line == rejected:
			r.configProblems = []string{line}
		case strings.HasPrefix(line, "warning: "):
			r.configWarnings = append(r.configWarnings, strings.TrimPrefix(line, "warning: "))
		case line == "nothing was written" && r.code != 0,
			strings.HasSuffix(line, ": nothing to inject: no Pods or supported workloads found"),
			m != nil && strings.HasPrefix(m[4], "not injected: kind "): // a kind that is not read
		case m == nil || !given(m[1]):
			t.Errorf("unknown message of kube-inject: %s", line)
		case m[2] != "":
			r.problems[m[3]] = append(r.problems[m[3]], found{m[2], m[4]})
		case strings.HasPrefix(m[4], "skipped: "):
			r.skipped[m[3]] = strings.TrimPrefix(m[4], "skipped: ")
		case strings.HasPrefix(m[4], "unchanged: "):
			r.unchanged[m[3]] = true
		case strings.HasPrefix(m[4], "warning: "):
			r.warnings[m[3]] = append(r.warnings[m[3]], strings.TrimPrefix(m[4], "warning: "))
		default:
			t.Errorf("unknown message of kube-inject: %s", line)
		}
	}
	if len(r.configProblems) > 0 {
		r.configProblems = r.configProblems[1:]
	}
}
