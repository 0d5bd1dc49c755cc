//go:build unix

package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/outrider-mesh/outrider/test/kit"
	"github.com/outrider-mesh/outrider/test/kube/programs"
)

// The plan comes first, then the injection by file, whatever of Kubernetes is built.
func TestRun(t *testing.T) {
	built, err := exec.Command("go", "env", "GOCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("GOCACHE", strings.TrimSpace(string(built)))
	t.Setenv("XDG_CACHE_HOME", t.TempDir()) // where nothing of Kubernetes is, nor will be
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	var out strings.Builder
	l := &launch{w: &out, began: time.Now(), on: "server"}
	first, err := l.run(t.Context())
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	if first <= 0 {
		t.Errorf("the first manifest after %s", first)
	}
	rest := out.String()
	for _, text := range []string{
		"What the demo needs", "  outrider, and this demo ", "  Kubernetes: kube-apiserver, etcd, kubectl  about ", "  in total ",
		"$ outrider kube-inject -f samples/sleep/sleep.yaml --diff\n", "--- samples/sleep/sleep.yaml.orig", "+      initContainers:", " more lines)\n",
		"  excludeOutboundIPRanges   (none)    default\n", "  includeOutboundIPRanges   *         default\n",
		"The first injected manifest, after ",
	} {
		_, after, ok := strings.Cut(rest, text)
		if !ok {
			t.Fatalf("%q is not in this place of:\n%s", text, out.String())
		}
		rest = after
	}
	if left, err := filepath.Glob(filepath.Join(temporary, "*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
}

// What is compiled before the plan is shown is the standard library and a few files.
func TestImports(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	const module = "github.com/outrider-mesh/outrider/test/"
	for _, path := range strings.Fields(string(out)) {
		switch strings.TrimPrefix(path, module) {
		case "demo/launch", "kit", "cache", "kube/programs":
		default:
			t.Errorf("it imports %s", path)
		}
	}
}

func TestPlan(t *testing.T) {
	t.Setenv("HOME", "/home/me")
	t.Setenv("XDG_CACHE_HOME", "")
	parts := []part{
		{what: "outrider", seconds: 240, left: 0.5},
		{what: "Kubernetes", seconds: 1440, left: 1},
		{what: "containerd", seconds: 100},
		{what: "Envoy", left: 1},
	}
	const want = `What the demo needs, and how long it takes to build on the 2 cores of this machine while nothing else
runs on them. It is built once, and kept in ~/.cache/outrider and in Go's cache:

  outrider         about 1 minute
  Kubernetes       about 12 minutes
  containerd       cached
  Envoy            while others are built
  the demo itself  about 1 minute
  in total         about 14 minutes

`
	if got := plan(parts, 2); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	for cores, want := range map[int]string{1: "about 24 minutes", 4: "about 6 minutes", 8: "about 3 minutes", 64: "about 3 minutes"} {
		if got := plan(parts[1:], cores); !strings.Contains(got, "Kubernetes       "+want+"\n") {
			t.Errorf("%d cores: %s", cores, got)
		}
	}
}

func TestMinutes(t *testing.T) {
	for d, want := range map[time.Duration]string{
		time.Millisecond: "1 second", 59 * time.Second: "59 seconds", time.Minute: "1 minute", 90 * time.Second: "1.5 minutes", 17*time.Minute + 40*time.Second: "18 minutes",
	} {
		if got := minutes(d); got != want {
			t.Errorf("%s: %q, want %q", d, got, want)
		}
	}
}

// What is missing is all of it, where Go can list it.
func TestStale(t *testing.T) {
	dir := t.TempDir()
	if got := stale(t.Context(), dir, "./none"); got != 1 {
		t.Errorf("%v of a package that there is not", got)
	}
	root, err := kit.Checkout()
	if err != nil {
		t.Fatal(err)
	}
	if got := stale(t.Context(), root, "unsafe"); got != 0 {
		t.Errorf("%v of a package without code", got)
	}
	t.Setenv("GOCACHE", filepath.Join(dir, "cache"))
	if got := stale(t.Context(), root, "./test/cache"); got < 0.5 {
		t.Errorf("%v with an empty cache", got)
	}
}

func TestParts(t *testing.T) {
	set, err := programs.Find()
	if err != nil {
		t.Fatal(err)
	}
	root, err := kit.Checkout()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("KUBEBUILDER_ASSETS", "/assets")
	if got := (&launch{root: root, on: "server", set: set}).parts(t.Context()); len(got) != 1 {
		t.Errorf("%d parts with servers at hand, want outrider alone", len(got))
	}
	t.Setenv("KUBEBUILDER_ASSETS", "")
	t.Setenv("PATH", "")
	if got := (&launch{root: root, on: "context", set: set}).parts(t.Context()); len(got) != 2 {
		t.Errorf("%d parts without a kubectl, want outrider and kubectl", len(got))
	}
}

func TestInjection(t *testing.T) {
	for text, want := range map[string]string{
		"":                                  "no annotation",
		"+  sidecar.istio.io/status: '{'\n": "read annotation",
		"+  sidecar.istio.io/status: '{\"effective\":{}}'\n": "no ranges",
	} {
		if _, err := injection(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}
