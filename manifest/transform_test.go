package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/outrider-mesh/outrider/inject"

	"github.com/outrider-mesh/outrider/internal/problem"
)

func transformString(t *testing.T, in string, o Options) (string, *Report, error) {
	t.Helper()
	var out bytes.Buffer
	report, err := Transform(strings.NewReader(in), &out, o)
	return out.String(), report, err
}

// addedLines returns the lines of b that a has not, and fails when b lacks a
// line of a, or has them in another order.
func addedLines(t *testing.T, a, b string) []string {
	t.Helper()
	old, added := strings.SplitAfter(a, "\n"), []string{}
	i := 0
	for line := range strings.SplitAfterSeq(b, "\n") {
		if i < len(old) && (old[i] == line || i == len(old)-1 && strings.TrimRight(line, "\r\n") == old[i]) {
			i++
			continue
		}
		added = append(added, line)
	}
	if i < len(old) && old[i] != "" {
		t.Errorf("line lost: %q\nin:\n%s\nout:\n%s", old[i], a, b)
	}
	return added
}

const podTail = `spec:
  containers:
  - name: app
    image: x # the image
`

func TestEditsOnlyInsertLines(t *testing.T) {
	cases := map[string]string{
		"deployment":        sleepDeployment,
		"pod":               "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n" + podTail,
		"crlf":              strings.ReplaceAll(sleepDeployment, "\n", "\r\n"),
		"no newline at end": strings.TrimSuffix(sleepDeployment, "\n"),
		"comments at end":   sleepDeployment + "# the end\n\n# really\n",
		"commented item":    "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n    # first\n    - name: app\n      # - inner\n    # - name: off\n  # of the spec\n# of the pod\n",
		"null values": "apiVersion: v1\nkind: Pod\nmetadata:\n  annotations: # none yet\n  labels:\n" +
			"spec:\n  volumes:\n  containers:\n  - name: app\n",
		"anchor outside": "apiVersion: v1\nkind: Pod\nx: &x {a: b}\ny: *x\n" + podTail,
		"odd order":      "spec:\n    containers:\n      - image: &i x\n        name: app\n        env: [{name: I, value: *i}]\nkind: Pod\napiVersion: v1\n",
		"block scalar last": "apiVersion: v1\nkind: Pod\nmetadata: {name: a, annotations: {b: c}}\nspec:\n  containers:\n" +
			"  - name: app\n    command:\n    - sh\n    - -c\n    - |\n      echo\n      # no comment\n\n\n# end\n",
		"keep scalar last": "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - name: app\n    text: |+\n      echo\n\n\n",
		"list":             "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Pod\n  metadata: {name: a}\n  spec:\n    containers:\n    - name: x\n- kind: Other\n  apiVersion: v1\n- apiVersion: v1\n  kind: Pod\n  spec:\n    containers:\n    - name: y\n",
		"flow in list":     "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - {name: app, image: x}\n",
		"init containers":  "apiVersion: v1\nkind: Pod\nspec:\n  initContainers:\n  # waits\n  # long\n  - name: wait\n  containers:\n  - name: app\n",
		"cronjob": "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: c}\nspec:\n  schedule: '* * * * *'\n  jobTemplate:\n    spec:\n" +
			"      template:\n        metadata:\n          annotations: &a\n            q: r\n        spec:\n          containers:\n          - name: x\n",
	}
	for name, in := range cases {
		t.Run(name, func(t *testing.T) {
			in = "# head\n---\n" + in
			out, report, err := transformString(t, in, fakeOptions())
			if err != nil {
				t.Fatal(err)
			}
			if len(report.Objects) == 0 || !report.Objects[0].Changed {
				t.Fatalf("nothing changed: %+v", report)
			}
			// What is in flow style changes its line; that is another test's.
			if strings.Contains(in, "annotations: {") || strings.Contains(in, "labels: {app") || strings.Contains(in, "metadata: {") {
				checkMeaning(t, in, out)
				return
			}
			added := strings.Join(addedLines(t, in, out), "")
			for _, want := range []string{"status: '{\"containers\":[\"proxy\"]}'", "tls: istio", "- name: init", "- name: proxy", "emptyDir: {}"} {
				key, _, _ := strings.Cut(want, ":")
				if !strings.Contains(added, strings.TrimPrefix(want, "- ")) && !strings.Contains(added, key) {
					t.Errorf("no line has %q in\n%s", want, added)
				}
			}
			checkMeaning(t, in, out)
			if strings.Contains(in, "\r\n") && strings.Count(out, "\r\n") != strings.Count(out, "\n") {
				// The head of the test has bare line breaks.
				if strings.Count(out, "\n")-strings.Count(out, "\r\n") != 2 {
					t.Errorf("line breaks are mixed in %q", out)
				}
			}
			again, second, err := transformString(t, out, fakeOptions())
			if err != nil || again != out || second.Objects[0].Changed {
				t.Errorf("the second time changes something: %v", err)
			}
		})
	}
}

// checkMeaning compares what came out with the injected objects, by way of
// another YAML reader.
func checkMeaning(t *testing.T, in, out string) {
	t.Helper()
	before, after := documentsOf(t, in), documentsOf(t, out)
	if len(before) != len(after) {
		t.Fatalf("%d documents became %d:\n%s", len(before), len(after), out)
	}
	for i := range before {
		want := injectAny(t, before[i])
		a, _ := json.Marshal(after[i])
		b, _ := json.Marshal(want)
		if !bytes.Equal(a, b) {
			t.Errorf("document %d:\n got %s\nwant %s\ntext:\n%s", i+1, a, b, out)
		}
	}
}

func documentsOf(t *testing.T, text string) []any {
	t.Helper()
	var out []any
	s := newSplitter(strings.NewReader(text), 0)
	for {
		c, err := s.next()
		if err != nil {
			return out
		}
		if c.number == 0 {
			continue
		}
		var v any
		if err := yaml.Unmarshal(c.text, &v); err != nil {
			t.Fatalf("%v in\n%s", err, c.text)
		}
		out = append(out, v)
	}
}

// injectAny injects the objects of a document as plain values.
func injectAny(t *testing.T, v any) any {
	t.Helper()
	m, ok := v.(map[string]any)
	if !ok {
		return v
	}
	if items, ok := m["items"].([]any); ok && m["kind"] == "List" {
		for i := range items {
			items[i] = injectAny(t, items[i])
		}
		return m
	}
	data, _ := json.Marshal(m)
	template, ok, err := inject.FindTemplate(data)
	if err != nil || !ok {
		return v
	}
	result, err := fake{}.Inject(inject.Request{Pod: template.Pod})
	if err != nil || len(result.Patch) == 0 {
		return v
	}
	pod := map[string]any{}
	_ = json.Unmarshal(fakePods[result], &pod)
	at := m
	for _, key := range splitPointer(template.Pointer) {
		at = at[key].(map[string]any)
	}
	at["metadata"], at["spec"] = pod["metadata"], pod["spec"]
	return m
}

func TestUnchangedBytes(t *testing.T) {
	service := "apiVersion: v1\nkind: Service\nmetadata: {name: s}\n"
	skipped := "apiVersion: v1\nkind: Pod\nmetadata:\n  annotations: {skip: \"true\"}\n"
	cases := []string{
		"", "\n", "# only a comment", "---\n", "---\n---\n---\n", "...\n", "---\n...\n# tail\n", service, "\ufeff" + service,
		"# head\n---\n" + service + "...\n# tail\n%YAML 1.1\n--- # x\n" + service,
		strings.ReplaceAll(service+"---\n"+skipped, "\n", "\r\n"),
		"---\n" + service + "\n\n---   \n\n" + skipped + "--- # c\n" + service + "---",
		service + "---\n\ufeff" + skipped + "---\n" + service, "a: !!str 1\nb: !x y\n", "- just\n- a list\n", "text",
		"? complex\n: key\n", "kind: Pod\napiVersion: other/v1\n", "kind: Workflow\napiVersion: argoproj.io/v1alpha1\nspec: {template: {spec: {containers: []}}}\n",
		"{\"kind\": \"Service\"}\n{\"kind\":\"X\"}\n", "a: |\n  ---\n  x\n ---\nb: c\n"[:14], "a: \"\tx\"\n", "a: b\t\n", "kind: List\nitems: []\n",
		"kind: List\napiVersion: v1\nitems: null\n", "a: &a [b, *a]\n"[:10] + "]\n",
	}
	for _, in := range cases {
		out, _, err := transformString(t, in, fakeOptions())
		if err != nil {
			t.Errorf("%q: %v", in, err)
		} else if out != in {
			t.Errorf("%q became %q", in, out)
		}
	}
	// Beside a document that changes, all others stay.
	for _, in := range cases {
		if strings.Contains(in, "---\n---") || strings.HasPrefix(in, "{") {
			continue
		}
		head := sleepDeployment + "---\n"
		if strings.HasPrefix(strings.TrimPrefix(in, "# head\n"), "%") {
			head = sleepDeployment + "...\n"
		}
		out, report, err := transformString(t, head+in, fakeOptions())
		if err != nil || len(report.Objects) == 0 || !report.Objects[0].Changed {
			t.Errorf("%q: %v %+v", in, err, report)
		} else if !strings.HasSuffix(out, in) {
			t.Errorf("%q became the end of %q", in, out)
		}
	}
}

func TestUnusualLayouts(t *testing.T) {
	pod := "apiVersion: v1\nkind: Pod\n"
	cases := map[string]struct {
		in   string
		keep []string // what must still be in the text
	}{
		"json compact":   {`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"},"spec":{"containers":[{"name":"app"}]}}`, []string{`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a", "`}},
		"json pretty":    {"{\n  \"apiVersion\": \"v1\",\n  \"kind\": \"Pod\",\n  \"spec\": {\n    \"containers\": [\n      {\n        \"name\": \"app\"\n      }\n    ]\n  }\n}\n", []string{"\n      {\n        \"name\": \"app\"\n      },\n      {\n"}},
		"json tabs":      {"{\n\t\"apiVersion\": \"v1\",\n\t\"kind\": \"Pod\",\n\t\"spec\": {\n\t\t\"containers\": []\n\t}\n}", []string{"\n\t\"metadata\": {\n\t\t\"annotations\": {\n"}},
		"json stream":    {"{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"spec\":{\"containers\":[{\"name\":\"a\"}]}}\n{\"kind\":\"X\"}\n", []string{"\n{\"kind\":\"X\"}\n"}},
		"json escapes":   {`{"apiVersion":"v1","kind":"Pod","x":"\ud83d\ude00\/","spec":{"containers":[]}}`, []string{`\ud83d\ude00\/`}},
		"flow metadata":  {pod + "metadata: {name: a, labels: {app: x}} # m\nspec: {containers: [{name: app}]} # s\n", []string{"{name: a, labels: {app: x", "# m", "# s"}},
		"empty flow":     {pod + "metadata:\n  annotations: {} # none\n  labels: {}\nspec:\n  volumes: []\n  containers: []\n", []string{"annotations: # none\n    status:"}},
		"alias labels":   {"apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  labels: &l\n    app: x\nspec:\n  selector: {matchLabels: *l}\n  template:\n    metadata:\n      labels: *l # same\n    spec:\n      containers:\n      - name: a\n", []string{"labels: &l\n    app: x\n", "matchLabels: *l", "labels: # same\n        app: x\n"}},
		"anchor touched": {"apiVersion: apps/v1\nkind: Deployment\nspec:\n  template:\n    metadata:\n      labels: &l\n        app: x # app\n    spec:\n      containers:\n      - name: a\n  selector:\n    matchLabels: *l # sel\n", []string{"labels: &l\n        app: x # app\n", "matchLabels: # sel\n      app: x\n"}},
		"merge":          {pod + "x: &m\n  app: x\nmetadata:\n  labels:\n    <<: *m\n    b: c\nspec:\n  containers:\n  - name: a\n", []string{"<<: *m\n    b: c\n    tls: istio\n"}},
		"spec alias":     {pod + "x: &s\n  containers:\n  - name: a\nspec: *s\n", []string{"x: &s\n  containers:\n  - name: a\n"}},
		"anchored item":  {pod + "spec:\n  containers:\n  - &c\n    name: a\n    image: x\n", []string{"- &c\n"}},
		"tags":           {pod + "metadata:\n  annotations:\n    n: !!str 1 # one\nspec:\n  # all\n  containers:\n  - name: a\n", []string{"!!str", "# one", "# all"}},
		"complex key":    {pod + "spec:\n  ? containers\n  : - name: a # here\n", []string{"# here"}},
		"tabs":           {pod + "spec:\n  containers:\n  - name: a\t# tab\n", []string{"# tab"}},
		"tag and alias":  {pod + "x: !!map &l {a: b}\nmetadata:\n  labels: *l\nspec:\n  containers:\n  - name: a\n", nil},
		"tagged anchor":  {pod + "metadata:\n  labels: !!map &l {a: b}\nx: *l\nspec:\n  containers:\n  - name: a\n", nil},
		"wide indent":    {pod + "spec:\n        containers:\n              - name: a\n                image: x\n", []string{"        containers:\n              - name: a\n                image: x\n"}},
		"text on dashes": {pod + "spec:\n  containers:\n  -\n    name: a\n  - # second\n    name: b\n", []string{"  -\n    name: a\n  - # second\n    name: b\n"}},
		"value below":    {pod + "metadata:\n  name:\n    long\nspec:\n  containers:\n  - name: a\n    image:\n      x\n", []string{"name:\n    long\n"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			out, report, err := transformString(t, c.in, fakeOptions())
			if err != nil {
				t.Fatal(err)
			}
			if !report.Objects[0].Changed || out == c.in {
				t.Fatal("nothing changed")
			}
			if name != "json stream" && name != "json escapes" {
				checkMeaning(t, c.in, out)
			}
			for _, keep := range c.keep {
				if !strings.Contains(out, keep) {
					t.Errorf("%q is not in\n%s", keep, out)
				}
			}
			if strings.HasPrefix(name, "json") && name != "json stream" && !json.Valid([]byte(out)) {
				t.Errorf("not JSON: %s", out)
			}
			if again, _, err := transformString(t, out, fakeOptions()); err != nil || again != out {
				t.Errorf("the second time: %v\n%s", err, again)
			}
		})
	}
}

func TestProblems(t *testing.T) {
	bad := "apiVersion: v1\nkind: Pod\nmetadata:\n  name: b\n  annotations:\n    skip: x\n    bad: X\nspec: {}\n"
	bomb := "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
	for i := 1; i < 9; i++ {
		bomb += fmt.Sprintf("a%d: &a%d [*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d]\n", i, i, i-1, i-1, i-1, i-1, i-1, i-1, i-1, i-1, i-1)
	}
	cases := []struct {
		name, in string
		want     []string
	}{
		{"annotation", sleepDeployment + "---\n" + bad, []string{
			"f.yaml:36: document 2 (Pod ns/b): annotation bad: X is no good", "f.yaml:36: document 2 (Pod ns/b): annotation bad: worse than that"}},
		{"all documents", bad + "---\n" + "a: [\n---\n" + bad, []string{"f.yaml:7: document 1", "f.yaml:7: document 1", "document 2: not valid YAML", "f.yaml:18: document 3", "f.yaml:18: document 3"}},
		{"json", `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"b","annotations":{"bad":"X"}},"spec":{}}`, []string{"f.yaml:1: document 1 (Pod ns/b)", "worse"}},
		{"duplicate key", "---\na: 1\nb:\n  c: 1\n  d: 2\n  c: 3\n", []string{"f.yaml:6: document 1: \"c\": duplicate key, first on line 4"}},
		{"duplicate in JSON", "{\"a\": 1,\n\"b\": {\"c\": [{\"d\": \"c\"}],\n\"c\": 2}}", []string{"f.yaml:3: document 1: \"c\": duplicate key"}},
		{"tab", "a:\n\tb: c\n", []string{"f.yaml:2:1: document 1: not valid YAML: "}},
		{"second document", "a: b\n---\nc: d\ne\n", []string{"f.yaml:4: document 2: not valid YAML: "}},
		{"binary", "a: b\n\x00\x01\x02", []string{"f.yaml:2: document 1: control character 0x00"}},
		{"not utf-8", "a: \xff\xff\n", []string{"f.yaml:1: document 1: byte 0xff is not UTF-8"}},
		{"utf-16", "\xff\xfea\x00:\x00", []string{"f.yaml: the file is UTF-16"}},
		{"alias bomb", "apiVersion: v1\nkind: Pod\n" + bomb, []string{"f.yaml:1: document 1 (Pod ns/(no name)): aliases expand"}},
		{"unknown alias", "a: *b\n", []string{"f.yaml:1:4: document 1: not valid YAML: "}},
		{"alias to itself", "a: &a\n  b: *a\n", []string{"f.yaml:1: document 1: not valid YAML: "}},
		{"deep", "a: " + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + "\n", []string{"f.yaml:1: document 1: "}},
		{"deep, still YAML", "a: " + strings.Repeat("[", 2000) + strings.Repeat("]", 2000) + "\n", []string{"f.yaml:1: document 1: the document is nested deeper"}},
		{"infinity", "apiVersion: v1\nkind: Pod\nspec: {a: .inf}\n", []string{"f.yaml:3:11: document 1: \".inf\": expected a string, got a number that is not finite; put it in quotes"}},
		{"not a number", "apiVersion: v1\nkind: Pod\nspec: {a: [.NaN]}\n", []string{"f.yaml:3:12: document 1: \".NaN\": "}},
		{"negative infinity", "a:\n- b:\n    -.Inf\n", []string{"f.yaml:3:5: document 1: \"-.Inf\": "}},
		{"list item", "apiVersion: v1\nkind: List\nitems:\n- kind: X\n- apiVersion: v1\n  kind: Pod\n  metadata:\n    name: b\n    annotations:\n      bad: X\n", []string{"f.yaml:10: document 1 (Pod ns/b)", "worse"}},
		{"tags", "\n---\n\n# c\n" + strings.Replace(bad, "skip: x", "skip: !!str x", 1), []string{"f.yaml:11: document 1 (Pod ns/b)", "worse"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			for _, workers := range []int{1, 4} {
				o := fakeOptions()
				o.Namespace, o.Workers = "ns", workers
				_, _, err := transformString(t, c.in, o)
				var problems problem.List
				if !errors.As(err, &problems) {
					t.Fatalf("got %v, want a problem.List", err)
				}
				lines := strings.Split(err.Error(), "\n")
				if len(lines) != len(c.want) {
					t.Fatalf("got %d problems, want %d:\n%s", len(lines), len(c.want), err)
				}
				for i, want := range c.want {
					if !strings.Contains(lines[i], want) {
						t.Errorf("got  %s\nwant %s", lines[i], want)
					}
				}
			}
		})
	}
}

func TestDocumentTooLarge(t *testing.T) {
	o := fakeOptions()
	o.MaxDocument = 1 << 20
	_, _, err := transformString(t, "a: b\n---\nb: "+strings.Repeat("x", 2<<20), o)
	if err == nil || !strings.Contains(err.Error(), "document 2, from line 2 on, exceeds 1 MiB") {
		t.Errorf("got %v", err)
	}
}

func TestReport(t *testing.T) {
	in := "# c\n---\n" + sleepDeployment + "---\nkind: X\n---\n\napiVersion: v1\nkind: Pod\nmetadata:\n  generateName: g-\n  annotations: {skip: \"true\"}\n"
	o := fakeOptions()
	o.Namespace = "ns"
	_, report, err := transformString(t, in, o)
	if err != nil || report.Documents != 3 || len(report.Objects) != 2 {
		t.Fatalf("%v %+v", err, report)
	}
	first, second := report.Objects[0], report.Objects[1]
	if first.String() != "Deployment default/sleep" || first.Document != 1 || first.Line != 3 || !first.Changed || !first.Decision.Inject {
		t.Errorf("%+v", first)
	}
	if second.String() != "Pod ns/g-*" || second.Document != 3 || second.Line != 35 || second.Changed || second.Decision.Sentence != "opted out" {
		t.Errorf("%+v at line %d", second, second.Line)
	}
}
