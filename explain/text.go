package explain

import (
	"bytes"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/outrider-mesh/outrider/internal/problem"
)

// Text is the answer for a terminal.
func (a Answer) Text() string {
	var b bytes.Buffer
	name := a.Object.Name
	if a.Object.Namespace != "" {
		name = a.Object.Namespace + "/" + name
	}
	fmt.Fprintf(&b, "%s: %s\n", problem.Printable(a.Object.Kind+" "+name), resultTexts[a.Result])
	a.stages(&b)
	if len(a.Settings) > 0 {
		b.WriteString("\nSettings of a pod that is created now:\n")
		w := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
		for _, s := range a.Settings {
			value := problem.Clip(s.Value, maxValue)
			if value == "" {
				value = `""`
			}
			if s.Running != nil {
				value += fmt.Sprintf(" (the running pod has %q)", problem.Clip(*s.Running, maxValue))
			}
			fmt.Fprintf(w, "  %s\t%s\t%s\n", s.Name, problem.Printable(value), problem.Printable(s.source()))
		}
		_ = w.Flush() // to a buffer
	}
	for _, warning := range a.Warnings {
		fmt.Fprintf(&b, "warning: %s\n", warning)
	}
	for _, t := range a.Destinations {
		t.text(&b)
	}
	return b.String()
}

// maxValue bounds a value in a table.
const maxValue = 60

var resultTexts = map[string]string{
	Injected: "injected", Skipped: "not injected", NotSelected: "not injected: the webhook is not called", Denied: "denied",
}

// stages are the two stages of the decision, and the running pod.
func (a Answer) stages(b *bytes.Buffer) {
	fmt.Fprintf(b, "\n1. Webhook: %s\n", map[string]string{Selected: "selected", NotSelected: "not selected", Unknown: "unknown"}[a.Webhook.Result])
	a.Webhook.Rule.text(b, "   ")
	if c := a.Webhook.Conditions; len(c) > 0 {
		fmt.Fprintf(b, "   if its matchConditions are true, which are not evaluated here: %s\n", problem.Printable(strings.Join(c, ", ")))
	}
	for _, other := range a.Webhook.Others {
		fmt.Fprintf(b, "   also selected by %s\n", problem.Printable(other))
	}
	fmt.Fprintf(b, "2. Decision: %s (%s)\n", resultTexts[a.Decision.Result], a.Decision.Rule.ID)
	for _, p := range a.Decision.Problems {
		fmt.Fprintf(b, "   %s\n", p)
	}
	if len(a.Decision.Problems) == 0 {
		a.Decision.Rule.text(b, "   ")
	}
	switch r := a.Running; {
	case r == nil:
	case !r.Injected:
		b.WriteString("The running pod has no sidecar.\n")
	case r.Current:
		fmt.Fprintf(b, "The running pod was injected with the active configuration (%s).\n", problem.Printable(r.ConfigHash))
	default:
		fmt.Fprintf(b, "The running pod was injected with another configuration (%s); recreate it to apply the active one.\n", problem.Printable(r.ConfigHash))
	}
}

// text is a rule: the sentence, its place, and the fix.
func (r Rule) text(b *bytes.Buffer, indent string) {
	fmt.Fprintf(b, "%s%s\n%s  by %s\n", indent, problem.Printable(r.Text), indent, problem.Printable(r.Place()))
	if r.Fix != "" {
		fmt.Fprintf(b, "%s  to change it: %s\n", indent, problem.Printable(r.Fix))
	}
}

// Place is where the rule is, as a text.
func (r Rule) Place() string {
	out := r.Source
	switch {
	case r.File != "" && r.Line > 0:
		out += fmt.Sprintf(", %s:%d", r.File, r.Line)
	case r.Line > 0:
		out += fmt.Sprintf(", line %d", r.Line)
	}
	if r.Path != "" {
		out += ": " + r.Path
	}
	return out
}

func (s Setting) source() string {
	out := Rule{Source: s.Source, File: s.File, Path: s.Path, Line: s.Line}.Place()
	if s.Evidence != "" {
		out += " (" + s.Evidence + ")"
	}
	return out
}

func (t Traffic) text(b *bytes.Buffer) {
	fmt.Fprintf(b, "\nTo %s\n", problem.Printable(t.To))
	for _, n := range t.Notes {
		fmt.Fprintf(b, "  note: %s\n", problem.Printable(n))
	}
	for _, c := range t.Paths {
		name := ""
		if c.Name != "" {
			name = map[string]string{"http": ", Host ", "tls": ", SNI "}[c.Protocol] + c.Name
		}
		address := fmt.Sprintf("%s %s port %d", c.Family, c.Address, c.Port)
		if c.Assumed {
			address = fmt.Sprintf("any %s address in none of the lists, port %d", c.Family, c.Port)
		}
		fmt.Fprintf(b, "  %s (%s%s): %s\n", address, c.Protocol, problem.Printable(name), outcomeTexts[c.Outcome])
		fmt.Fprintf(b, "    redirect: %s\n      by %s\n", problem.Printable(c.Redirect.Text), problem.Printable(c.Redirect.Place()))
		if c.Outcome == Bypassed && c.Redirect.Fix != "" {
			fmt.Fprintf(b, "      to change it: %s\n", c.Redirect.Fix)
		}
		if c.Sidecar != nil {
			c.Sidecar.text(b)
		}
	}
}

var outcomeTexts = map[string]string{
	Forwarded: "redirected and forwarded", Answered: "redirected and answered by the sidecar", Blocked: "redirected and blocked",
	Bypassed: "bypasses the sidecar", NotCaptured: "not captured",
}

func (s *Sidecar) text(b *bytes.Buffer) {
	b.WriteString("    sidecar: ")
	var r bytes.Buffer
	s.Rule.text(&r, "    ")
	b.WriteString(strings.TrimLeft(r.String(), " "))
	for _, o := range s.Others {
		fmt.Fprintf(b, "      and by %s\n", problem.Printable(o.Place()))
	}
	var facts []string
	if s.Status > 0 {
		facts = append(facts, fmt.Sprintf("status %d", s.Status))
	}
	if s.Route != "" {
		facts = append(facts, "route "+s.Route)
	}
	for _, c := range s.Clusters {
		facts = append(facts, strings.TrimSpace("cluster "+c.Name+" "+strings.Join(c.To, " ")))
	}
	if s.Timeout != "" {
		facts = append(facts, "timeout "+s.Timeout)
	}
	if len(facts) > 0 {
		fmt.Fprintf(b, "      %s\n", problem.Printable(strings.Join(facts, ", ")))
	}
}
