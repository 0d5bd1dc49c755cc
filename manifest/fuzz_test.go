package manifest

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/outrider-mesh/outrider/inject"

	"github.com/outrider-mesh/outrider/internal/problem"
)

// seeds are streams that reach every part of the work.
func seeds() []string {
	out := []string{
		sleepDeployment,
		"apiVersion: v1\nkind: Pod\nx: &s\n  containers: [{name: a}]\nspec: *s\n---\n{\"kind\": \"X\"}\n...\n# c\n",
		"apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Pod\n  metadata: {labels: &l {a: b}}\n  spec:\n    initContainers:\n    # c\n    - name: z\n    sel: *l\n",
		"\ufeff---\r\nkind: Pod\r\napiVersion: v1\r\nspec:\r\n  text: |+\r\n    a\r\n\r\n  volumes:\r\n",
		"{\n\t\"apiVersion\": \"v1\",\n\t\"kind\": \"Pod\",\n\t\"spec\": {\n\t\t\"containers\": [\n\t\t\t{\"name\": \"a\"}\n\t\t]\n\t}\n}\n",
		"kind: Pod\napiVersion: v1\nmetadata:\n  annotations:\n    a: !!str 1\nspec:\n  ? containers\n  : - name: q\n",
		"apiVersion: v1\nkind: Pod\nmetadata: {annotations: {skip: \"true\"}}\nspec: {containers: []}\n",
		"apiVersion: v1\nkind: Pod\nmetadata:\n  annotations:\n    bad: x\nspec:\n  containers: []\n",
		"apiVersion: v1\nkind: Pod\na: [\n",
	}
	for _, text := range oddities {
		out = append(out, "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - name: a\nx:\n  "+strings.ReplaceAll(text, "\n", "\n  ")+"\n---\n"+text)
	}
	return out
}

// Seeds reach edited documents, documents that are rewritten, skipped and rejected
// pods and streams that are not YAML, so that fuzzing starts at the core.
func TestSeedsReachTheCore(t *testing.T) {
	edited, anew, skipped, rejected, broken := 0, 0, 0, 0, 0
	for _, text := range seeds() {
		_, report, err := transformString(t, text, fakeOptions())
		var problems problem.List
		switch {
		case errors.As(err, &problems) && strings.Contains(problems[0].Path, " ("):
			rejected++
		case err != nil:
			broken++
		}
		for _, o := range report.Objects {
			switch {
			case !o.Decision.Inject:
				skipped++
			case o.Changed && (&arena{}).parse(text, 0) == nil && len(chunksOf(text)) == 1:
				anew++
			case o.Changed:
				edited++
			}
		}
	}
	if edited < 40 || anew < 1 || skipped < 1 || rejected < 1 || broken < 1 {
		t.Errorf("%d edited, %d encoded anew, %d skipped, %d rejected, %d invalid YAML", edited, anew, skipped, rejected, broken)
	}
}

// FuzzTransform: whatever the stream, there is no panic; a stream in which
// nothing is injected comes out as it was; documents that are not injected stay
// as they are; and what came out means what it must, by another YAML reader.
func FuzzTransform(f *testing.F) {
	for _, text := range seeds() {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, in string) {
		if len(in) > 4096 {
			return
		}
		clear(fakePods)
		out, report, err := transformString(t, in, fakeOptions())
		if err != nil {
			return
		}
		changed := map[int]bool{}
		for _, o := range report.Objects {
			changed[o.Document] = changed[o.Document] || o.Changed
		}
		before, after := chunksOf(in), chunksOf(out)
		if len(before) != len(after) {
			t.Fatalf("%d chunks became %d:\n%q\n%q", len(before), len(after), in, out)
		}
		for i := range before {
			if !changed[before[i].number] && !bytes.Equal(before[i].text, after[i].text) {
				t.Fatalf("document %d changed:\n%q\n%q", i+1, before[i].text, after[i].text)
			}
			doc := (&arena{}).parse(string(before[i].text), before[i].from)
			if changed[before[i].number] && (doc == nil || len(doc.roots) == 1) {
				checkMeaning(t, string(before[i].text), string(after[i].text))
			}
		}
		again, _, err := transformString(t, out, fakeOptions())
		if err != nil || again != out {
			t.Fatalf("the second time: %v\n%q\n%q", err, out, again)
		}
	})
}

// FuzzUninject: what the real injector made of a stream that was not injected,
// the way back makes mean what the stream meant.
func FuzzUninject(f *testing.F) {
	for _, text := range seeds() {
		f.Add(text)
	}
	f.Add("apiVersion: v1\nkind: Pod\nmetadata:\n  annotations:\nspec:\n  initContainers:\n  # c\n  - name: z\n  containers:\n  - image: auto\n    name: istio-proxy\n  - name: a\n  volumes: []\n")
	injector := realInjector(f)
	f.Fuzz(func(t *testing.T, in string) {
		if len(in) > 4096 || strings.Contains(in, "istio.io/") {
			return
		}
		var injected, back strings.Builder
		if _, err := Transform(strings.NewReader(in), &injected, Options{Injector: injector, File: "f"}); err != nil {
			return
		}
		if _, err := Transform(strings.NewReader(injected.String()), &back, Options{Injector: inject.Uninjector{}, File: "f"}); err != nil {
			t.Fatalf("the way back: %v\n%s", err, injected.String())
		}
		before, after := chunksOf(in), chunksOf(back.String())
		if len(before) != len(after) {
			t.Fatalf("%d chunks became %d:\n%q\n%q", len(before), len(after), in, back.String())
		}
		for i := range before {
			if bytes.Equal(before[i].text, after[i].text) {
				continue
			}
			if want, got := documentsOf(t, string(before[i].text)), documentsOf(t, string(after[i].text)); !reflect.DeepEqual(got, want) {
				t.Errorf("document %d:\n got %v\nwant %v\nin\n%s\nback\n%s", i+1, got, want, before[i].text, after[i].text)
			}
		}
	})
}

func chunksOf(text string) []chunk {
	var out []chunk
	s := newSplitter(strings.NewReader(text), 0)
	for {
		c, err := s.next()
		if err != nil {
			return out
		}
		out = append(out, c)
	}
}

// FuzzSplit: the chunks of a stream, one after the other, are the stream.
func FuzzSplit(f *testing.F) {
	f.Add("# c\n---\na: b\n...\n%YAML 1.1\n---\nc: d\n---")
	f.Add("\ufeffa\n\ufeff---\r\nb\r\n--- # x\n...\n...\n")
	f.Add("{\"a\": 1}{\n}\n\n{} x\n---#c\na\n---b: c\n")
	f.Add("\ufeff{}\n{}\n# c\n---\n\ufeff---\na\n")
	f.Fuzz(func(t *testing.T, in string) {
		var b strings.Builder
		line := 1
		for _, c := range chunksOf(in) {
			if c.line != line {
				t.Fatalf("chunk at line %d, want %d in %q", c.line, line, in)
			}
			if c.bom {
				b.Write(bom)
			}
			b.Write(c.text)
			line += bytes.Count(c.text, []byte("\n"))
		}
		if got := b.String(); got != in && !strings.HasPrefix(in, "\xff\xfe") && !strings.HasPrefix(in, "\xfe\xff") {
			t.Fatalf("%q became %q", in, got)
		}
	})
}
