package manifest

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"sigs.k8s.io/yaml"
)

// oddities are scalars and layouts in which YAML readers differ.
var oddities = []string{
	"a: yes\nb: on\nc: Off\nd: y\ne: N\nf: TRUE\ng: tRue\n",
	"a: 0644\nb: 0o17\nc: 0x1F\nd: 0b101\ne: 1_000\nf: 09\ng: -012\nh: +7\ni: -0\n",
	"a: 1.0\nb: .5\nc: 1e3\nd: 1.\ne: 6.02E+23\nf: 1e\ng: -.5\nh: 123456789012345678901234567890\n",
	"a: 18446744073709551615\nb: 9223372036854775808\nc: -9223372036854775809\nd: 1234567890123456789\n",
	"a: ~\nb: null\nc: Null\nd:\ne: ''\nf: \"\"\n",
	"a: 2001-01-01\nb: 12:30:45\nc: 2001-12-14t21:59:43.10-05:00\nd: 1.2.3.4\ne: 10.0.0.0/8\n",
	"on: 1\nyes: 2\n3: x\n0x10: y\n",
	"a: &x\n  b: c\nd: *x\ne: [*x, &y 1, *y]\n",
	"a: &x 1\nb: &x [*x]\n",
	"a: &x 1\nb: &x\n- *x\n",
	"a: &x 1\nb: [&x [*x], *x]\n",
	"a: &x {b: c}\nd:\n  <<: *x\n  e: f\ng:\n  b: own\n  <<: *x\n",
	"a: &x {b: c}\nz: &y {b: d, e: f}\ng:\n  <<: [*x, *y]\n  h: i\n",
	"a: |\n  one\n   two\n\n  three\n\nb: |-\n  x\n\nc: |+\n  y\n\nd: >\n  folded\n  text\n\n  more\n    indented\n  back\n",
	"a: |2\n   x\n  y\nb: >-\n  a\n  b\nc: |\nd: >+\n\n\ne: z\n",
	"a: |\n  no newline at the end",
	"a: plain text\n  over lines\n\n  and more # comment\nb: \"quoted\n  over\\\n  lines\"\n",
	"a: \"quoted\n  over lines  \n\n  more\"\nb: 'single ''quotes''\n  more'\nc: \"\\u00e9\\x41\\n\\t\\/\\\"\"\n",
	"a: [1, two, \"three\", {b: c, \"d\": [e]}, ]\nf: {}\ng: []\nh: [\n  x, # comment\n  y\n]\n",
	"- a\n- - b\n  - c\n-\n  d: e\n-\n- f: g\n  h: i\n",
	"a:\n- b\n- c\nd:\n  - e\n",
	"a: b:c\nd: http://x/y?z#w\ne: -x\nf: ?x\ng: :x\nh: a#b\ni: x,y\nj: [a:b, http://x]\n",
	"# comment\n\na: 1 # one\n# between\nb: 2\n  # odd\nc: 3\n",
	"a: 'x' # y\n\"b\" : c\n'd': e\nf : g\n",
	"{\"a\": 1, \"b\":[true,null,\"x\\ud83d\\ude00\"], \"c\":{\"d\":1.5e3}}",
	"{\n\t\"a\": {\n\t\t\"b\": [1,\n2]\n\t}\n}\n",
	"a: é\nü: ö\nb: \"\u65e5\u672c\"\n",
	"a: |\n\ttab\n", "a:\tb\n", "\ta: b\n", "a: b\n\tc: d\n", "- \ta\n", "a: b\t# c\n", "a: b \t\n",
	"a: [b\n c]\n", "a: {b\n : c}\n", "[a]: b\n", "? a\n: b\n", "a: !!str 1\n", "a: *nope\n", "a: &x *x\n", "&a b: c\n",
	"a: b: c\n", "a:\n  b\n c\n", "a: 'x\n", "a: \"x\n", "a: [b\n", "a: {b: c\n", "a\n", "a: @b\n", "a: `b\n", "a: %b\n", "%a: b\n",
	"a: .inf\n", "a: -.INF\n", "a: .nan\n", ".inf: b\n", "~: b\n", "1.5: b\n", "a: 1\na: 2\n", "a: =\n=: b\n", "a: <<\n", "<<: b\n",
	"a: b\n---\nc: d\n", "a: b\n...\n", "a: - b\n", "a: -\n", "-\n", "- - -\n", "a: &x\nb: *x\n", "a: \"\\z\"\n", "a: \"\\ud83d\"\n",
	"a: {b: c,, d: e}\n", "a: [,]\n", "a: [b c, d  e]\n", "a: [b # c\n, d]\n", "a: [b#c]\n", "a: {b: }\n", "a: {b: , c: d}\n", "a: {b}\n", "a: [b: c]\n",
	"a: {b:c}\n", "a: {\"b\":c}\n", "a: {'b':c, d: 'e'}\n", "a: [-]\n", "a: [-1, - 2]\n", "a: [?b, c?d]\n", "a: {? b: c}\n",
	"a:\n    b: 1\n  c: 2\n", "a:\n- b\n - c\n", "a: |x\n  b\n", "a: | # c\n  b\n", "a: |#c\n  b\n", "a: >1\n  b\n", "a: |-2+\n  b\n",
	"a: \x01\n", "a: \u0085b\n", "a: b\u2028c\n", "\ufeffa: b\n", "a: b\rc: d\r", "a: b\r\nc:\r\n- d\r\n- |\r\n  e\r\n\r\n  f\r\n",
	"a: \"x\u2028y\"\n", "a: 'x \u2029\u0085 y'\n", "a: \"x\n  \u2028\n  y\u0085z\"\n", "a: \"x\u2028--- y\"\n", "a: \"x\u2028---y\"\n", "\"a\u2028b\": c\n", "a: \"\u2028\\n\u0085\"\n", "a: x\ufeffy\n", "a: \"x\u2028\ty\"\n", "a: {\"b\": \"c\u0085d\"}\n", "a: | # \u2028\n  b\n", "a: b # \u2028c: d\n",
	"a: x\n\n\n  y\n", "a: x # c\n  y\n", "a: x\n# c\n  y\n", "a: x\n  # c\n  y\n", "a: \"x\ny\"\n", "a:\n  \"x\ny\"\n", "a: 'b'c\n", "a: 'b' c\n",
	"a: |\n   x\n  # c\nb: 1\n", "a: |\n    x\n  y\n", "a:\n   \n  b\n", "a: |\n     \n  b\n", "--- {a: b}\n", "--- a\n", "---\n- a\n",
}

// check compares the result of the parser with sigs.k8s.io/yaml. It reports whether the
// parser had an answer.
func checkOracle(t *testing.T, text string) bool {
	t.Helper()
	doc := (&arena{}).parse(text, markerEnd(text))
	if doc == nil {
		return false
	}
	if len(doc.roots) > 1 {
		return true
	}
	got := []byte("null")
	if len(doc.roots) == 1 {
		var err error
		if got, err = toJSON(doc.roots[0], new(int)); err != nil {
			return false
		}
		checkPlaces(t, text, doc.roots[0])
	}
	want := []byte(text)
	if !strings.HasPrefix(strings.TrimLeft(text, " \t\r\n"), "{") || !json.Valid(want) {
		var err error
		if want, err = yaml.YAMLToJSON([]byte(text)); err != nil {
			t.Fatalf("%q: read as %s, but sigs.k8s.io/yaml says: %v", text, got, err)
		}
	}
	if !sameJSON(t, got, want) {
		t.Fatalf("%q:\n got %s\nwant %s", text, got, want)
	}
	return true
}

func markerEnd(text string) int {
	if strings.HasPrefix(text, "---") && (len(text) == 3 || strings.IndexByte(" \t\r\n", text[3]) >= 0) {
		return 3
	}
	return 0
}

// checkPlaces reports whether the text at a scalar's place is the scalar.
func checkPlaces(t *testing.T, text string, n *node) {
	t.Helper()
	if n.start < 0 || n.end < n.start || n.end > len(text) {
		t.Fatalf("%q: node at %d:%d", text, n.start, n.end)
	}
	at := 0
	for _, item := range n.items {
		if item.start < at || item.end > n.end {
			t.Fatalf("%q: item at %d:%d, behind %d, in %d:%d", text, item.start, item.end, at, n.start, n.end)
		}
		at = item.end
		checkPlaces(t, text, item)
	}
}

func sameJSON(t *testing.T, a, b []byte) bool {
	t.Helper()
	decode := func(data []byte) any {
		d := json.NewDecoder(bytes.NewReader(data))
		var v any
		if err := d.Decode(&v); err != nil {
			t.Fatalf("%s: %v", data, err)
		}
		return v
	}
	return reflect.DeepEqual(decode(a), decode(b))
}

func TestParseLikeKubectl(t *testing.T) {
	answered := 0
	for _, text := range oddities {
		if checkOracle(t, text) {
			answered++
		}
	}
	t.Logf("%d of %d texts answered", answered, len(oddities))
	if answered < 40 {
		t.Errorf("only %d of %d texts were answered: the parser gives up too early", answered, len(oddities))
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range oddities {
		f.Add(text)
	}
	f.Add(sleepDeployment)
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 4096 {
			return
		}
		answered := checkOracle(t, text)
		if !answered && strings.HasPrefix(text, "{") && json.Valid([]byte(text)) && (&arena{}).parseJSON(text) == nil &&
			utf8.ValidString(text) && duplicateInJSON(text) == nil {
			t.Fatalf("%q is JSON, but was not read", text)
		}
	})
}

const sleepDeployment = `apiVersion: apps/v1
kind: Deployment
metadata:
  name: sleep
  namespace: default
spec:
  replicas: 1 # one
  selector:
    matchLabels: {app: sleep}
  template:
    metadata:
      labels:
        app: sleep
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      # the app
      - name: sleep
        image: curlimages/curl
        command: ["/bin/sleep", "infinity"]
        env:
        - name: A
          value: "1"
      volumes:
      - name: secret-volume
        secret:
          secretName: sleep-secret
          optional: true
`
