package main

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/explain"
	"github.com/outrider-mesh/outrider/test/page"
)

var updateDocs = flag.Bool("update-docs", false, "write the outputs in docs/explain.md and docs/preview.md")

// TestExplainPage: the commands of docs/explain.md that read files print what it shows.
func TestExplainPage(t *testing.T) { checkOutputs(t, "explain.md", 3) }

// TestPreviewPage: the same for docs/preview.md.
func TestPreviewPage(t *testing.T) { checkOutputs(t, "preview.md", 2) }

// checkOutputs runs the commands of a page that read files.
func checkOutputs(t *testing.T, name string, least int) {
	t.Helper()
	file, err := filepath.Abs(filepath.Join("..", "..", "docs", name))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	for _, block := range page.Of(string(text), "yaml") {
		name, body, _ := strings.Cut(block.Body, "\n")
		if err := os.WriteFile(strings.TrimPrefix(name, "# "), []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	commands, out := 0, string(text)
	for _, block := range page.Of(string(text), "console") {
		command, _, _ := strings.Cut(block.Body, "\n")
		args, ok := strings.CutPrefix(command, "$ outrider ")
		if !ok || !strings.Contains(args, "-f ") {
			continue
		}
		commands++
		got := runWith(t, "", strings.Fields(args)...)
		if got.code != 0 && !strings.HasPrefix(args, "preview ") || strings.Contains(got.err, "error: ") {
			t.Fatalf("%s: %+v", command, got)
		}
		want := command + "\n" + got.out
		if strings.TrimSpace(block.Body) != strings.TrimSpace(want) {
			t.Errorf("%s prints\n%s", command, got.out)
		}
		out = strings.Replace(out, block.Body, strings.TrimRight(want, "\n")+"\n", 1)
	}
	if commands < least {
		t.Errorf("only %d commands found", commands)
	}
	if *updateDocs {
		if err := os.WriteFile(file, []byte(out), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestExplainUsage(t *testing.T) {
	for args, want := range map[string]string{
		"explain":                                    "no pod: specify POD, KIND/NAME or -f FILE",
		"explain a -f b":                             "a and -f FILE are mutually exclusive",
		"explain a -o xml":                           `-o: "xml": unknown output format; use text, json or yaml`,
		"explain a --protocol http":                  "--protocol and --address require --to",
		"explain a --to b --address c":               `--address: "c": not an IP address`,
		"explain a --to b/c":                         `--to: "b/c": not a host or an address; use HOST[:PORT] or ADDRESS[:PORT], without a scheme and a path`,
		"explain a --to b --path c":                  `--path: "c": must begin with /`,
		"explain service/web --kubeconfig /nowhere/": "",
	} {
		got := runWith(t, "", strings.Fields(args)...)
		if want != "" && (got.code != exitUsage || !strings.Contains(got.err, "error: "+want+"\n")) || got.code == exitOK {
			t.Errorf("%s: %+v", args, got)
		}
	}
}

// TestExplainAsJSON: lines are those of the file, and namespaces and entries come from it.
func TestExplainAsJSON(t *testing.T) {
	manifest := "kind: Namespace\napiVersion: v1\nmetadata: {name: shop, labels: {istio-injection: enabled}}\n---\n" +
		"apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: bin, namespace: shop}\nspec: {hosts: [bin.example], ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS}\n---\n" +
		"apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: shop}\nspec: {containers: [{name: a, image: a}]}\n"
	got := runWith(t, manifest, "explain", "-f", "-", "--to", "bin.example", "--address", "203.0.113.7", "--protocol", "http", "-o", "json")
	var a explain.Answer
	if err := json.Unmarshal([]byte(got.out), &a); err != nil || got.code != exitOK {
		t.Fatalf("%v: %+v", err, got)
	}
	if a.APIVersion != explain.APIVersion || a.Object != (explain.Object{Kind: "Pod", Namespace: "shop", Name: "a", File: "standard input", Line: 10}) || a.Webhook.Result != explain.Selected {
		t.Errorf("%+v", a)
	}
	if c := a.Destinations[0].Paths; len(c) != 1 || c[0].Sidecar.Rule.Source != "ServiceEntry shop/bin" {
		t.Errorf("%+v", a.Destinations)
	}
	manifest += "---\napiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: default, namespace: shop}\nspec:\n  outboundTrafficPolicy:\n    mode: REGISTRY_ONLY\n"
	got = runWith(t, manifest, "explain", "-f", "-", "--to", "other.example", "--address", "203.0.113.7", "--protocol", "http", "-o", "json")
	var blocked explain.Answer
	if err := json.Unmarshal([]byte(got.out), &blocked); err != nil || got.code != exitOK {
		t.Fatalf("%v: %+v", err, got)
	}
	if c := blocked.Destinations[0].Paths[0]; c.Outcome != explain.Blocked || c.Sidecar.Rule.Source != "Sidecar shop/default" || c.Sidecar.Rule.Line != 20 {
		t.Errorf("%+v, %+v", c, c.Sidecar)
	}
	if none := runWith(t, "kind: Service\napiVersion: v1\n", "explain", "-f", "-"); none.code != exitError || !strings.Contains(none.err, "no pod or workload") {
		t.Errorf("%+v", none)
	}
}

// TestExplainFiles: what the files have beside the pod is checked, and nothing in them is
// omitted without a message.
func TestExplainFiles(t *testing.T) {
	pod := func(name string) string {
		return "apiVersion: v1\nkind: Pod\nmetadata: {name: " + name + ", namespace: shop}\nspec: {containers: [{name: a, image: a}]}\n"
	}
	entry := func(name, spec string) string {
		return "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: " + name + ", namespace: shop}\nspec: {" + spec + "}\n"
	}
	const sound = "hosts: [a.example], ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS"
	for _, tt := range []struct {
		name, manifest string
		code           int
		out, err       []string
	}{
		{
			name: "entries with errors, all of them", manifest: pod("a") + "---\n" + entry("one", "ports: [{number: 80, name: http, protocol: HTTP}]") + "---\n" + entry("two", sound+", hosts2: [b]"),
			code: exitError, err: []string{"standard input:6: ServiceEntry shop/one: spec.hosts: ", "standard input:11: ServiceEntry shop/two: spec.hosts2: "},
		},
		{
			name: "text that is no YAML, and an entry", manifest: "a: [\n---\n" + entry("one", "hosts: []"),
			code: exitError, err: []string{"standard input:1: ", "standard input:3: ServiceEntry shop/one: "},
		},
		{
			name: "a list", manifest: "apiVersion: v1\nkind: List\nitems:\n- " + strings.ReplaceAll(strings.TrimSpace(pod("listed")), "\n", "\n  ") + "\n",
			out: []string{"Pod shop/listed: injected"},
		},
		{
			name: "several pods", manifest: pod("a") + "---\n" + pod("b"),
			out: []string{"Pod shop/a: injected"}, err: []string{"note: only the first pod or workload is explained, not Pod b (standard input:6); use one file for each"},
		},
		{name: "a terminal's commands", manifest: pod(`"a\e[31m"`), out: []string{"Pod shop/a\ufffd[31m: injected"}},
		{name: "no pod", manifest: entry("one", sound), code: exitError, err: []string{"-: no pod or workload; add the manifest of one"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := runWith(t, tt.manifest, "explain", "-f", "-")
			if got.code != tt.code {
				t.Fatalf("%+v", got)
			}
			for _, want := range tt.out {
				if !strings.Contains(got.out, want) {
					t.Errorf("%q is not in %s", want, got.out)
				}
			}
			for _, want := range tt.err {
				if !strings.Contains(got.err, want) {
					t.Errorf("%q is not in %s", want, got.err)
				}
			}
		})
	}
}

// TestReplaced: an object of a file takes the place of the cluster's of its name.
func TestReplaced(t *testing.T) {
	of := func(names ...string) (in egress.Input) {
		for _, name := range names {
			in.ServiceEntries = append(in.ServiceEntries, egress.ServiceEntry{Meta: egress.Meta{Namespace: "shop", Name: name}})
			in.VirtualServices = append(in.VirtualServices, egress.VirtualService{Meta: egress.Meta{Namespace: "shop", Name: name}})
			in.Sidecars = append(in.Sidecars, egress.Sidecar{Meta: egress.Meta{Namespace: "shop", Name: name}})
		}
		return in
	}
	all := replaced(of("a", "b"), of("b", "c"))
	var names []string
	for i, e := range all.ServiceEntries {
		names = append(names, e.Name, all.VirtualServices[i].Name, all.Sidecars[i].Name)
	}
	if got := strings.Join(names, " "); got != "a a a b b b c c c" {
		t.Error(got)
	}
}
