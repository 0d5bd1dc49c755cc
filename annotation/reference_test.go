package annotation

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

//go:generate go test -run TestReferencePage . -update

var update = flag.Bool("update", false, "write the reference page anew")

const referencePage = "../docs/annotations.md"

func TestReferencePage(t *testing.T) {
	want := reference()
	if *update {
		if err := os.WriteFile(referencePage, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(referencePage)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s does not match the table; run: go generate ./annotation", referencePage)
	}
}

func reference() string {
	var b strings.Builder
	b.WriteString(`# Annotations and labels

<!-- Generated from the table in annotation/ by "go generate ./annotation". Do not edit. -->

Set annotations on the pod: in a workload, below ` + "`spec.template.metadata`" + ` (in a CronJob
` + "`spec.jobTemplate.spec.template.metadata`" + `), not below the workload's own ` + "`metadata`" + `. A value on a pod replaces the
configured one; it is never merged with it, except that the four resources and the fields of ` + "`proxy.istio.io/config`" + `
are set one by one.

A pod with an invalid value is denied. The message names the annotation, the value, the rule and the fix; all invalid
values are reported at once. A name with one of these prefixes that is not listed here has no effect, and a warning
names the nearest one:

` + "- `" + strings.Join(prefixes, "`\n- `") + "`\n")
	for _, s := range []struct {
		support Support
		head    string
		text    string
	}{
		{Supported, "Supported", ""},
		{NoEffect, "No effect", "The pod is admitted with a warning. If the value is a boolean, `false` is already the behavior and gives no warning."},
		{Rejected, "Rejected", "The pod is denied, because ignoring the annotation would be unsafe."},
		{Written, "Written by the injector", "An existing value is replaced, unless stated otherwise."},
		{External, "Read by other programs", "Unchanged, without a warning."},
	} {
		fmt.Fprintf(&b, "\n## %s\n\n", s.head)
		if s.text != "" {
			b.WriteString(s.text + "\n\n")
		}
		section(&b, s.support)
	}
	return b.String()
}

func section(b *strings.Builder, support Support) {
	last := map[Support]string{Supported: "Default", Written: "Default", NoEffect: "Why", Rejected: "Why"}[support]
	head, line := "| Name | Place | Value | Meaning |", "|---|---|---|---|"
	if last != "" {
		head, line = head+" "+last+" |", line+"---|"
	}
	b.WriteString(head + "\n" + line + "\n")
	cell := strings.NewReplacer("|", `\|`, "\n", " ")
	for _, r := range table {
		if r.Support != support {
			continue
		}
		name := "`" + r.Name + "`"
		if r.IsLabel {
			name += " (label)"
		}
		cells := []string{name, r.Places.String(), cell.Replace(r.Type), cell.Replace(r.Meaning)}
		switch last {
		case "Default":
			cells = append(cells, cell.Replace(r.Default))
		case "Why":
			cells = append(cells, cell.Replace(r.Why))
		}
		b.WriteString("| " + strings.Join(cells, " | ") + " |\n")
	}
}
