package manifest

import (
	"fmt"
	"strings"
	"testing"
)

// TestSplit: a stream has the documents that kubectl reads; a test with the real one
// is in cmd/outrider.
func TestSplit(t *testing.T) {
	const a, b = `{"a": "}{\"["}`, `{"b":[{"c":1}]}`
	for _, c := range []struct {
		in   string
		want string // line, number, objects and text of each chunk
	}{
		{a + b, "1 1 2 " + a + b},
		{a + b + "\n", "1 1 2 " + a + b + "\n"},
		{a + "\n" + b + a + "\n\n", "1 1 1 " + a + "\n|2 2 2 " + b + a + "\n|3 0 0 \n"},
		{"\n " + a + "\n\n\n" + b, "1 1 1 \n " + a + "\n|3 2 1 \n\n" + b},
		{"{\n}{\n}\n{}", "1 1 2 {\n}{\n}\n|4 3 1 {}"},
		{a + "\n---\n" + b, "1 1 1 " + a + "\n|2 2 0 ---\n" + b},
		{a + "\nx: y\n", "1 1 1 " + a + "\n|2 2 0 x: y\n"},
		{a + "\n# c\n", "1 1 1 " + a + "\n|2 0 0 # c\n"},
		{a + " x\n" + b, "1 1 0 " + a + " x\n" + b},
		{"{a: b}\n{}", "1 1 0 {a: b}\n{}"},
		{a + "\n" + b + "\n---\n" + a, `1 1 1 ` + a + "\n|2 2 1 " + b + "\n|3 3 0 ---\n" + a + "! text that is not JSON after several JSON objects"},
		{a + "\nnull\n", "1 1 1 " + a + "\n|2 2 0 null\n! JSON that is not an object after a JSON object"},
		{a + "\n\"x\": y\n", "1 1 1 " + a + "\n|2 2 0 \"x\": y\n! JSON that is not an object after a JSON object"},
		{"a\n---#c\nb\n", "1 1 0 a\n|2 2 0 ---#c\nb\n"},
		{"a\n---\u00a0\nb\n", "1 1 0 a\n|2 2 0 ---\u00a0\nb\n"},
		{"# c\n---##\nb\n", "1 1 0 # c\n---##\nb\n"},
		{"---#c\nb\n", `1 1 0 ---#c` + "\nb\n" + `! "---" at the start of a document and a comment without a blank between them`},
		{"a\n---\n---#c\nb\n", "1 1 0 a\n|2 2 0 ---\n|3 3 0 ---#c\nb\n! \"---\" at the start of a document and a comment without a blank between them"},
		{"a\n---\n---\n---#c\nb\n", "1 1 0 a\n|2 2 0 ---\n|3 3 0 ---\n|4 4 0 ---#c\nb\n"},
		{"---a: b\n---\nc", "1 1 0 ---a: b\n! text after \"---\" on its line|2 2 0 ---\nc"},
		{"a\n--- {b: c}\n", "1 1 0 a\n|2 2 0 --- {b: c}\n! text after \"---\" on its line"},
		{"a\n----\n", "1 1 0 a\n|2 2 0 ----\n! text after \"---\" on its line"},
		{"a\n---\rb\n", "1 1 0 a\n|2 2 0 ---\rb\n! text after \"---\" on its line"},
		{"a\n...\nb\n---\nc", "1 1 0 a\n...\n|3 2 0 b\n! text between \"...\" and the next \"---\": kubectl ignores it|4 3 0 ---\nc"},
		{"a\n...\n# c\n%YAML 1.1\n---\nc", "1 1 0 a\n...\n|3 2 0 # c\n%YAML 1.1\n---\nc"},
		{"%YAML 1.1\n---\nc", "1 1 0 %YAML 1.1\n---\nc! YAML directive: kubectl does not read it"},
		{"a\n\ufeff---\nb", "1 1 0 a\n|2 2 0 ---\nb! byte order mark before \"---\" in the middle of the file"},
		{"a\n---\n\ufeff---\nb", "1 1 0 a\n|2 2 0 ---\n|3 3 0 ---\nb"},
		{"\ufeff" + a + b, "1 1 2 " + a + b},
	} {
		var got []string
		for _, chunk := range chunksOf(c.in) {
			text := fmt.Sprintf("%d %d %d %s", chunk.line, chunk.number, chunk.objects, chunk.text)
			if chunk.problem != nil {
				text += "! " + chunk.problem.Rule
			}
			got = append(got, text)
		}
		if text := strings.Join(got, "|"); text != c.want {
			t.Errorf("%q:\n got %q\nwant %q", c.in, text, c.want)
		}
	}
}

// TestObjectsOnOneLine: each is a document of its own.
func TestObjectsOnOneLine(t *testing.T) {
	pod := func(name string) string {
		return `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"` + name + `"},"spec":{"containers":[{"name":"c","image":"\ud83d\ude00\/"}]}}`
	}
	in := "\n\t" + pod("a") + pod("b") + " " + pod("c") + "\n" + pod("d") + "\n"
	out, report, err := transformString(t, in, fakeOptions())
	if err != nil || len(report.Objects) != 4 || report.Documents != 4 {
		t.Fatalf("%v %+v", err, report)
	}
	for i, object := range report.Objects {
		if object.Document != i+1 || !object.Changed || object.Line != 2+i/3 {
			t.Errorf("%+v", object)
		}
	}
	if strings.Count(out, `"name": "proxy"`) != 4 || strings.Count(out, `\ud83d\ude00\/`) != 4 {
		t.Error(out)
	}
}
