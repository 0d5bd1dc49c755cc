package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"sigs.k8s.io/yaml"
)

// tree writes files below a new directory.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func named(name string) string {
	return strings.Replace(deployment("a: b"), "name: sleep #", "name: "+name+" #", 1)
}

func read(t *testing.T, path ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestDirectory(t *testing.T) {
	dir := tree(t, map[string]string{
		"b.yml": named("b"), "a.yaml": named("a"), "c.json": `{"apiVersion": "v1", "kind": "Service"}` + "\n",
		"below/d.yaml": named("d"), "README.md": "no manifest: {", "empty/x.txt": "",
	})
	got := runWith(t, "", "kube-inject", "-f", dir)
	if got.code != 0 || got.err != "" || strings.Contains(got.out, "name: d #") || strings.Index(got.out, "name: a #") > strings.Index(got.out, "name: b #") ||
		strings.Count(got.out, "name: istio-proxy") != 2 || !strings.Contains(got.out, `"kind": "Service"`) {
		t.Errorf("%+v", got)
	}
	got = runWith(t, "", "kube-inject", "-f", dir, "-R", "-f", filepath.Join(dir, "below", "d.yaml"))
	if got.code != 0 || strings.Count(got.out, "name: d #") != 1 || strings.Count(got.out, "name: istio-proxy") != 3 {
		t.Errorf("with -R, and a file named twice: %+v", got)
	}
	got = runWith(t, "", "kube-inject", "-f", filepath.Join(dir, "empty"), "-R")
	if got.code != 1 || !strings.Contains(got.err, "no manifests (*.yaml, *.yml, *.json) found") || strings.Contains(got.err, "use -R") {
		t.Errorf("a directory without manifests: %+v", got)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	if got = runWith(t, "", "kube-inject", "-f", link); got.code != 0 || strings.Count(got.out, "name: istio-proxy") != 2 {
		t.Errorf("a link to a directory: %+v", got)
	}
}

func TestUnreadableFiles(t *testing.T) {
	if os.Getuid() == 0 {
		// Root reads everything; what the system itself denies, it denies to
		// root, too.
		dir := tree(t, map[string]string{"a.yaml": named("a")})
		if err := os.Symlink("/proc/self/mem", filepath.Join(dir, "b.yaml")); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("loop.yaml", filepath.Join(dir, "loop.yaml")); err != nil {
			t.Fatal(err)
		}
		got := runWith(t, "", "kube-inject", "-f", dir)
		if got.code != 1 || got.out != "" || !strings.Contains(got.err, "b.yaml: read: ") || !strings.Contains(got.err, "loop.yaml: too many levels") {
			t.Errorf("%+v", got)
		}
		return
	}
	dir := tree(t, map[string]string{"a.yaml": named("a"), "below/b.yaml": named("b"), "c.yaml": named("c")})
	for _, name := range []string{"below", "c.yaml"} {
		path := filepath.Join(dir, name)
		if err := os.Chmod(path, 0); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.Chmod(path, 0o700) })
	}
	got := runWith(t, "", "kube-inject", "-f", dir, "-R")
	if got.code != 1 || got.out != "" || !strings.Contains(got.err, "below: permission denied") || !strings.Contains(got.err, "c.yaml: permission denied") {
		t.Errorf("%+v", got)
	}
}

func TestInPlace(t *testing.T) {
	files := map[string]string{"a.yaml": named("a"), "b.yaml": service, "c.yaml": "# c\n---\n" + named("c")}
	dir := tree(t, files)
	before, err := os.Stat(filepath.Join(dir, "b.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	got := runWith(t, "", "kube-inject", "-f", dir, "--in-place")
	if got.code != 0 || got.out != "" {
		t.Fatalf("%+v", got)
	}
	for _, name := range []string{"a.yaml", "c.yaml"} {
		want := runWith(t, files[name], "kube-inject", "-f", "-").out
		if text := read(t, dir, name); text != want {
			t.Errorf("%s:\n%s\nwant\n%s", name, text, want)
		}
	}
	after, err := os.Stat(filepath.Join(dir, "b.yaml"))
	if err != nil || !os.SameFile(before, after) {
		t.Errorf("a file without changes was written: %v", err)
	}
	if got = runWith(t, "", "uninject", "-f", dir, "--in-place"); got.code != 0 {
		t.Fatalf("%+v", got)
	}
	for name, text := range files {
		if read(t, dir, name) != text {
			t.Errorf("%s is not what it was:\n%s", name, read(t, dir, name))
		}
	}
	left(t, dir, 3)
}

// left checks that nothing is left behind in a directory.
func left(t *testing.T, dir string, want int) {
	t.Helper()
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != want {
		t.Errorf("%d files where there should be %d: %v %v", len(entries), want, entries, err)
	}
}

func TestInPlaceAllOrNone(t *testing.T) {
	files := map[string]string{"a.yaml": named("a"), "b.yaml": deployment("sidecar.istio.io/proxyCPU: lots"), "c.yaml": "a: [\n"}
	dir := tree(t, files)
	got := runWith(t, "", "kube-inject", "-f", dir, "--in-place")
	if got.code != 1 || !strings.Contains(got.err, "b.yaml:13: document 1 (Deployment sleep): annotation") || !strings.Contains(got.err, "c.yaml") || !strings.Contains(got.err, "nothing was written") {
		t.Errorf("%+v", got)
	}
	for name, text := range files {
		if read(t, dir, name) != text {
			t.Errorf("%s changed", name)
		}
	}
	left(t, dir, 3)
}

func TestDiff(t *testing.T) {
	in := "# head\n" + service + "---\n" + named("a") + "---\n" + named("b")
	dir := tree(t, map[string]string{"m.yaml": in, "n.yaml": service})
	want := runWith(t, in, "kube-inject", "-f", "-").out
	path := filepath.Join(dir, "m.yaml")
	got := runWith(t, "", "kube-inject", "-f", path, "-f", filepath.Join(dir, "n.yaml"), "--diff")
	if got.code != 0 || !strings.HasPrefix(got.out, "--- "+path+".orig\n+++ "+path+"\n@@ ") || strings.Count(got.out, "--- ") != 1 {
		t.Errorf("%+v", got)
	}
	if read(t, path) != in {
		t.Error("the file changed")
	}
	if applied := applyDiff(t, in, got.out); applied != want {
		t.Errorf("the diff makes\n%s\nwant\n%s", applied, want)
	}
	cut := strings.TrimSuffix(named("a"), "\n")
	if got = runWith(t, cut, "kube-inject", "-f", "-", "--diff"); !strings.Contains(got.out, "\n\\ No newline at end of file\n") {
		t.Errorf("%+v", got)
	}
}

// applyDiff applies a unified diff by the line numbers it names, strictly.
func applyDiff(t *testing.T, before, diff string) string {
	t.Helper()
	old := strings.SplitAfter(before, "\n")
	var out []string
	at := 0 // lines of old that are done
	for line := range strings.Lines(diff) {
		switch {
		case strings.HasPrefix(line, "--- "), strings.HasPrefix(line, "+++ "):
		case strings.HasPrefix(line, "@@ "):
			var from, to, n, m int
			if _, err := sscanf(line, &from, &n, &to, &m); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			out = append(out, old[at:from-1]...)
			at = from - 1
			if to != len(out)+1 {
				t.Errorf("%s is line %d of the result", strings.TrimSpace(line), len(out)+1)
			}
		case line[0] == '+':
			out = append(out, line[1:])
		default:
			if old[at] != line[1:] {
				t.Fatalf("line %d is %q, the diff has %q", at+1, old[at], line[1:])
			}
			if at++; line[0] == ' ' {
				out = append(out, line[1:])
			}
		}
	}
	return strings.Join(append(out, old[at:]...), "")
}

func TestFormats(t *testing.T) {
	in := "# a\n" + service + "---\n---\napiVersion: v1\nkind: List\nitems:\n- " + strings.ReplaceAll(strings.TrimSpace(named("a")), "\n", "\n  ") +
		"\n- {apiVersion: v1, kind: Service, metadata: {name: s}}\n---\n" + strings.Replace(named("b"), "  name: b", "  namespace: shop\n  name: b", 1)
	want := documents(t, runWith(t, in, "kube-inject", "-f", "-").out)
	got := runWith(t, in, "kube-inject", "-f", "-", "--format", "json")
	if d := documents(t, strings.ReplaceAll(got.out, "\n}\n{", "\n}\n---\n{")); got.code != 0 || !slices.Equal(d, want) {
		t.Errorf("json: %d %s\n%q\nwant\n%q", got.code, got.err, d, want)
	}
	got = runWith(t, in, "kube-inject", "-f", "-", "--format", "patch")
	lines := strings.Split(strings.TrimSpace(got.out), "\n")
	if got.code != 0 || len(lines) != 2 || !strings.HasPrefix(lines[0], `{"target":{"group":"apps","version":"v1","kind":"Deployment","name":"a"},"patch":[`) ||
		!strings.HasPrefix(lines[1], `{"target":{"group":"apps","version":"v1","kind":"Deployment","namespace":"shop","name":"b"},"patch":[`) {
		t.Fatalf("%+v", got)
	}
	var line struct{ Patch json.RawMessage }
	if err := json.Unmarshal([]byte(lines[1]), &line); err != nil {
		t.Fatal(err)
	}
	patch, err := jsonpatch.DecodePatch(line.Patch)
	if err != nil {
		t.Fatal(err)
	}
	before := documents(t, in)
	patched, err := patch.Apply([]byte(before[len(before)-1]))
	if err != nil || !jsonpatch.Equal(patched, []byte(want[len(want)-1])) {
		t.Errorf("the patch makes\n%s\nwant\n%s", patched, want[len(want)-1])
	}
}

// documents are the documents of a stream as JSON, without empty ones.
func documents(t *testing.T, stream string) (out []string) {
	t.Helper()
	for text := range strings.SplitSeq("\n"+stream, "\n---\n") {
		raw, err := yaml.YAMLToJSON([]byte(text))
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if string(raw) != "null" {
			out = append(out, string(raw))
		}
	}
	return out
}

func TestPodTemplatePath(t *testing.T) {
	in := `apiVersion: ray.io/v1
kind: RayCluster
metadata:
  name: ray
  annotations:
    sidecar.istio.io/proxyCPU: 200m
spec:
  head:
    template:
      spec:
        containers:
        - name: head # the head
          image: ray
  worker:
    template:
      metadata:
        labels: {sidecar.istio.io/inject: "false"}
      spec:
        containers:
        - name: worker
          image: ray
`
	if got := runWith(t, in, "kube-inject", "-f", "-"); got.out != in || !strings.Contains(got.err, "use --pod-template-path RayCluster.ray.io=spec.head.template") {
		t.Errorf("without the flag: %+v", got)
	}
	args := []string{"-f", "-", "--pod-template-path", "RayCluster.ray.io=spec.head.template", "--pod-template-path", "RayCluster.ray.io=.spec.worker.template"}
	got := runWith(t, in, append([]string{"kube-inject"}, args...)...)
	if got.code != 0 || strings.Count(got.out, "name: istio-proxy") != 1 || !strings.Contains(got.out, "head # the head\n") ||
		!strings.Contains(got.err, "(RayCluster ray, spec.worker.template): skipped: ") ||
		!strings.Contains(got.err, "(RayCluster ray, spec.head.template): warning: annotation sidecar.istio.io/proxyCPU: \"200m\": no effect on the metadata") {
		t.Errorf("%+v", got)
	}
	if back := runWith(t, got.out, append([]string{"uninject"}, args...)...); back.out != in {
		t.Errorf("%+v", back)
	}
	got = runWith(t, in, "kube-inject", "-f", "-", "--pod-template-path", "RayCluster.ray.io=spec.template")
	if got.code != 1 || !strings.Contains(got.err, "(RayCluster ray): spec.template: pod template not found; it is at spec.head.template, spec.worker.template; correct --pod-template-path") {
		t.Errorf("%+v", got)
	}
}

func sscanf(line string, from, n, to, m *int) (int, error) {
	return fmt.Sscanf(line, "@@ -%d,%d +%d,%d @@", from, n, to, m)
}
