package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/outrider-mesh/outrider/test/kit"
	"github.com/outrider-mesh/outrider/test/page"
	"github.com/outrider-mesh/outrider/validate"
)

const badEntry = "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: a, namespace: shop}\nspec:\n  hosts: [a.example]\n  ports: [{number: 0, name: http, protocol: HTTP}]\n  resolution: DNS\n"

func TestValidateUsage(t *testing.T) {
	for _, tt := range []struct {
		args string
		in   string
		code int
		want string // in the output or the error
	}{
		{"validate", "", exitUsage, "no input: specify -f FILE"},
		{"validate -f - -", "", exitUsage, `"-" (stdin) may be used only once`},
		{"validate -f - -o xml", "", exitUsage, `-o: "xml": unknown output format; use text, json, yaml or sarif`},
		{"validate -f - --failure-threshold bad", "", exitUsage, `--failure-threshold: "bad": unknown severity; use error, warning, note`},
		{"validate -f - --revision A", "", exitUsage, `--revision: "A": invalid name`},
		{"validate -f - --kubernetes-version new", "", exitUsage, `--kubernetes-version: kubernetes version "new"`},
		{"validate -f - --meshConfigFile none.yaml", "", exitError, "--meshConfigFile none.yaml: no such file or directory"},
		{"validate -f none.yaml", "", exitError, "none.yaml: error: -f none.yaml: no such file or directory\n0 objects in 1 file: 1 error"},
		{"validate -f https://example.com/a.yaml", "", exitError, "a URL is not a file"},
		{"validate -f -", badEntry, exitError, "standard input:6:12: error: ServiceEntry shop/a: "},
		{"validate -", strings.Replace(badEntry, "number: 0", "number: 80", 1), exitOK, "1 object in 1 file: 0 errors, 0 warnings, 0 notes\n"},
		{"validate -f -", service, exitOK, "standard input: no object that is validated\n"},
		{"validate -f - --failure-threshold warning", deployment("sidecar.istio.io/proxyCPU: 100m"), exitOK, "0 errors, 0 warnings"},
		{"validate -f - --failure-threshold Warning", deployment("traffic.sidecar.istio.io/includeInboundPorts: '80'"), exitError, "0 errors, 1 warning"},
		{"validate -f -", deployment("traffic.sidecar.istio.io/includeInboundPorts: '80'"), exitOK, "0 errors, 1 warning"},
		{"validate -f -", deployment("sidecar.istio.io/proxyCPU: lots"), exitError, "standard input:13:9: error: Deployment default/sleep: pods will be denied: annotation sidecar.istio.io/proxyCPU: "},
	} {
		got := runWith(t, tt.in, strings.Fields(tt.args)...)
		if got.code != tt.code || !strings.Contains(got.out+got.err, tt.want) {
			t.Errorf("%s: %+v\nwant %d, %s", tt.args, got, tt.code, tt.want)
		}
	}
}

// TestValidateFiles: directories, several files, and the configuration of flags.
func TestValidateFiles(t *testing.T) {
	t.Chdir(t.TempDir())
	kit.Must(t, os.MkdirAll(filepath.Join("a", "below"), 0o700))
	for name, text := range map[string]string{
		"a/one.yaml": badEntry, "a/below/two.json": `{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}}`, "a/notes.txt": "text",
		"mesh.yaml":   "outboundTrafficPolicy: {mode: REGISTRY_ONLY}\n",
		"bad.yaml":    "outboundTrafficPolicy: {mode: NONE}\n",
		"values.yaml": "global: {proxy: {includeIPRanges: kube-apiserver}}\n",
		"ranges.yaml": "apiVersion: v1\nkind: Service\nmetadata: {name: kubernetes, namespace: default}\nspec: {clusterIP: 10.96.0.1, clusterIPs: [10.96.0.1]}\n",
		"pod.yaml":    "apiVersion: v1\nkind: Pod\nmetadata: {name: p, annotations: {traffic.sidecar.istio.io/excludeOutboundIPRanges: 10.1.0.0/16}}\nspec: {containers: [{name: a, image: a}]}\n",
	} {
		kit.Must(t, os.WriteFile(name, []byte(text), 0o600))
	}
	for args, want := range map[string]string{
		"validate -f a":                                                        "a/one.yaml:6:12: error: ServiceEntry shop/a: spec.ports[0].number: \"0\": port number must be in the range 1..65535; use the port that applications connect to\n1 object in 1 file: 1 error, ",
		"validate -f a -R":                                                     "2 objects in 2 files: 1 error, ",
		"validate a/one.yaml pod.yaml":                                         "2 objects in 2 files: 1 error, ",
		"validate pod.yaml":                                                    "1 object in 1 file: 0 errors, 0 warnings",
		"validate pod.yaml --meshConfigFile mesh.yaml":                         "bypasses REGISTRY_ONLY",
		"validate pod.yaml --meshConfigFile bad.yaml":                          "error: invalid configuration:\nbad.yaml:1:",
		"validate pod.yaml --valuesFile values.yaml":                           "note: values.yaml:1:35: global.proxy.includeIPRanges: \"kube-apiserver\": cannot be resolved: the cluster's ranges are not in these files",
		"validate pod.yaml --valuesFile values.yaml --ranges-from ranges.yaml": "1 object in 1 file: 0 errors, 0 warnings, 0 notes\n",
	} {
		got := runWith(t, "", strings.Fields(args)...)
		if !strings.Contains(got.err+got.out, want) || strings.Contains(args, "--ranges-from") && got.err != "" {
			t.Errorf("%s: %+v\nwant %s", args, got, want)
		}
	}
}

// TestValidateOutputs: the three formats have the same findings.
func TestValidateOutputs(t *testing.T) {
	const manifest = badEntry + "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: v}\nspec: {hosts: [b.example], http: [{directResponse: {status: 200}}]}\n---\nb: [\n"
	var report validate.Report
	kit.Must(t, json.Unmarshal([]byte(runWith(t, manifest, "validate", "-f", "-", "-o", "json").out), &report))
	text := runWith(t, manifest, "validate", "-f", "-")
	if text.out != report.Text() || len(report.Findings) != 3 {
		t.Errorf("got\n%swant\n%s", text.out, report.Text())
	}
	var log validate.SARIF
	kit.Must(t, json.Unmarshal([]byte(runWith(t, manifest, "validate", "-f", "-", "-o", "sarif").out), &log))
	if want := report.SARIF(version); !reflect.DeepEqual(log, want) {
		t.Errorf("%+v\nwant %+v", log, want)
	}
}

// TestValidateLog: the log is one by SARIF's published schema, and the report one by ours.
func TestValidateLog(t *testing.T) {
	dir, err := exec.CommandContext(t.Context(), "go", "list", "-modfile", filepath.Join("..", "..", "hack", "tools", "go.mod"), "-m", "-f", "{{.Dir}}", "github.com/securego/gosec/v2").Output()
	published := filepath.Join(strings.TrimSpace(string(dir)), "report", "sarif", "testdata", "sarif-schema-2.1.0.json")
	if _, missing := os.Stat(published); err != nil || missing != nil {
		if os.Getenv("REQUIRE_REAL") == "1" {
			t.Fatalf("no schema of SARIF: %v, %v", err, missing)
		}
		t.Skip("no schema of SARIF: it is in the module of gosec, which hack/tools requires (REQUIRE_REAL=1 makes this a failure): cd hack/tools && go mod download")
	}
	own, err := filepath.Abs(filepath.Join("..", "..", "docs", "validate.schema.json"))
	kit.Must(t, err)
	const empty = "apiVersion: v1\nkind: Service\n"
	for _, manifest := range []string{badEntry, empty, "b: [\n", strings.Replace(badEntry, "name: a,", `name: "a b",`, 1)} {
		for format, file := range map[string]string{"sarif": published, "json": own} {
			out := runWith(t, manifest, "validate", "-f", "-", "-f", "no such file.yaml", "-f", "/no/such", "-o", format).out
			if err := valid(t, file, out); err != nil {
				t.Errorf("%s: %v\n%s", format, err, out)
			}
			if err := valid(t, file, strings.Replace(out, `"error"`, `"fatal"`, 1)); err == nil {
				t.Error("another level is valid, too")
			}
		}
	}
}

func valid(t *testing.T, file, text string) error {
	t.Helper()
	schema, err := jsonschema.NewCompiler().Compile(file)
	kit.Must(t, err)
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	kit.Must(t, err)
	return schema.Validate(value)
}

// TestValidatePage: the commands of docs/validate.md print what it shows, and its table has
// every rule.
func TestValidatePage(t *testing.T) {
	file, err := filepath.Abs(filepath.Join("..", "..", "docs", "validate.md"))
	kit.Must(t, err)
	text, err := os.ReadFile(file)
	kit.Must(t, err)
	t.Chdir(t.TempDir())
	for _, block := range page.Of(string(text), "yaml") {
		if name, _, _ := strings.Cut(block.Body, "\n"); strings.HasPrefix(name, "# ") {
			kit.Must(t, os.WriteFile(strings.TrimPrefix(name, "# "), []byte(block.Body), 0o600))
		}
	}
	commands, out := 0, string(text)
	for _, block := range page.Of(string(text), "console") {
		command, _, _ := strings.Cut(block.Body, "\n")
		args, ok := strings.CutPrefix(command, "$ outrider ")
		if !ok {
			continue
		}
		commands++
		got := runWith(t, "", strings.Fields(args)...)
		want := command + "\n" + got.out
		if strings.TrimSpace(block.Body) != strings.TrimSpace(want) {
			t.Errorf("%s prints\n%s%s", command, got.out, got.err)
		}
		out = strings.Replace(out, block.Body, strings.TrimRight(want, "\n")+"\n", 1)
	}
	if commands == 0 {
		t.Error("no commands found")
	}
	for _, r := range validate.Rules() {
		if !strings.Contains(string(text), "| `"+r.ID+"` | "+r.Text+" |") {
			t.Errorf("no row | `%s` | %s |", r.ID, r.Text)
		}
	}
	if *updateDocs {
		kit.Must(t, os.WriteFile(file, []byte(out), 0o644))
	}
}
