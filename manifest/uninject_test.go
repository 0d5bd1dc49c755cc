package manifest

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/inject"
)

// TestUninjectBytes: block-style manifests, as people write them, come out of
// uninject byte for byte as they went into the injection.
func TestUninjectBytes(t *testing.T) {
	injectors := map[string]*inject.Injector{}
	for name, c := range map[string]struct {
		texts config.Texts
		env   inject.Environment
	}{
		"native":  {},
		"classic": {env: inject.Environment{Kubernetes: inject.Version{Major: 1, Minor: 28}}},
		"much": {texts: config.Texts{
			Values: "global: {imagePullSecrets: [secret], proxy: {holdApplicationUntilProxyStarts: true}}\npilot: {env: {ENABLE_NATIVE_SIDECARS: \"false\"}}\n",
			Config: "injectedAnnotations: {example.com/injected: \"yes\"}\n",
		}},
	} {
		cfg, problems := config.Parse(c.texts, config.Labels{})
		if cfg == nil {
			t.Fatal(problems.Err())
		}
		if injectors[name], problems = inject.Compile(cfg, c.env); injectors[name] == nil {
			t.Fatal(problems.Err())
		}
	}
	for seed := range uint64(150) {
		in := blockManifest(rand.New(rand.NewPCG(seed, 1)))
		for name, injector := range injectors {
			injected := transformed(t, in, injector)
			if !strings.Contains(injected, "istio-proxy") {
				t.Fatalf("seed %d, %s: not injected:\n%s", seed, name, in)
			}
			if back := transformed(t, injected, inject.Uninjector{}); back != in {
				t.Fatalf("seed %d, %s: before the injection -, after uninject +\n%s\n%q", seed, name, cmp.Diff(strings.Split(in, "\n"), strings.Split(back, "\n")), in)
			}
		}
	}
}

// TestUninjectKeepsQuotes: values that the injection changes keep the quotes of their
// author, and come back with them.
func TestUninjectKeepsQuotes(t *testing.T) {
	cfg, problems := config.Parse(config.Texts{}, config.Labels{})
	if cfg == nil {
		t.Fatal(problems.Err())
	}
	injector, problems := inject.Compile(cfg, inject.Environment{})
	if injector == nil {
		t.Fatal(problems.Err())
	}
	for _, c := range []struct{ cpu, memory, injected string }{
		{"100m", "64Mi", "cpu: 110m\n      memory: 144Mi\n"},
		{`"100m"`, `'64Mi'`, "cpu: \"110m\"\n      memory: '144Mi'\n"},
		{`"1"`, `"1073741824"`, "cpu: 1010m\n      memory: \"1157627904\"\n"},
		{`'1'`, `"1Gi" # all`, "cpu: '1010m'\n      memory: \"1104Mi\" # all\n"},
		{`1`, `1000000000`, "cpu: 1010m\n"},
		{`990m`, `67108864`, "cpu: \"1\"\n"},
		{`"1990m"`, `"0"`, "memory: 96Mi\n"},
		{`'1990m'`, `'0'`, "cpu: '2'\n      memory: '96Mi'\n"},
	} {
		in := "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\nspec:\n  resources:\n    requests:\n      cpu: " + c.cpu + "\n      memory: " + c.memory + "\n" +
			"  containers:\n  - name: a\n    image: i\n"
		injected := transformed(t, in, injector)
		if !strings.Contains(injected, c.injected) {
			t.Errorf("%s, %s: no %q in\n%s", c.cpu, c.memory, c.injected, injected)
		}
		back := transformed(t, injected, inject.Uninjector{})
		if c.cpu == `"1990m"` { // "2" needs quotes, which leave no trace of the author's
			in = strings.Replace(in, c.cpu, "1990m", 1)
		}
		if back != in {
			t.Errorf("before the injection -, after uninject +\n%s", cmp.Diff(in, back))
		}
	}
}

func transformed(t *testing.T, in string, injector Injector) string {
	t.Helper()
	var out strings.Builder
	if _, err := Transform(strings.NewReader(in), &out, Options{Injector: injector, File: "f"}); err != nil {
		t.Fatalf("%v\n%s", err, in)
	}
	return out.String()
}

// blockWriter writes block-style YAML with people's habits.
type blockWriter struct {
	*rand.Rand
	strings.Builder
	dash string // before a sequence's dashes, below its key
}

func (w *blockWriter) maybe(percent int) bool { return w.IntN(100) < percent }

// line writes a line, sometimes with a comment after or a comment or blank
// lines before it.
func (w *blockWriter) line(indent, text string) {
	if w.maybe(8) {
		w.WriteString("\n")
	}
	if w.maybe(12) {
		w.WriteString(indent + "# about the next line\n")
	}
	w.WriteString(indent + text)
	if w.maybe(12) {
		w.WriteString(" # a remark")
	}
	w.WriteString("\n")
}

// mapOf writes a key with a mapping of strings below it, or omits it; it
// may also be there with nothing below it.
func (w *blockWriter) mapOf(indent, key string, names ...string) {
	switch w.IntN(5) {
	case 0:
		return
	case 1:
		w.line(indent, key+":")
		return
	}
	w.line(indent, key+":")
	for i, name := range names {
		w.line(indent+"  ", name+": "+[]string{"plain", `"quoted"`, "'single'", "|\n" + indent + "    several\n" + indent + "    lines"}[(i+w.IntN(3))%4])
	}
}

// items writes a sequence of objects with names below a key.
func (w *blockWriter) items(indent, key string, names []string, more ...string) {
	if len(names) == 0 {
		return
	}
	w.line(indent, key+":")
	at := indent + w.dash
	for _, name := range names {
		w.line(at, "- name: "+name)
		for _, m := range more {
			if w.maybe(80) {
				w.line(at+"  ", m)
			}
		}
	}
	if w.maybe(15) {
		w.WriteString(at + "# behind the last\n")
	}
}

// pod writes the pod template's metadata and spec.
func (w *blockWriter) pod(indent string) {
	if w.maybe(80) {
		w.line(indent, "metadata:")
		before := w.Len()
		w.mapOf(indent+"  ", "labels", "app", "tier")
		w.mapOf(indent+"  ", "annotations", "example.com/a", "example.com/b")
		if w.Len() == before {
			w.line(indent+"  ", "name: a")
		}
	}
	w.line(indent, "spec:")
	parts := []func(){
		func() {
			w.items(indent+"  ", "containers", []string{"app", "second"}[:1+w.IntN(2)], "image: example.com/app:1", `workingDir: "/tmp"`)
		},
		func() {
			w.items(indent+"  ", "initContainers", []string{"first", "setup"}[:w.IntN(3)], "image: example.com/init:1")
		},
		func() { w.items(indent+"  ", "volumes", []string{"data", "cache"}[:w.IntN(3)], "emptyDir:") },
		func() { w.items(indent+"  ", "imagePullSecrets", []string{"mine"}[:w.IntN(2)]) },
		func() { w.line(indent+"  ", "terminationGracePeriodSeconds: 0") },
	}
	w.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
	for _, part := range parts {
		part()
	}
}

func blockManifest(r *rand.Rand) string {
	w := &blockWriter{Rand: r, dash: []string{"", "  "}[r.IntN(2)]}
	for i := range 1 + w.IntN(3) {
		if i > 0 || w.maybe(30) {
			w.WriteString("---\n")
		}
		switch w.IntN(4) {
		case 0:
			w.line("", "apiVersion: v1")
			w.line("", "kind: Pod")
			w.pod("")
		case 1:
			w.WriteString("apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Pod\n")
			w.pod("  ")
		default:
			w.line("", "kind: Deployment")
			w.line("", "apiVersion: apps/v1")
			w.mapOf("", "metadata", "name", "namespace")
			w.line("", "spec:")
			w.line("  ", "template:")
			w.pod("    ")
			if w.maybe(50) {
				w.line("  ", "replicas: 1")
			}
		}
		if w.maybe(20) {
			fmt.Fprintf(w, "# end of document %d\n", i)
		}
	}
	out := w.String()
	if w.maybe(20) {
		out = strings.TrimSuffix(out, "\n")
	}
	if w.maybe(20) {
		out = strings.ReplaceAll(out, "\n", "\r\n")
	}
	return out
}

// Templates that read the pod create separate parts for every pod; the memory
// for shared parts stays bounded, and the result is the same.
func TestTemplatesThatReadThePod(t *testing.T) {
	cfg, problems := config.Parse(config.Texts{Config: "defaultTemplates: [sidecar, own]\ntemplates:\n  own: |\n    spec:\n      containers:\n      - name: own\n        image: example.com/{{ .ObjectMeta.Name }}:1\n"}, config.Labels{})
	if cfg == nil {
		t.Fatal(problems.Err())
	}
	injector, problems := inject.Compile(cfg, inject.Environment{})
	if injector == nil {
		t.Fatal(problems.Err())
	}
	a := newArena()
	for i := range 3 * maxKept {
		in := fmt.Sprintf("apiVersion: v1\nkind: Pod\nmetadata:\n  name: p%d\nspec:\n  containers:\n  - name: a\n    image: i\n", i)
		c, err := newSplitter(strings.NewReader(in), 0).next()
		if err != nil {
			t.Fatal(err)
		}
		o := Options{Injector: injector, File: "f"}
		out := transform(&c, &o, a)
		if !strings.Contains(out.text, fmt.Sprintf("image: example.com/p%d:1\n", i)) || !strings.Contains(out.text, "name: istio-proxy\n") {
			t.Fatalf("pod %d: %+v", i, out)
		}
		if len(a.pods.kept) > maxKept {
			t.Fatalf("%d parts are kept", len(a.pods.kept))
		}
	}
}
