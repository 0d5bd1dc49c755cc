package main

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/outrider-mesh/outrider/explain"
	"github.com/outrider-mesh/outrider/test/page"
)

var updateDocs = flag.Bool("update-docs", false, "write the outputs in docs/explain.md")

// TestExplainPage: the commands of docs/explain.md that read files print what it shows.
func TestExplainPage(t *testing.T) {
	file, err := filepath.Abs(filepath.Join("..", "..", "docs", "explain.md"))
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
		if got.code != 0 {
			t.Fatalf("%s: %+v", command, got)
		}
		want := command + "\n" + got.out
		if strings.TrimSpace(block.Body) != strings.TrimSpace(want) {
			t.Errorf("%s prints\n%s", command, got.out)
		}
		out = strings.Replace(out, block.Body, strings.TrimRight(want, "\n")+"\n", 1)
	}
	if commands < 3 {
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
		"explain a -o yaml":                          `-o: "yaml": unknown output format; use text or json`,
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
	if none := runWith(t, "kind: Service\napiVersion: v1\n", "explain", "-f", "-"); none.code != exitError || !strings.Contains(none.err, "no pod or workload") {
		t.Errorf("%+v", none)
	}
}
