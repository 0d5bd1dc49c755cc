package main

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/test/envoy"
	"github.com/outrider-mesh/outrider/test/kit"
)

// The committed tables are what the real Envoys of config/envoy.txt answer.
func TestTablesAreGenerated(t *testing.T) {
	for _, v := range config.EnvoyVersions() {
		envoy.RequireVersion(t, v.Version)
	}
	root, err := kit.Checkout()
	kit.Must(t, err)
	before := committed(root)
	files, err := generate(t.Context(), before[names], t.Output())
	kit.Must(t, err)
	for name, text := range files {
		if string(before[name]) != text {
			t.Errorf("%s differs from what Envoy answers; run make gen-envoy and review the diff. It would be\n%s", name, text)
		}
	}
}

// An Envoy that rejects everything, or has an operator of an unknown form, is an error
// and not a shorter table.
func TestClassify(t *testing.T) {
	header := func(_, rest string) bool { return strings.HasPrefix(rest, "(a)") || rest == "(:a?B)" }
	got, err := classify([]string{"A", "B"}, header)
	if err != nil || !slices.Equal(got["header"], []string{"A", "B"}) || len(got) != 1 {
		t.Errorf("%v, %v", got, err)
	}
	for name, accepts := range map[string]func(name, rest string) bool{
		"nothing":   func(string, string) bool { return false },
		"all":       func(string, string) bool { return true },
		"a new one": func(_, rest string) bool { return rest == "(a b)" },
	} {
		if got, err := classify([]string{"NEW"}, accepts); err == nil || !strings.Contains(err.Error(), "operator NEW") || len(got) > 0 {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func TestWordsOf(t *testing.T) {
	file := t.TempDir() + "/program"
	write(t, file, "\x7fELF\x00START_TIME\x00x-gateway-down\x00no-end here\x00")
	operators, conditions, err := wordsOf(file, []byte("const a = `OLD_NAME old-name`\n"))
	kit.Must(t, err)
	for _, want := range []string{"START_TIME", "OLD_NAME", "TYPED_CEL"} {
		if !slices.Contains(operators, want) {
			t.Errorf("no %s in %q", want, operators)
		}
	}
	for _, want := range []string{"x-gateway-down", "gateway-down", "down", "old-name", "retriable-4xx"} {
		if !slices.Contains(conditions, want) {
			t.Errorf("no %s in %q", want, conditions)
		}
	}
	if slices.Contains(conditions, "no-end") {
		t.Errorf("a part of a text is among %q", conditions)
	}
}

// An Envoy that does not start is reported with what it logs.
func TestAsk_Fails(t *testing.T) {
	file := t.TempDir() + "/program"
	write(t, file, "#!/bin/sh\necho cannot start >&2\n")
	if _, err := ask(t.Context(), file, questions{}); err == nil || !strings.Contains(err.Error(), "cannot start") {
		t.Errorf("error %v", err)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	kit.Must(t, os.WriteFile(path, []byte(text), 0o700))
}
