package validate_test

import (
	"errors"
	"flag"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/manifest"
	"github.com/outrider-mesh/outrider/test/kit"
	"github.com/outrider-mesh/outrider/test/kit/schema"
	"github.com/outrider-mesh/outrider/validate"
)

var update = flag.Bool("update", false, "write docs/validate.schema.json")

// read validates files, each given as its name, a line break, and its text.
func read(t testing.TB, o validate.Options, files ...string) *validate.Report {
	t.Helper()
	if o.Location == (config.Location{}) {
		o.Location = config.LocationOf("istio-system", "")
	}
	o.Command = "validate"
	all := validate.New(o)
	for _, file := range files {
		name, text, _ := strings.Cut(file, "\n")
		kit.Must(t, manifest.Documents(strings.NewReader(text), 1<<20, func(d manifest.Document) {
			all.Add(validate.Document{File: name, Document: d})
		}))
	}
	return all.Report()
}

const (
	entry = `apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: a, namespace: shop}
spec:
  hosts: [a.example]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: DNS
`
	routes = `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a, namespace: shop}
spec:
  hosts: [a.example]
  http:
  - route:
    - destination: {host: b.example}
`
	listed = "apiVersion: v1\nkind: List\nitems:\n"
)

// TestReport: what is found, and where.
func TestReport(t *testing.T) {
	for _, tt := range []struct {
		name  string
		files []string
		o     validate.Options
		want  string // the lines but for the last one
	}{
		{name: "nothing", files: []string{"a\n" + entry}},
		{name: "places", files: []string{"a\n# first\n" + strings.Replace(entry, "number: 80", "number: 0", 1)}, want: `a:7:12: error: ServiceEntry shop/a: spec.ports[0].number: "0": port number must be in the range 1..65535; use the port that applications connect to`},
		{name: "carriage returns", files: []string{"a\n" + strings.ReplaceAll(strings.Replace(entry, "number: 80", "number: 0", 1), "\n", "\r\n")}, want: "a:6:12: error: ServiceEntry shop/a: spec.ports[0].number: "},
		{name: "a list", files: []string{"a\n" + listed + "- " + strings.ReplaceAll(strings.TrimSpace(strings.Replace(entry, "number: 80", "number: 0", 1)), "\n", "\n  ") + "\n"}, want: "a:9:14: error: ServiceEntry shop/a: spec.ports[0].number: "},
		{name: "a list with the kind of the items", files: []string{"a\n" + `{"apiVersion": "apps/v1", "kind": "DeploymentList", "items": [{"metadata": {"name": "web"}, "spec": {"template":
			{"metadata": {"annotations": {"sidecar.istio.io/proxyCPU": "lots"}}, "spec": {"containers": [{"name": "a", "image": "a"}]}}}}]}`},
			want: "a:2:34: error: Deployment default/web: pods will be denied: annotation sidecar.istio.io/proxyCPU: "},
		{name: "JSON objects on one line", files: []string{"a\n" + `{"kind": "Namespace", "apiVersion": "v1"} {"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry", "metadata": {"name": "a"}, "spec": {"hosts": ["a.example"]}}`},
			want: "a:1:135: error: ServiceEntry default/a: spec.ports: service entry must have at least one port"},
		{name: "a reference", files: []string{"a\n" + entry, "b\n" + routes},
			want: `b:8:7: note: VirtualService shop/a: spec.http[0].route[0].destination: "b.example": no ServiceEntry visible to this namespace declares b.example:80 (requests get 503); declare it in a ServiceEntry (not in these files)`},
		{name: "a conflict", files: []string{"a\n" + entry, "b\n" + strings.Replace(entry, "name: a,", "name: b,", 1)},
			want: `b:5:3: warning: ServiceEntry shop/b: spec.hosts: "a.example": no effect on port 80: conflicts with ServiceEntry shop/a, which takes precedence; merge the objects`},
		{name: "a namespace", files: []string{"a\n" + entry + "  exportTo: [bank, shop, pay]\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: bank}\n"},
			want: `a:8:26: note: ServiceEntry shop/a: spec.exportTo[2]: "pay": no Namespace has this name (not in these files)`},
		{name: "twice", files: []string{"a\n" + strings.Replace(entry, "number: 80", "number: 0", 1), "b\n" + entry},
			want: `b:3:12: warning: ServiceEntry shop/a: metadata.name: "a": defined more than once; the last definition applies; remove that of a, line 1, or this one`},
		{name: "a key twice", files: []string{"a\n" + entry + "  resolution: DNS\n"}, want: "a:8:3: error: spec.resolution: duplicate key, first on line 7; remove one of the two"},
		{name: "types", files: []string{"a\n" + strings.Replace(entry, "name: a,", "name: 7,", 1)},
			want: "a:3:18: error: ServiceEntry shop/: metadata.name: 7: must be a string; put it in quotes"},
		{name: "a version", files: []string{"a\n" + strings.Replace(entry, "/v1", "/v2", 1)},
			want: `a:1:1: error: ServiceEntry shop/a: apiVersion: "networking.istio.io/v2": must be one of "networking.istio.io/v1", "networking.istio.io/v1beta1", "networking.istio.io/v1alpha3"`},
		{name: "no version", files: []string{"a\n" + strings.Replace(entry, "apiVersion: networking.istio.io/v1\n", "", 1)}, want: "a:1:1: error: ServiceEntry shop/a: apiVersion: required; use networking.istio.io/v1"},
		{name: "another's kind", files: []string{"a\n" + strings.Replace(entry, "networking.istio.io/v1", "example.com/v1", 1)}, want: "a: no object that is validated"},
		{name: "misspelt", files: []string{"a\n" + strings.Replace(entry, "ServiceEntry", "ServiceEntri", 1)},
			want: `a:2:1: warning: kind: "ServiceEntri": unknown kind in apiVersion "networking.istio.io/v1"; use kind: ServiceEntry` + "\na: no object that is validated"},
		{name: "a Sidecar", files: []string{"a\napiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: a, namespace: shop}\nspec:\n  outboundTrafficPolicy: {}\n  egress: [{hosts: [\"shop\"]}]\n"},
			want: "a:5:3: warning: Sidecar shop/a: spec.outboundTrafficPolicy: without mode it is REGISTRY_ONLY: undeclared hosts are blocked; set mode, or remove outboundTrafficPolicy for that of the mesh\na:6:21: error: Sidecar shop/a: spec.egress[0].hosts[0]: \"shop\": must be a namespace and a host"},
		{name: "no YAML", files: []string{"a\n---\nb: [\n---\n" + entry}, want: "a:3:1: error: not valid YAML or JSON: "},
		{name: "no UTF-8", files: []string{"a\nb: \xff\n"}, want: "a:1:4: error: not valid UTF-8; save the text as UTF-8"},
		{name: "a template", files: []string{"a\n{{ if .x }}\n" + entry + "{{ end }}\n"}, want: `a:1:1: error: "{{ if .x }}": unrendered template, which is not YAML; render it first, such as: helm template CHART | outrider validate -f -`},
		{name: "text after a separator", files: []string{"a\n--- kind: Pod\n"}, want: `a:1:1: error: text after "---" on its line; start the document on the next line`},
		{name: "no objects", files: []string{"a\n- b\n", "c\n# d\n"}, want: "a: no object that is validated"},
		{name: "a terminal's commands", files: []string{"a\n" + strings.Replace(entry, "name: a,", `name: "a\e[31m",`, 1), "\x1b[31m\nb: [\n"}, want: "\ufffd[31m:2:1: error: not valid YAML"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := strings.Split(strings.TrimSpace(read(t, tt.o, tt.files...).Text()), "\n")
			same(t, got[:len(got)-1], tt.want)
		})
	}
}

// same compares lines by their beginnings.
func same(t *testing.T, got []string, text string) {
	t.Helper()
	want := strings.Split(text, "\n")
	if text == "" {
		want = nil
	}
	if len(got) != len(want) {
		t.Fatalf("got\n%s\nwant\n%s", strings.Join(got, "\n"), text)
	}
	for i := range want {
		if !strings.HasPrefix(got[i], want[i]) {
			t.Errorf("got\n%s\nwant\n%s", got[i], want[i])
		}
	}
}

const injectorMap = "a\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio-sidecar-injector, namespace: istio-system}\ndata:\n"

// TestConfigMaps: problems have the place in the file and the one in the text; the two
// ConfigMaps are validated with each other, and the other objects with both.
func TestConfigMaps(t *testing.T) {
	const pod = "b\napiVersion: v1\nkind: Pod\nmetadata: {name: p, annotations: {traffic.sidecar.istio.io/excludeOutboundIPRanges: 10.1.0.0/16}}\nspec: {containers: [{name: a, image: a}]}\n"
	const mesh = "c\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio}\ndata:\n"
	const prefix = `ConfigMap istio-system/istio-sidecar-injector: key "values":`
	for _, tt := range []struct {
		name  string
		files []string
		o     validate.Options
		want  string
	}{
		{name: "a block", files: []string{injectorMap + "  values: |\n\n    global:\n      hub: {a: b}\n"}, want: "a:8:12: error: " + prefix + "3:8: global.hub: a mapping: must be a string"},
		{name: "an indented block", files: []string{injectorMap + "  values: |2-\n      global:\n        hub: {a: b}\n"}, want: "a:7:14: error: " + prefix + "2:10: global.hub: "},
		{name: "one line", files: []string{injectorMap + "  values: 'global: {hub: {a: b}}'\n"}, want: "a:5:26: error: " + prefix + "1:15: global.hub: "},
		{name: "a folded block", files: []string{injectorMap + "  values: >\n    global: {\n    hub: {a: b}}\n"}, want: "a:5:3: error: " + prefix + "1:16: global.hub: "},
		{name: "escapes", files: []string{injectorMap + `  values: "global:\n  hub: {a: b}\n"` + "\n"}, want: "a:5:3: error: " + prefix + "2:8: global.hub: "},
		{name: "JSON", files: []string{"a\n" + `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"istio-sidecar-injector","namespace":"istio-system"},` + "\n" + ` "data":{"values":"global:\n  hub: {a: b}\n"}}`}, want: "a:2:10: error: " + prefix + "2:8: global.hub: "},
		{name: "a key", files: []string{injectorMap + "  value: a\n"}, want: `a:4:1: error: ConfigMap istio-system/istio-sidecar-injector: data: has the key "value", which is not read`},
		{name: "a number", files: []string{injectorMap + "  values: 7\n"}, want: "a:5:11: error: ConfigMap istio-system/istio-sidecar-injector: data.values: 7: must be a string; put it in quotes"},
		{name: "a policy for pods", files: []string{mesh + "  mesh: 'outboundTrafficPolicy: {mode: REGISTRY_ONLY}'\n", pod},
			want: `b:3:35: warning: Pod default/p: annotation traffic.sidecar.istio.io/excludeOutboundIPRanges: "10.1.0.0/16": bypasses REGISTRY_ONLY`},
		{name: "one with errors", files: []string{mesh + "  mesh: 'outboundTrafficPolicy: {mode: REGISTRY}'\n", pod},
			want: "c:1:1: note: ConfigMap istio-system/istio: all other objects are validated without this ConfigMap, as it has errors\nc:5:40: error: ConfigMap istio-system/istio: key \"mesh\":1:31: outboundTrafficPolicy.mode: "},
		{name: "a revision's", files: []string{"a\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio-sidecar-injector-canary, namespace: istio-system}\n"},
			want: "a:3:12: note: ConfigMap istio-system/istio-sidecar-injector-canary: metadata.name: \"istio-sidecar-injector-canary\": not validated: the ConfigMaps are istio-system/istio-sidecar-injector and istio-system/istio; use --revision canary\na: no object that is validated"},
		{name: "another namespace's", files: []string{"a\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: mesh}\n"},
			want: "a:3:12: note: ConfigMap mesh/istio: metadata.name: \"istio\": not validated: the ConfigMaps are istio-system/istio-sidecar-injector and istio-system/istio; use --istioNamespace mesh\na: no object"},
		{name: "others", files: []string{"a\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: kube-root-ca.crt}\n"}, want: "a: no object"},
		{
			name: "ranges of the cluster", files: []string{injectorMap + "  values: 'global: {proxy: {excludeIPRanges: cluster}}'\n  config: 'templates: {sidecar: \"spec: [}\"}'\n"},
			want: "a:5:46: note: " + prefix + "1:35: global.proxy.excludeIPRanges: \"cluster\": cannot be resolved: the cluster's ranges are not in these files; pass --ranges-from FILE\n" +
				"a:6:3: error: ConfigMap istio-system/istio-sidecar-injector: key \"config\": template \"sidecar\": the output is invalid YAML",
		},
		{
			name: "a pod with ranges of the cluster", files: []string{injectorMap + "  values: 'global: {proxy: {includeIPRanges: cluster}}'\n", strings.Replace(pod, "10.1.0.0/16", "cluster", 1)},
			want: "a:5:46: note: \nb:3:35: note: Pod default/p: annotation traffic.sidecar.istio.io/excludeOutboundIPRanges: depends on the cluster's ranges; pass --ranges-from FILE (not in these files)",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := strings.Split(strings.TrimSpace(read(t, tt.o, tt.files...).Text()), "\n")
			same(t, got[:len(got)-1], tt.want)
		})
	}
}

// TestSummary: the counts, and the files without an object.
func TestSummary(t *testing.T) {
	r := read(t, validate.Options{}, "a\n"+entry+"---\nkind: Service\napiVersion: v1\n---\nkind: Service\napiVersion: v1\n---\na: b\n", "b\nkind: Service\napiVersion: v1\n")
	want := "b: no object that is validated\n1 object in 2 files: 0 errors, 0 warnings, 0 notes; 4 skipped, of kinds that are not validated: 3 v1 Service, 1 (no Kubernetes object)\n"
	if got := r.Text(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	for severity, reached := range map[string][]int{validate.SeverityError: {1, 0, 0}, validate.SeverityWarning: {1, 1, 0}, validate.SeverityNote: {1, 1, 1}} {
		for i, s := range []validate.Summary{{Errors: 1}, {Warnings: 1}, {Notes: 1}} {
			if got := (&validate.Report{Summary: s}).Reaches(severity); got != (reached[i] == 1) {
				t.Errorf("%+v reaches %s: %v", s, severity, got)
			}
		}
	}
}

// TestUnreadable: a file that cannot be read is an error, and the others are validated.
func TestUnreadable(t *testing.T) {
	all := validate.New(validate.Options{})
	all.Unreadable("a", errors.New("-f a: no such file"))
	if r := all.Report(); r.Summary.Errors != 1 || r.Findings[0].Text() != "a: error: -f a: no such file" || r.Findings[0].RuleID != "unreadable-file" {
		t.Errorf("%+v", r)
	}
}

// TestSchema: docs/validate.schema.json is that of the reports.
func TestSchema(t *testing.T) {
	var ids []string
	for _, r := range validate.Rules() {
		ids = append(ids, r.ID)
	}
	schema.Check(t, schema.Output{
		File: "../docs/validate.schema.json", Title: "A report of outrider validate -o json", Type: reflect.TypeFor[validate.Report](),
		Enums: map[string][]string{"apiVersion": {validate.APIVersion}, "kind": {"Validation"}, "findings.severity": validate.Severities(), "findings.ruleId": ids},
	}, *update)
}

// TestOrder: the findings of many files are in the order of the files and their lines,
// each time.
func TestOrder(t *testing.T) {
	var files []string
	for i := range 20 {
		files = append(files, fmt.Sprintf("f%02d\n", i)+strings.Replace(entry, "number: 80", "number: 0", 1)+"---\n"+strings.Replace(strings.Replace(entry, "[a.example]", `["*", ""]`, 1), "name: a,", "name: b,", 1))
	}
	first := read(t, validate.Options{}, files...)
	if !slices.IsSortedFunc(first.Findings, func(a, b validate.Finding) int { return strings.Compare(a.File, b.File) }) {
		t.Error("the files are not in order")
	}
	for range 5 {
		if again := read(t, validate.Options{}, files...); !reflect.DeepEqual(first, again) {
			t.Fatalf("another report:\n%s\n%s", first.Text(), again.Text())
		}
	}
}

// FuzzFiles: no text panics, and each finding has a place, a rule and a message on one line.
func FuzzFiles(f *testing.F) {
	for _, text := range []string{
		entry, routes, listed + "- a: &b [*b]\n", injectorMap + "  values: |2-\n      global: {hub: {a: b}}\n  config: \"a\\nb: [\"\n", "{}{}", "\xff", "--- a\n", "kind: DeploymentList\nitems: [{}, 7, {spec: 3}]\n",
		"apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: 3\nspec: []\n", "apiVersion: v1\nkind: Pod\nmetadata: {annotations: {traffic.sidecar.istio.io/excludeOutboundPorts: [1]}}\n",
		"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio}\ndata: {mesh: {a: b}, \"\": c}\nbinaryData: 4\n", `{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"List","items":[{"kind":"ServiceEntry"}]}]}`,
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		all := validate.New(validate.Options{Location: config.LocationOf("istio-system", ""), Command: "validate"})
		if err := manifest.Documents(strings.NewReader(text), 1<<16, func(d manifest.Document) { all.Add(validate.Document{File: "a", Document: d}) }); err != nil {
			all.Unreadable("a", err)
		}
		r := all.Report()
		for _, found := range r.Findings {
			if found.RuleID == "" || found.Message == "" || found.File == "" || found.RuleID != "unreadable-file" && found.Line < 1 || strings.ContainsAny(found.Text(), "\n\x1b") {
				t.Errorf("%+v", found)
			}
			if lines := strings.Count(text, "\n") + 1; found.Line > lines {
				t.Errorf("line %d of %d: %+v", found.Line, lines, found)
			}
		}
		if len(r.SARIF("dev").Runs[0].Results) != len(r.Findings) {
			t.Error("the log has other findings")
		}
	})
}
