package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

type ran struct {
	code     int
	out, err string
}

func runWith(t *testing.T, in string, args ...string) ran {
	t.Helper()
	var out, errs bytes.Buffer
	code := run(context.Background(), append([]string{"outrider"}, args...), stdio{strings.NewReader(in), &out, &errs})
	return ran{code, out.String(), errs.String()}
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const service = "apiVersion: v1\nkind: Service\nmetadata:\n  name: s\n"

func deployment(annotation string) string {
	return `apiVersion: apps/v1
kind: Deployment
metadata:
  name: sleep # the name
spec:
  selector:
    matchLabels: {app: sleep}
  template:
    metadata:
      labels:
        app: sleep
      annotations:
        ` + annotation + `
    spec:
      containers:
      - name: sleep
        image: curl
`
}

func TestUsage(t *testing.T) {
	cases := []struct {
		args     []string
		code     int
		out, err string
	}{
		{nil, 0, "Usage:", ""},
		{[]string{"--help"}, 0, "kube-inject", ""},
		{[]string{"kube-inject", "--help"}, 0, "--injectConfigFile", ""},
		{[]string{"version"}, 0, "outrider dev\n", ""},
		{[]string{"version", "x"}, 2, "", `unknown command "x"`},
		{[]string{"kube-injekt"}, 2, "", "did you mean kube-inject?"},
		{[]string{"--nope"}, 2, "", "unknown flag: --nope"},
		{[]string{"kube-inject"}, 2, "", "no input: specify -f FILE"},
		{[]string{"kube-inject", "--nope"}, 2, "", `See "outrider kube-inject --help"`},
		{[]string{"kube-inject", "-f", "-", "x"}, 2, "", "x"},
		{[]string{"kube-inject", "-f", "-", "--kubernetes-version", "new"}, 2, "", `kubernetes version "new"`},
		{[]string{"kube-inject", "-f", "/does/not/exist"}, 1, "", "-f /does/not/exist: no such file or directory"},
		{[]string{"kube-inject", "-f", "/proc/self/fdinfo"}, 1, "", "no manifests (*.yaml, *.yml, *.json) found; use -R to recurse"},
		{[]string{"kube-inject", "-f", "-", "-f", "-"}, 2, "", `"-" (stdin) may be used only once`},
		{[]string{"kube-inject", "-f", "-", "--in-place"}, 2, "", "--in-place cannot be used with stdin"},
		{[]string{"kube-inject", "-f", "a", "--in-place", "--diff"}, 2, "", "--in-place and --diff are mutually exclusive"},
		{[]string{"kube-inject", "-f", "a", "--in-place", "-o", "b"}, 2, "", "--in-place and -o are mutually exclusive"},
		{[]string{"kube-inject", "-f", "a", "--in-place", "--format", "json"}, 2, "", "cannot be combined with --in-place or --diff"},
		{[]string{"kube-inject", "-f", "a", "--diff", "--format", "patch"}, 2, "", "cannot be combined with --in-place or --diff"},
		{[]string{"kube-inject", "-f", "a", "--format", "xml"}, 2, "", `invalid --format "xml": must be yaml, json or patch`},
		{[]string{"kube-inject", "-f", "-", "--pod-template-path", "thing"}, 2, "", "kind is required"},
		{[]string{"kube-inject", "-f", "-", "--kubeconfig", "/does/not/exist"}, 1, "", "load kubeconfig"},
		{[]string{"uninject"}, 2, "", "no input: specify -f FILE"},
		{[]string{"uninject", "-f", "-", "--valuesFile", "x"}, 2, "", "unknown flag"},
		{[]string{"kube-inject", "-f", "-", "--valuesFile", "/does/not/exist"}, 1, "", "--valuesFile /does/not/exist: no such file"},
		{[]string{"kube-inject", "-f", "-", "-o", "/"}, 1, "", "is a directory"},
		{[]string{"kube-inject", "-f", "-", "-o", "/does/not/exist"}, 1, "", "no such file or directory"},
	}
	for _, c := range cases {
		got := runWith(t, service, c.args...)
		if got.code != c.code || !strings.Contains(got.out, c.out) || !strings.Contains(got.err, c.err) {
			t.Errorf("%q: %+v", c.args, got)
		}
		if c.code != 0 && got.out != "" {
			t.Errorf("%q failed, but wrote %q", c.args, got.out)
		}
	}
}

func TestPluginName(t *testing.T) {
	var out bytes.Buffer
	if run(context.Background(), []string{"/usr/bin/kubectl-outrider", "--help"}, stdio{nil, &out, &out}) != 0 ||
		!strings.Contains(out.String(), "kubectl outrider [command]") {
		t.Error(out.String())
	}
}

func TestKubeInject(t *testing.T) {
	in := "# head\n" + service + "---\n" + deployment("a: b")
	got := runWith(t, in, "kube-inject", "-f", "-", "-n", "ns", "-r", "canary")
	if got.code != 0 || got.err != "" {
		t.Fatalf("%+v", got)
	}
	for _, want := range []string{"# head\n" + service + "---\n", "name: sleep # the name\n", "name: istio-proxy\n", "istio.io/rev: canary\n"} {
		if !strings.Contains(got.out, want) {
			t.Errorf("%q is not in\n%s", want, got.out)
		}
	}
	again := runWith(t, got.out, "kube-inject", "-f", "-", "-n", "ns", "-r", "canary")
	if again.out != got.out || !strings.Contains(again.err, "unchanged: already injected") {
		t.Errorf("the second time: %+v", again)
	}
	old := runWith(t, in, "kube-inject", "-f", "-", "--kubernetes-version", "1.28")
	if old.code != 0 || strings.Contains(old.out, "restartPolicy: Always") || !strings.Contains(got.out, "restartPolicy: Always") {
		t.Errorf("1.28 has no native sidecars: %+v", old)
	}
}

func TestSeveralFiles(t *testing.T) {
	a, b := write(t, "a.yaml", strings.TrimSuffix(service, "\n")), write(t, "b.yaml", "---\n"+service)
	got := runWith(t, service, "kube-inject", "-f", a, "-f", b, "-f", "-")
	if got.code != 0 || got.out != service+"---\n"+service+"---\n"+service {
		t.Errorf("%+v", got)
	}
	if strings.Count(got.err, "nothing to inject") != 3 {
		t.Errorf("%s", got.err)
	}
}

func TestSkipsAndWarnings(t *testing.T) {
	in := deployment(`sidecar.istio.io/inject: "false"`) + "---\n" +
		strings.Replace(deployment(`sidecar.istio.io/inject: "maybe"`), "    spec:\n", "    spec:\n      hostNetwork: true\n", 1)
	got := runWith(t, in, "kube-inject", "-f", "-")
	if got.code != 0 || got.out != in {
		t.Fatalf("%+v", got)
	}
	for _, want := range []string{"standard input: document 1 (Deployment sleep): skipped: ", "standard input: document 2 (Deployment sleep): skipped: "} {
		if !strings.Contains(got.err, want) {
			t.Errorf("%q is not in\n%s", want, got.err)
		}
	}
}

func TestErrorsWriteNothing(t *testing.T) {
	good := write(t, "good.yaml", deployment("a: b"))
	bad := write(t, "bad.yaml", service+"---\n"+deployment("traffic.sidecar.istio.io/excludeOutboundIPRanges: 10.0.0.0/99")+"---\na: [\n")
	target := write(t, "out.yaml", "as it was")
	for _, args := range [][]string{nil, {"-o", target}} {
		got := runWith(t, "", append([]string{"kube-inject", "-f", good, "-f", bad}, args...)...)
		if got.code != 1 || got.out != "" {
			t.Fatalf("%+v", got)
		}
		for _, want := range []string{bad + ":18: document 2 (Deployment sleep): ", "10.0.0.0/99", bad + ":", "document 3: not valid YAML", "nothing was written"} {
			if !strings.Contains(got.err, want) {
				t.Errorf("%q is not in\n%s", want, got.err)
			}
		}
	}
	if text, _ := os.ReadFile(target); string(text) != "as it was" {
		t.Errorf("the output became %q", text)
	}
	left(t, filepath.Dir(target), 1)
}

func TestOutputFile(t *testing.T) {
	dir := t.TempDir()
	target, link := filepath.Join(dir, "out.yaml"), filepath.Join(dir, "link.yaml")
	if err := os.WriteFile(target, []byte("old"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(target, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("out.yaml", link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{target, link, filepath.Join(dir, "new.yaml")} {
		if got := runWith(t, service, "kube-inject", "-f", "-", "-o", path); got.code != 0 || got.out != "" {
			t.Fatalf("%+v", got)
		}
		if text, err := os.ReadFile(path); string(text) != service {
			t.Errorf("%s: %q %v", path, text, err)
		}
	}
	if info, _ := os.Stat(target); info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	if info, _ := os.Lstat(link); info.Mode()&os.ModeSymlink == 0 {
		t.Error("the link was replaced")
	}
}

func TestOutputInPlace(t *testing.T) {
	path := write(t, "a.yaml", deployment("a: b"))
	if got := runWith(t, "", "kube-inject", "-f", path, "-o", path); got.code != 0 {
		t.Fatalf("%+v", got)
	}
	if text, _ := os.ReadFile(path); !strings.Contains(string(text), "istio-proxy") {
		t.Errorf("%s", text)
	}
}

func TestConfigFiles(t *testing.T) {
	values := write(t, "values.json", `{"global": {"proxy": {"excludeIPRanges": "10.9.0.0/16"}}}`)
	configMap := write(t, "cm.yaml", "apiVersion: v1\nkind: ConfigMap\ndata:\n  config: |\n    policy: disabled\n  values: |\n    global:\n      proxy:\n        excludeIPRanges: 10.9.0.0/16\n")
	unknown := write(t, "unknown.yaml", "global:\n  proxy:\n    excludeIPRange: 10.0.0.0/8\n")
	wrong := write(t, "wrong.yaml", "global:\n  proxy:\n    excludeIPRanges: 10.0.0.0/99\n")
	cases := []struct {
		name     string
		args     []string
		code     int
		out, err string
	}{
		{"values", []string{"--valuesFile", values}, 0, "10.9.0.0/16", ""},
		{"whole ConfigMap", []string{"--valuesFile", configMap}, 0, "10.9.0.0/16", `is a full ConfigMap; using key "values"`},
		{"policy of a ConfigMap", []string{"--injectConfigFile", configMap}, 0, "image: curl", "skipped: "},
		{"key missing", []string{"--meshConfigFile", configMap}, 1, "", `ConfigMap has no key "mesh" (found: config, values)`},
		{"unknown key", []string{"--valuesFile", unknown}, 0, "istio-proxy", "warning: " + unknown + ":3:5: "},
		{"bad value", []string{"--valuesFile", wrong}, 1, "", wrong + ":3:22: "},
	}
	for _, c := range cases {
		got := runWith(t, deployment("a: b"), append([]string{"kube-inject", "-f", "-"}, c.args...)...)
		if got.code != c.code || !strings.Contains(got.out, c.out) || !strings.Contains(got.err, c.err) || c.code != 0 && got.out != "" {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	dir := t.TempDir()
	time.AfterFunc(100*time.Millisecond, cancel)
	var out, errs bytes.Buffer
	blocked, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.Close() }()
	args := []string{"outrider", "kube-inject", "-f", "-", "-o", filepath.Join(dir, "out.yaml")}
	if code := run(ctx, args, stdio{blocked, &out, &errs}); code != 1 || out.Len() > 0 || errs.String() != "error: interrupted; nothing was written\n" {
		t.Errorf("code %d, wrote %q %q", code, out.String(), errs.String())
	}
	left(t, dir, 0)
}

// TestConfigurationErrorsAreAllPrinted has more errors than problem.List prints
// as an error.
func TestConfigurationErrorsAreAllPrinted(t *testing.T) {
	const errors = 30
	text := "injectedAnnotations:\n"
	for i := range errors {
		text += fmt.Sprintf("  'bad key %d': x\n", i)
	}
	file := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	got := runWith(t, deployment("a: b"), "kube-inject", "-f", "-", "--injectConfigFile", file)
	if n := strings.Count(got.err, "invalid annotation key"); got.code == 0 || n != errors {
		t.Errorf("exit code %d with %d errors, want %d:\n%s", got.code, n, errors, got.err)
	}
}
