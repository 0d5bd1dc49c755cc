package main

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/outrider-mesh/outrider/cidr"
	"github.com/outrider-mesh/outrider/test/page"
)

const rangesData = "../../ranges/testdata/"

// rangesAnswer is what -o json prints.
type rangesAnswer struct {
	Platform                 string
	Service, Pod             []string
	Undetermined, Incomplete []string
	IncludeIPRanges          *string
	Missing                  []struct{ Kind, Why, Command string }
	Evidence                 []struct {
		Kind, Family, Value, Source, Grade, Verdict string
		Ranges                                      []string
		Where                                       struct {
			Document, Path string
			Line           int
		}
	}
	Warnings []string
}

func askRanges(t *testing.T, code int, args ...string) rangesAnswer {
	t.Helper()
	got := runWith(t, "", append([]string{"ranges", "-o", "json"}, args...)...)
	if got.code != code {
		t.Errorf("exit code %d, want %d; standard error: %s", got.code, code, got.err)
	}
	var a rangesAnswer
	if err := json.Unmarshal([]byte(got.out), &a); err != nil {
		t.Fatalf("%v in %q; standard error: %s", err, got.out, got.err)
	}
	return a
}

// covers is the minimal cover of ranges.
func covers(t *testing.T, values []string) cidr.List {
	t.Helper()
	var ps []netip.Prefix
	for _, v := range values {
		p, err := netip.ParsePrefix(strings.TrimSpace(v))
		if err != nil {
			t.Fatal(err)
		}
		ps = append(ps, p)
	}
	return cidr.FromPrefixes(ps...)
}

// wantRanges are the ranges of a kind; without any it is undetermined.
func wantRanges(t *testing.T, a rangesAnswer, kind string, got, want []string) {
	t.Helper()
	if !covers(t, got).Equal(covers(t, want)) {
		t.Errorf("%s ranges %v, want %v; warnings %q", kind, got, want, a.Warnings)
	}
	if slices.Contains(a.Undetermined, kind) != (len(want) == 0) {
		t.Errorf("undetermined %v with %s ranges %v", a.Undetermined, kind, want)
	}
	if len(want) == 0 && !slices.ContainsFunc(a.Missing, func(m struct{ Kind, Why, Command string }) bool { return m.Kind == kind && m.Why != "" }) {
		t.Errorf("%s is undetermined, and without a reason: %v", kind, a.Missing)
	}
}

func TestRanges_Documents(t *testing.T) {
	expected, err := filepath.Glob(rangesData + "documents/*.expected.txt")
	if err != nil || len(expected) != 31 {
		t.Fatalf("%d documents, %v", len(expected), err)
	}
	for _, e := range expected {
		stem := strings.TrimSuffix(e, ".expected.txt")
		t.Run(filepath.Base(stem), func(t *testing.T) {
			data, err := os.ReadFile(e)
			if err != nil {
				t.Fatal(err)
			}
			want := map[string][]string{}
			for _, line := range strings.Fields(strings.ReplaceAll(strings.TrimSpace(string(data)), " ", "=")) {
				kind, value, _ := strings.Cut(line, "=")
				want[kind] = append(want[kind], value)
			}
			code := 0
			part := strings.HasPrefix(filepath.Base(stem), "nodes-") || strings.Contains(stem, "clusterip-error")
			if len(want["service"]) == 0 || len(want["pod"]) == 0 || part {
				code = 3
			}
			files, err := filepath.Glob(stem + ".[jyt]*")
			if err != nil || len(files) != 1 {
				t.Fatal(files, err)
			}
			a := askRanges(t, code, "-f", files[0])
			wantRanges(t, a, "service", a.Service, want["service"])
			wantRanges(t, a, "pod", a.Pod, want["pod"])
			wantEvidence(t, a)
		})
	}
}

// wantEvidence holds evidence to its form, and the value to what is known.
func wantEvidence(t *testing.T, a rangesAnswer) {
	t.Helper()
	for _, e := range a.Evidence {
		if e.Source == "" || e.Grade == "" || e.Verdict == "" || e.Where.Document == "" || e.Where.Line == 0 || len(e.Ranges) == 0 {
			t.Errorf("evidence without its origin: %+v", e)
		}
	}
	known := len(a.Undetermined)+len(a.Incomplete) == 0
	if known != (a.IncludeIPRanges != nil) {
		t.Errorf("includeIPRanges %v with undetermined %v, incomplete %v", a.IncludeIPRanges, a.Undetermined, a.Incomplete)
	}
	if a.IncludeIPRanges != nil && !covers(t, strings.Split(*a.IncludeIPRanges, ",")).Equal(covers(t, append(a.Service, a.Pod...))) {
		t.Errorf("includeIPRanges %q", *a.IncludeIPRanges)
	}
}

// rangesCase is one file of testdata/cases: its title, the expected result, and
// the documents.
type rangesCase struct {
	name      string
	want      map[string]string
	documents []txtar.File
}

func rangesCases(t *testing.T) []rangesCase {
	t.Helper()
	files, err := filepath.Glob(rangesData + "cases/*.txtar")
	if err != nil || len(files) < 73 {
		t.Fatalf("%d cases, want at least 73; %v", len(files), err)
	}
	var cases []rangesCase
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name, head, _ := strings.Cut(string(archive.Comment), "\n\n")
		c := rangesCase{name: name, want: map[string]string{}, documents: archive.Files}
		for _, line := range strings.Split(strings.TrimSpace(head), "\n") {
			if key, value, ok := strings.Cut(line, ": "); ok {
				c.want[key] = value
			} else if line != "" {
				t.Fatalf("%s: %q", file, line)
			}
		}
		cases = append(cases, c)
	}
	return cases
}

func TestRanges_Cases(t *testing.T) {
	for _, c := range rangesCases(t) {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			t.Chdir(dir)
			var args []string
			for _, d := range c.documents {
				if err := os.WriteFile(d.Name, d.Data, 0o600); err != nil {
					t.Fatal(err)
				}
				args = append(args, "-f", d.Name)
			}
			if c.want["exit"] == "1" {
				got := runWith(t, "", append([]string{"ranges"}, args...)...)
				if got.code != 1 || got.out != "" || !strings.Contains(got.err, c.want["warning"]) {
					t.Errorf("%+v, want %q", got, c.want["warning"])
				}
				return
			}
			list := func(key string) []string {
				if c.want[key] == "" {
					return nil
				}
				return strings.Split(c.want[key], ", ")
			}
			code := 0
			if c.want["service"] == "" || c.want["pod"] == "" || c.want["incomplete"] != "" {
				code = 3
			}
			a := askRanges(t, code, args...)
			wantRanges(t, a, "service", a.Service, list("service"))
			wantRanges(t, a, "pod", a.Pod, list("pod"))
			wantEvidence(t, a)
			if !slices.Equal(a.Incomplete, list("incomplete")) && len(a.Incomplete)+len(list("incomplete")) > 0 {
				t.Errorf("incomplete %v, want %v", a.Incomplete, list("incomplete"))
			}
			if p := c.want["platform"]; p != "" && a.Platform != p || p == "" && a.Platform != "unknown" {
				t.Errorf("platform %q, want %q", a.Platform, p)
			}
			if w := strings.Join(a.Warnings, "\n"); !strings.Contains(w, c.want["warning"]) || c.want["warning"] == "" && w != "" {
				t.Errorf("warnings %q, want %q", w, c.want["warning"])
			}
			missing := ""
			for _, m := range a.Missing {
				missing += m.Why + " " + m.Command + "\n"
			}
			if !strings.Contains(missing, c.want["missing"]) {
				t.Errorf("missing %q, want %q", missing, c.want["missing"])
			}
		})
	}
}

func TestRanges_Output(t *testing.T) {
	cluster := write(t, "aks.json", `{"networkProfile": {"networkPlugin": "kubenet", "podCidr": "10.244.0.0/16", "serviceCidr": "10.0.0.0/16"}}`)
	part := write(t, "eks.json", `{"cluster": {"kubernetesNetworkConfig": {"serviceIpv4Cidr": "10.100.0.0/16"}}}`)
	injector := write(t, "injector.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio-sidecar-injector}\ndata:\n  values: '{\"global\": {\"hub\": \"h\", \"proxy\": {\"statusPort\": 15020}}}'\n")
	used := write(t, "used.yaml", "apiVersion: v1\nkind: Service\nmetadata: {name: kubernetes, namespace: default}\nspec: {clusterIP: 10.0.0.1}\n")
	narrow := write(t, "narrow.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio-sidecar-injector}\ndata:\n  values: '{\"global\": {\"proxy\": {\"includeIPRanges\": \"10.1.0.0/16\"}}}'\n")
	kubeconfig := write(t, "kubeconfig", "apiVersion: v1\nkind: Config\nclusters: [{name: a, cluster: {server: \"https://127.0.0.1:1\"}}]\ncontexts: [{name: a, context: {cluster: a}}]\ncurrent-context: a\n")
	for _, c := range []struct {
		name     string
		args     []string
		code     int
		out, err string // parts; out "" is nothing
	}{
		{"table", []string{"-f", cluster}, 0, "service   10.0.0.0/16     complete     az aks show (", ""},
		{"helm", []string{"-f", cluster, "-o", "helm"}, 0, "--set 'global.proxy.includeIPRanges=10.0.0.0/16\\,10.244.0.0/16'\n", ""},
		{"annotation", []string{"-f", cluster, "-o", "annotation"}, 0, "traffic.sidecar.istio.io/includeOutboundIPRanges: \"10.0.0.0/16,10.244.0.0/16\"\n", ""},
		{"patch", []string{"-f", cluster, "-o", "configmap-patch"}, 0, "\"includeIPRanges\": \"10.0.0.0/16,10.244.0.0/16\"", "replaces the whole \"values\" key"},
		{"patch that keeps", []string{"-f", cluster, "-f", injector, "-o", "configmap-patch"}, 0, "\"statusPort\": 15020", ""},
		{"part as a table", []string{"-f", part}, 3, "provide the output of: aws ec2 describe-vpcs", ""},
		{"no value from a part", []string{"-f", part, "-o", "helm"}, 3, "", "missing: pod ranges"},
		{"no cluster", []string{"--kubeconfig", "/does/not/exist"}, 1, "", "no such file"},
		{"no context", []string{"--kubeconfig", kubeconfig, "--context", "other"}, 1, "", `context "other" does not exist`},
		{"ConfigMap that omits addresses in use", []string{"-f", used, "-f", narrow}, 3, "", `includeIPRanges "10.1.0.0/16" of the ConfigMap omits 1 of 1 Service addresses in use, such as 10.0.0.1 of Service default/kubernetes: traffic to them bypasses the sidecar`},
		{"unknown output", []string{"-f", cluster, "-o", "xml"}, 2, "", `-o: "xml"`},
		{"unknown platform", []string{"--platform", "mainframe"}, 2, "", `--platform: "mainframe": unknown platform`},
		{"twice standard input", []string{"-f", "-", "-f", "-"}, 2, "", "once"},
		{"no such file", []string{"-f", "/does/not/exist"}, 1, "", "no such file"},
		{"empty input", []string{"-f", "-"}, 1, "", "standard input: empty input"},
		{"defaults", []string{"--platform", "k3s"}, 0, "10.43.0.0/16", "not verified on a cluster"},
		{"defaults fill in", []string{"-f", part, "--platform", "k3s"}, 0, "10.42.0.0/16", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := runWith(t, "", append([]string{"ranges"}, c.args...)...)
			if got.code != c.code || !strings.Contains(got.out, c.out) || c.out == "" && got.out != "" && c.code != 3 ||
				!strings.Contains(got.err, c.err) || c.err == "" && got.err != "" {
				t.Errorf("code %d\n%s\n%s\nwant %d, %q, %q", got.code, got.out, got.err, c.code, c.out, c.err)
			}
		})
	}
}

// The table has the values of Istio's documentation unchanged.
func TestRanges_IstioDocumentation(t *testing.T) {
	for platform, c := range map[string]struct {
		value        string
		undetermined []string
		warning      string
	}{
		"icp":                {"10.0.0.1/24", []string{"pod"}, "10.1.0.0/16"},
		"iks":                {"172.30.0.0/16,172.21.0.0/16,10.10.10.0/24", nil, "10.10.10.0/24 is in no default"},
		"gke":                {"10.4.0.0/14,10.7.240.0/20", nil, "an example"},
		"azure":              {"10.244.0.0/16,10.240.0.0/16", []string{"service"}, "omits the Services"},
		"minikube":           {"10.96.0.0/12", []string{"pod"}, "Services only"},
		"docker-for-desktop": {"10.96.0.0/12", []string{"pod"}, "Services only"},
		"bare-metal":         {"10.96.0.0/12", []string{"pod"}, "Services only"},
	} {
		t.Run(platform, func(t *testing.T) {
			code := 0
			if len(c.undetermined) > 0 {
				code = 3
			}
			a := askRanges(t, code, "--platform", platform)
			if a.IncludeIPRanges == nil || *a.IncludeIPRanges != c.value || !slices.Equal(a.Undetermined, c.undetermined) && len(c.undetermined) > 0 {
				t.Errorf("%+v", a)
			}
			if !strings.Contains(strings.Join(a.Warnings, "\n"), c.warning) {
				t.Errorf("warnings %q, want %q", a.Warnings, c.warning)
			}
			for i, e := range a.Evidence {
				if e.Grade != "default" {
					t.Errorf("evidence %s: grade %q", strconv.Itoa(i), e.Grade)
				}
			}
		})
	}
}

// Every output on the page is the actual one.
func TestRanges_Page(t *testing.T) {
	data, err := os.ReadFile("../../docs/ranges.md")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(rangesData)
	shown := 0
	for _, block := range page.Of(string(data), "console") {
		for _, part := range strings.Split("\n"+block.Body, "\n$ outrider ")[1:] {
			command, want, _ := strings.Cut(part, "\n")
			got := runWith(t, "", strings.Fields(command)...)
			if strings.TrimSpace(got.out) != strings.TrimSpace(want) {
				t.Errorf("outrider %s\n%s\nthe page has\n%s", command, got.out, want)
			}
			shown++
		}
	}
	if shown != 5 {
		t.Errorf("%d commands on the page", shown)
	}
}
