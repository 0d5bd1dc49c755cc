package scenarios

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

// golden compares what came out with want.yaml and want.txt.
func (t *trial) golden() {
	out := ""
	switch {
	case t.cli == nil:
		out = t.webhookDocuments()
	case t.cli.code == 0:
		out = t.cli.out
	}
	if !t.options.FullBootstrap {
		out = withoutBootstrap(out)
	}
	t.writeOrCompare("want.yaml", hashes.ReplaceAllString(out, "${1}0000000000000000"))
	t.writeOrCompare("want.txt", t.report())
}

func (t *trial) writeOrCompare(section, got string) {
	if got != "" && !strings.HasSuffix(got, "\n") {
		got += "\n"
	}
	want, _ := t.get(section)
	if got == want {
		return
	}
	if *update {
		t.set(section, got)
		if err := t.save(); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Errorf("%s: %s differs, want -, got + (go test ./test/scenarios -update writes it anew)\n%s",
		t.path(), section, cmp.Diff(strings.Split(want, "\n"), strings.Split(got, "\n")))
}

// webhookDocuments shows the webhook's pods as a stream, where it is the only entry point.
func (t *trial) webhookDocuments() string {
	var documents []string
	for i, o := range t.objects {
		if o.hasPod() && t.answers[i].allowed {
			text, err := yaml.Marshal(t.answers[i].object)
			if err != nil {
				t.Fatal(err)
			}
			documents = append(documents, string(text))
		}
	}
	return strings.Join(documents, "---\n")
}

// report is want.txt.
func (t *trial) report() string {
	var b strings.Builder
	if why := t.options.WebhookOnly; why != "" {
		fmt.Fprintf(&b, "webhook only: %s\n", why)
	}
	for _, p := range t.problems.Warnings() {
		fmt.Fprintf(&b, "configuration: warning: %s\n", p)
	}
	if t.injector == nil {
		b.WriteString("configuration: rejected\n")
		for _, p := range t.problems.Errors() {
			fmt.Fprintf(&b, "  %s\n", p)
		}
		return b.String()
	}
	for i, o := range t.objects {
		t.reportObject(&b, o, i)
	}
	return b.String()
}

func (t *trial) reportObject(b *strings.Builder, o object, i int) {
	label, a := o.label(t.scenario), t.answers[i]
	switch {
	case !o.hasPod():
		fmt.Fprintf(b, "%s: untouched\n", label)
		return
	case !a.allowed:
		fmt.Fprintf(b, "%s: rejected: %s\n", label, a.reason)
	default:
		result := "skipped"
		if d := t.decision(o); d.Inject {
			result = "injected"
		}
		if result == "injected" && !a.patched {
			result = "unchanged"
		}
		fmt.Fprintf(b, "%s: %s: %s\n", label, result, a.reason)
		if result == "skipped" {
			fmt.Fprintf(b, "  because %s\n", t.decision(o).Sentence)
		}
	}
	for n, p := range a.problems {
		line := ""
		if t.cli != nil && n < len(t.cli.problems[label]) {
			line = "line " + t.cli.problems[label][n].line + ": "
		}
		fmt.Fprintf(b, "  %s%s\n", line, p)
	}
	for _, w := range a.warnings {
		fmt.Fprintf(b, "  warning: %s\n", w)
	}
	for _, w := range t.reviews[i] {
		if !slices.Contains(a.warnings, w) {
			fmt.Fprintf(b, "  warning on applying the %s: %s\n", o.kind(), w)
		}
	}
}

var (
	hashes = regexp.MustCompile(`((?:config|overlay)Hash\\*":\\*")[0-9a-f]{16}`)
	inJSON = regexp.MustCompile(`("--config-yaml",\s*)"(?:[^"\\]|\\.)*"`)
)

// withoutBootstrap shortens the argument behind --config-yaml, wherever it is
// written as a block or in JSON.
func withoutBootstrap(stream string) string {
	var out []string
	lines := strings.Split(stream, "\n")
	for i := 0; i < len(lines); i++ {
		out = append(out, lines[i])
		if strings.TrimSpace(lines[i]) != "- --config-yaml" || i+1 >= len(lines) || !strings.HasPrefix(strings.TrimSpace(lines[i+1]), "- |") {
			continue
		}
		indent, _, _ := strings.Cut(lines[i], "-")
		out = append(out, indent+"- <bootstrap>")
		for i++; i+1 < len(lines) && (lines[i+1] == "" || strings.HasPrefix(lines[i+1], indent+" ")); i++ {
		}
	}
	return inJSON.ReplaceAllString(strings.Join(out, "\n"), `$1"<bootstrap>"`)
}
