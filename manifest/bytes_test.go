package manifest

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestUntouchedTextStays: whatever characters a document has, every line of it is in the
// result.
func TestUntouchedTextStays(t *testing.T) {
	injector := realInjector(t)
	pod := func(line string) string {
		return "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a # \u00e9 \U0001F600\n  annotations:\n    " + line + "\n    z: \U0001F600 \u65e5\nspec:\n  containers:\n  - name: app\n    image: i\n"
	}
	for _, line := range []string{
		"a: \"x\u2028y\"", "a: 'x\u2029y'", "a: \"x\u0085y\"", "a: \"x \u2028 y\u2028\u2029\u0085z\"", "a: \"x\n      \u2028y\u0085\n      z\"", "a: \"\u2028\"", "a: '\u2028''\u2029'", "a: \"\\u2028\u2028\\n\"",
		"a: \"x\ufeffy\"", "a: x\ufeffy", "a: \ufeff", "\ufeffa: b", "a: |\n      x\ufeff\n      \ufeffy", "a: b # \ufeff", "a: \ue000\uf8ff", "a: \ufffd", "a: \u00a0x\u00a0", "a: \"\\U0001F600 \\x41 \\e \\_ \\N \\L\""[:len("a: \"\\U0001F600 \\x41 \\e")] + "\"",
		"\U0001F600: \U0001F600", "\"\U0001F600\": {\U0001F600: [\U0001F600]}"[:len("\"\U0001F600\": ")] + "x", "a: |\n      \U0001F600\n       \u65e5\n", "a: >-\n      \U0001F600\n      \u65e5", "# \U0001F600 \u200d \u202e", "a: \u200b\u200d\u202e\u0301", "a: \U0010FFFF",
	} {
		in := pod(line)
		out, report, err := transformString(t, in, Options{Injector: injector, File: "f"})
		if err != nil || len(report.Objects) != 1 || !report.Objects[0].Changed {
			t.Errorf("%q: %v", line, err)
			continue
		}
		addedLines(t, in, out)
		if want := patched(t, injector, in); !sameJSON(t, want, toJSONText(t, out)) {
			t.Errorf("%q: got\n%s\nwant %s", line, toJSONText(t, out), want)
		}
	}
}

// runes are characters on which readers and writers differ.
var runes = []rune("aZ0 \u0085\u00a0\u00ad\u00e9\u0301\u200b\u200d\u2028\u2029\u202e\u3000\u65e5\ud7ff\ue000\ufeff\ufffd\U0001F600\U0001F468\U0010FFFF")

func randomText(r *rand.Rand) string {
	var b strings.Builder
	b.WriteByte('x')
	for range r.IntN(8) {
		b.WriteRune(runes[r.IntN(len(runes))])
	}
	return b.String() + "x"
}

// TestRandomTextStays is a property: scalars that no injection touches are byte for byte
// as they were, and the result means what it must. Texts that kubectl does not read are
// errors.
func TestRandomTextStays(t *testing.T) {
	injector := realInjector(t)
	r := rand.New(rand.NewPCG(1, 2))
	read := 0
	for range 3000 {
		scalars := []string{
			`"` + randomText(r) + `"`, `'` + randomText(r) + `'`, randomText(r), "|\n      " + randomText(r) + "\n      " + randomText(r), ">-\n      " + randomText(r), "&a " + randomText(r), `["` + randomText(r) + `"]`[:0] + "b",
		}
		scalar, comment, key := scalars[r.IntN(len(scalars))], "", "k"
		switch r.IntN(4) {
		case 0:
			comment = " # " + randomText(r)
		case 1:
			key = randomText(r)
		}
		if strings.Contains(scalar, "\n") {
			comment = ""
		}
		in := fmt.Sprintf("apiVersion: v1\nkind: Pod\nmetadata:\n  annotations:\n    \U0001F600: \U0001F600\n    %s: %s%s\nspec:\n  containers:\n  - name: app\n    image: i\n", key, scalar, comment)
		out, _, err := transformString(t, in, Options{Injector: injector, File: "f"})
		if err != nil {
			continue
		}
		read++
		if !utf8.ValidString(out) {
			t.Fatalf("%q: %q", in, out)
		}
		if doc := (&arena{}).parse(in, 0); doc == nil {
			if !strings.Contains(out, "\U0001F600: \U0001F600\n") {
				t.Fatalf("%q became %q", in, out)
			}
			continue
		}
		addedLines(t, in, out)
		if want := patched(t, injector, in); !sameJSON(t, want, toJSONText(t, out)) {
			t.Fatalf("%q: got\n%s\nwant %s", in, toJSONText(t, out), want)
		}
		if t.Failed() {
			return
		}
	}
	if read < 1500 {
		t.Errorf("only %d texts were read", read)
	}
}

// TestJSONKeepsItsText: JSON has every character, with or without escapes.
func TestJSONKeepsItsText(t *testing.T) {
	injector := realInjector(t)
	for _, text := range []string{
		"\u2028", "a \u2028 b", "\u0085", "\ufeff", "\u0080\u009f", "\uffff", "\U0001F600", `\ud83d\ude00`, `\u2028`, `\/`, `\ud800`, `\u0000`, `\b\f`, "\U0001F600\u2028",
	} {
		for _, in := range []string{
			`{"apiVersion": "v1", "kind": "Pod", "metadata": {"annotations": {"a": "` + text + `"}}, "spec": {"containers": [{"name": "app", "image": "i"}]}}`,
			"{\n  \"apiVersion\": \"v1\",\n  \"kind\": \"Pod\",\n  \"metadata\": {\"annotations\": {\"k" + text + "\": \"" + text + "\"}},\n  \"spec\": {\n    \"containers\": [\n      {\"name\": \"app\", \"image\": \"i\"}\n    ]\n  }\n}\n",
		} {
			out, _, err := transformString(t, in, Options{Injector: injector, File: "f"})
			if err != nil {
				if !strings.Contains(text, "ud800") && !strings.Contains(text, "u0000") {
					t.Errorf("%q: %v", in, err)
				}
				continue
			}
			if before, _, _ := strings.Cut(in, `"}}`); !strings.HasPrefix(out, before) || !strings.Contains(out, `"name": "istio-proxy"`) {
				t.Errorf("%q became %.300q", in, out)
			}
		}
	}
}

// TestRewrittenTextStays: a document that has to be rewritten keeps its texts, too.
func TestRewrittenTextStays(t *testing.T) {
	injector := realInjector(t)
	for _, line := range []string{
		"a: \U0001F600", "a: \"\U0001F600\"", "a: '\U0001F600 x'", "\U0001F600: b", "a: b # \U0001F600", "# \U0001F468\u200d\U0001F469", "a: |\n      \U0001F600\n      \u65e5", "a: \"x\u2028y\U0001F600\"", "a: \U0001F600\ue000", "a: \ufeffx", "a: &x \U0001F600\n    b: *x",
	} {
		in := "apiVersion: v1\nkind: Pod\nmetadata:\n  annotations:\n    t: !!str 1\n    " + line + "\nspec:\n  containers:\n  - name: app\n    image: i\n"
		out, _, err := transformString(t, in, Options{Injector: injector, File: "f"})
		if err != nil || !strings.Contains(out, "    "+line+"\n") || strings.Contains(out, "\\U") {
			t.Errorf("%q: %v\n%s", line, err, out)
		}
	}
}
