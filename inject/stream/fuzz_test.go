package stream

import (
	"bytes"
	"strings"
	"testing"
)

// FuzzTransform: whatever the stream, there is no panic; a stream in which
// nothing is injected comes out as it was; documents that are not injected stay
// as they are; and what came out means what it must, by another YAML reader.
func FuzzTransform(f *testing.F) {
	f.Add(sleepDeployment)
	f.Add("apiVersion: v1\nkind: Pod\nx: &s\n  containers: [{name: a}]\nspec: *s\n---\n{\"kind\": \"X\"}\n...\n# c\n")
	f.Add("apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Pod\n  metadata: {labels: &l {a: b}}\n  spec:\n    initContainers:\n    # c\n    - name: z\n    sel: *l\n")
	f.Add("\ufeff---\r\nkind: Pod\r\napiVersion: v1\r\nspec:\r\n  text: |+\r\n    a\r\n\r\n  volumes:\r\n")
	f.Add("{\n\t\"apiVersion\": \"v1\",\n\t\"kind\": \"Pod\",\n\t\"spec\": {\n\t\t\"containers\": [\n\t\t\t{\"name\": \"a\"}\n\t\t]\n\t}\n}\n")
	f.Add("kind: Pod\napiVersion: v1\nmetadata:\n  annotations:\n    a: !!str 1\nspec:\n  ? containers\n  : - name: q\n")
	for _, text := range oddities {
		f.Add("apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - name: a\nx:\n  " + strings.ReplaceAll(text, "\n", "\n  ") + "\n---\n" + text)
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
