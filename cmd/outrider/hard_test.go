package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const aPod = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n  - name: a\n    image: i\n"

// laughs are aliases that expand to 9 to the 20th values.
func laughs(indent string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%sa0: &a0 [x,x,x,x,x,x,x,x,x]\n", indent)
	for i := range 20 {
		fmt.Fprintf(&b, "%sa%d: &a%d [%s]\n", indent, i+1, i+1, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d,", i), 9), ","))
	}
	return b.String()
}

func merges() string {
	var b strings.Builder
	b.WriteString("m0: &m0 {a: 1}\n")
	for i := range 20 {
		fmt.Fprintf(&b, "m%d: &m%d {<<: [%s]}\n", i+1, i+1, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*m%d,", i), 9), ","))
	}
	return b.String()
}

func lines(n int, line func(int) string) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(line(i))
	}
	return b.String()
}

// Unusual inputs give a clear error with its line and no output, or the right
// output, in no more than seconds, and never a panic.
func TestUnusualInputs(t *testing.T) {
	deep := func(i int) string { return strings.Repeat(" ", i+1) + "a:\n" }
	key := func(i int) string { return fmt.Sprintf("  k%d: v\n", i%99_999) }
	const tag = "y: !!str 1\n"                                 // not plain YAML
	for name, c := range map[string]struct{ in, want string }{ // want is of the error; empty: injected
		"nested flow":               {aPod + "x: " + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + "\n", ":8: document 1: the document is nested deeper than 400 levels"},
		"nested flow, open":         {aPod + "x: " + strings.Repeat("[", 1_000_000), ":8: document 1: the document is nested deeper"},
		"nested mappings":           {aPod + "x: " + strings.Repeat("{a: ", 100_000) + strings.Repeat("}", 100_000) + "\n", ":8: document 1: the document is nested deeper"},
		"nested block":              {aPod + "x:\n" + lines(2000, deep), "document 1: the document is nested deeper"},
		"nested block, slow":        {aPod + tag + "x:\n" + lines(2000, deep), "document 1: the document is nested deeper"},
		"nested sequences":          {aPod + "x:\n  " + strings.Repeat("- ", 100_000) + "a\n", ":9: document 1: the document is nested deeper"},
		"nested JSON":               {`{"apiVersion":"v1","kind":"Pod","x":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + "}", ":1: document 1: the document is nested deeper"},
		"nested 390 levels":         {aPod + "x: " + strings.Repeat("[", 390) + strings.Repeat("]", 390) + "\n", ""},
		"exploding aliases":         {aPod + laughs(""), "document 1 (Pod a): aliases expand to more than 100000 values"},
		"exploding aliases, merged": {aPod + "y:\n" + laughs("  ") + "z: {<<: [*a19]}\n", "document 1: not valid YAML: document contains excessive aliasing"},
		"exploding aliases, slow":   {aPod + tag + laughs(""), "document 1: not valid YAML: document contains excessive aliasing"},
		"exploding merges":          {aPod + merges(), ":12: document 1: merge keys add more than 4096 entries to this mapping"},
		"exploding merges, slow":    {aPod + tag + merges(), "document 1: not valid YAML: document contains excessive aliasing"},
		"an alias within itself":    {aPod + "x: &x [*x]\n", "document 1: not valid YAML: anchor 'x' value contains itself"},
		"CRLF":                      {strings.ReplaceAll(aPod, "\n", "\r\n"), ""},
		"byte order mark":           {"\ufeff" + aPod, ""},
		"UTF-16":                    {"\xff\xfea\x00p\x00", ": the file is UTF-16; convert it to UTF-8"},
		"a tab for indentation":     {strings.Replace(aPod, "  containers", "\tcontainers", 1), ":5:1: document 1: not valid YAML"},
		"a tab after a colon":       {strings.Replace(aPod, "name: a\n", "name:\ta\n", 1), ""},
		"duplicate keys":            {aPod + "kind: Service\n", `:8: document 1: "kind": duplicate key, first on line 2`},
		"duplicate keys, deep":      {aPod + "    image: j\n", `:8: document 1: "image": duplicate key, first on line 7`},
		"duplicate keys, many":      {aPod + "x:\n" + lines(100_000, key), `:100008: document 1: "k0": duplicate key, first on line 9`},
		"duplicate keys, spelled":   {aPod + "16: a\n0x10: b\n", `:9: document 1: "16": duplicate key, first on line 8`},
		"duplicate keys, ?":         {aPod + "16: a\n? 0x10\n", `:9: document 1: "16": duplicate key, first on line 8`},
		"duplicate keys, slow":      {aPod + tag + "x:\n" + lines(100_000, key), `:100009: document 1: "k0": duplicate key, first on line 10`},
		"binary":                    {strings.Repeat("\x7fELF\x00\x01\xff\xfe", 100_000), ":1: document 1: control character 0x7f; manifests must be text files"},
		"a zero byte":               {aPod + "\x00", ":8: document 1: control character 0x00"},
		"not UTF-8":                 {aPod + "x: \xc3\x28\n", ":8: document 1: byte 0xc3 is not UTF-8"},
		"an open quote":             {aPod + "x: \"a\n", ":9:1: document 1: not valid YAML"},
		"many values":               {aPod + "x: [" + strings.Repeat("1,", 2_000_001) + "]\n", "the document has more than 2000000 values; split it"},
		"large and slow":            {aPod + tag + "x: " + strings.Repeat("a", 5<<20) + "\n", "document 1: documents over 4 MiB may only contain plain YAML"},
		"a long line":               {aPod + "x: " + strings.Repeat("a", 10<<20) + "\n", ""},
		"100 MB":                    {"", "document 1, from line 1 on, exceeds 64 MiB; split it into several documents"},
		"100 MB on one line":        {"-", "document 1, from line 1 on, exceeds 64 MiB"},
	} {
		t.Run(name, func(t *testing.T) { hardInput(t, c.in, c.want) })
	}
}

func hardInput(t *testing.T, in, want string) {
	dir := t.TempDir()
	target := filepath.Join(dir, "out.yaml")
	if err := os.WriteFile(target, []byte("as it was"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := io.Reader(strings.NewReader(in))
	switch in {
	case "":
		r = io.MultiReader(strings.NewReader(aPod+"x: |\n"), io.LimitReader(repeat("  "+strings.Repeat("b", 77)+"\n"), 100<<20))
	case "-":
		r = io.MultiReader(strings.NewReader(aPod+"x: "), io.LimitReader(repeat("a"), 100<<20))
	}
	var out, errs bytes.Buffer
	code := run(context.Background(), []string{"outrider", "kube-inject", "-f", "-", "-o", target}, stdio{r, &out, &errs})
	text, stderr := read(t, target), errs.String()
	switch {
	case want != "" && (code != 1 || text != "as it was" || !strings.Contains(stderr, want) || len(stderr) > 2000):
		t.Errorf("code %d, wrote %.100q, stderr %.300q, want %q", code, text, stderr, want)
	case want == "" && (code != 0 || !strings.Contains(text, "name: istio-proxy")):
		t.Errorf("code %d, wrote %.100q, stderr %.300q", code, text, stderr)
	}
	left(t, dir, 1)
	if want != "" {
		return
	}
	// A document that had to be rewritten has spaces for its tabs.
	if back := runWith(t, text, "uninject", "-f", "-"); back.out != strings.ReplaceAll(in, "\t", " ") {
		t.Errorf("uninject: code %d, %.200q, stderr %.200q", back.code, back.out, back.err)
	}
}

// repeat reads the same text over and over.
type repeat string

func (r repeat) Read(p []byte) (n int, err error) {
	for n < len(p) {
		n += copy(p[n:], r)
	}
	return n, nil
}
