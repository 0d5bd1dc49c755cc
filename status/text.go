package status

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/outrider-mesh/outrider/internal/problem"
)

// Style is how a report is rendered.
type Style struct {
	Wide  bool // with pods, hashes and sources
	Color bool // with the escape sequences of a terminal
	Now   time.Time
}

// The escape sequences.
const (
	bold, red, yellow, green = "1", "31", "33", "32"
)

func (s Style) paint(code, text string) string {
	if !s.Color {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// row writes a line of a table. No cell has a tab.
func row(w *tabwriter.Writer, cells ...string) {
	for i, c := range cells {
		cells[i] = problem.Printable(c)
	}
	fmt.Fprintln(w, strings.Join(cells, "\t"))
}

// maxValue bounds a value in a table.
const maxValue = 60

func (s Style) value(text string) string {
	if text == "" {
		return `""`
	}
	if s.Wide {
		return problem.Printable(text)
	}
	return problem.Printable(problem.Clip(text, maxValue))
}

// Text is the report for a terminal.
func (r Report) Text(s Style) string {
	var b bytes.Buffer
	r.settings(&b, s)
	r.replicas(&b, s)
	r.workloads(&b, s)
	r.missing(&b, s)
	r.sidecars(&b, s)
	for _, w := range r.Warnings {
		fmt.Fprintf(&b, "%s: %s\n", s.paint(yellow, "warning"), problem.Printable(w))
	}
	return b.String()
}

func (r Report) settings(b *bytes.Buffer, s Style) {
	fmt.Fprintf(b, "Active settings: %s from %s", problem.Printable(r.Active.Hash), sourceTexts[r.Active.Source])
	if !r.Active.Since.IsZero() {
		fmt.Fprintf(b, ", since %s", stamp(r.Active.Since))
	}
	b.WriteString("\n")
	if r.Active.NotApplied != "" {
		fmt.Fprintf(b, "%s: %s\n", s.paint(red, "not applied"), problem.Printable(r.Active.NotApplied))
	}
}

var sourceTexts = map[string]string{"configmap": "the ConfigMaps", "last-good": "the last good configuration", "defaults": "the built-in defaults"}

func (r Report) replicas(b *bytes.Buffer, s Style) {
	if len(r.Replicas) == 0 {
		return
	}
	w := tabwriter.NewWriter(b, 0, 0, 3, ' ', 0)
	b.WriteString("\n")
	row(w, "REPLICA", "COMPONENTS", "VERSION", "ACTIVE", "SOURCE", "SIDECARS", "REPORTED")
	for _, o := range r.Replicas {
		sidecars := "-"
		if o.Connected != nil {
			sidecars = fmt.Sprint(*o.Connected)
			for _, n := range []struct {
				count int
				what  string
			}{{o.Behind, "behind"}, {o.Rejecting, "rejecting"}} {
				if n.count > 0 {
					sidecars += fmt.Sprintf(", %d %s", n.count, n.what)
				}
			}
		}
		reported := s.ago(o.Reported)
		if o.Silent {
			reported += " (silent)"
		}
		row(w, o.Name, cmp.Or(strings.Join(o.Components, ","), "-"), cmp.Or(o.Version, "-"), cmp.Or(o.ConfigHash, "-"), cmp.Or(o.Source, "-"), sidecars, reported)
	}
	_ = w.Flush() // to a buffer
}

// ago is a time as kubectl shows it.
func (s Style) ago(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	switch d := s.Now.Sub(t); {
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", max(0, int(d.Seconds())))
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	default:
		return fmt.Sprintf("%dd", int(d.Hours()/24))
	}
}

// plural is a number of things.
func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func (o Object) text() string { return o.Namespace + "/" + o.short() }

func (o Object) short() string { return strings.ToLower(o.Kind) + "/" + o.Name }

func (r Report) workloads(b *bytes.Buffer, s Style) {
	fmt.Fprintf(b, "\n%s of %s: %d with a sidecar, of which %d were injected under other settings; %d without one that should have one\n",
		plural(r.Summary.Pods, "pod"), plural(r.Summary.Workloads, "workload"), r.Summary.Injected, r.Summary.Stale, r.Summary.Missing)
	if len(r.Workloads) == 0 {
		return
	}
	fmt.Fprintf(b, "\n%s\n", s.paint(bold, "Injected under other settings:"))
	w := tabwriter.NewWriter(b, 0, 0, 3, ' ', 0)
	row(w, "  NAMESPACE", "WORKLOAD", "PODS", "SINCE", "DIFFERENCES")
	for _, o := range r.Workloads {
		first := []string{"  " + o.Namespace, o.short(), fmt.Sprint(len(o.Pods)), s.ago(o.Since)}
		for _, line := range s.differences(o.Result, o.Differences, o.Problems) {
			row(w, append(first, line)...)
			first = []string{"", "", "", ""}
		}
		if s.Wide {
			row(w, "", "", "", "", "hash "+o.ConfigHash+"; pods "+strings.Join(o.Pods, ", "))
		}
	}
	_ = w.Flush() // to a buffer
	var all []remedy
	for _, o := range r.Workloads {
		all = append(all, remedy{o.Object, o.Command, o.Note})
	}
	commands(b, s, "To apply the active settings:", all)
}

// differences are lines, the first of which is the result where that is another one.
func (s Style) differences(result string, all []Difference, problems []string) (lines []string) {
	if result == Denied {
		for _, p := range problems {
			lines = append(lines, "denied: "+p)
		}
		return lines
	}
	for _, d := range all {
		line := d.Name
		switch {
		case d.Name == "decision":
			line = fmt.Sprintf("%s, now %s", d.Was, d.Is)
		case d.Was != "" || d.Is != "":
			line += fmt.Sprintf(": %s -> %s", s.value(d.Was), s.value(d.Is))
		}
		if s.Wide && d.Source != "" {
			line += " (" + place(d) + ")"
		}
		lines = append(lines, line)
	}
	return lines
}

func place(d Difference) string {
	out := d.Source
	if d.File != "" {
		out += ", " + d.File
	}
	if d.Line > 0 {
		out += fmt.Sprintf(", line %d", d.Line)
	}
	if d.Path != "" {
		out += ": " + d.Path
	}
	return out
}

// remedy is what applies settings to a workload.
type remedy struct {
	object        Object
	command, note string
}

// commands are the commands, and notes where there is none.
func commands(b *bytes.Buffer, s Style, title string, all []remedy) {
	var lines []string
	for _, o := range all {
		if o.command != "" && !slices.Contains(lines, o.command) {
			lines = append(lines, o.command)
		}
	}
	if len(lines) > 0 || slices.ContainsFunc(all, func(o remedy) bool { return o.note != "" }) {
		fmt.Fprintf(b, "\n%s\n", s.paint(bold, title))
	}
	for _, line := range lines {
		fmt.Fprintf(b, "  %s\n", problem.Printable(line))
	}
	for _, o := range all {
		if o.note != "" {
			fmt.Fprintf(b, "  %s: %s\n", problem.Printable(o.object.text()), problem.Printable(o.note))
		}
	}
}

func (r Report) missing(b *bytes.Buffer, s Style) {
	if len(r.Missing) == 0 {
		return
	}
	fmt.Fprintf(b, "\n%s\n", s.paint(bold, "Without a sidecar, and should have one:"))
	w := tabwriter.NewWriter(b, 0, 0, 3, ' ', 0)
	row(w, "  NAMESPACE", "WORKLOAD", "PODS", "CAUSE")
	var all []remedy
	for _, o := range r.Missing {
		row(w, "  "+o.Namespace, o.short(), fmt.Sprint(len(o.Pods)), o.Cause.Text)
		for _, p := range o.Problems {
			row(w, "", "", "", "denied: "+p)
		}
		if s.Wide {
			row(w, "", "", "", "pods "+strings.Join(o.Pods, ", "))
		}
		all = append(all, remedy{o.Object, o.Command, o.Note})
	}
	_ = w.Flush() // to a buffer
	commands(b, s, "To inject them:", all)
}

func (r Report) sidecars(b *bytes.Buffer, s Style) {
	if len(r.Sidecars) == 0 {
		return
	}
	fmt.Fprintf(b, "\n%s\n", s.paint(bold, "Sidecars with a problem:"))
	w := tabwriter.NewWriter(b, 0, 0, 3, ' ', 0)
	row(w, "  NAMESPACE", "POD", "PROBLEM", "TIME", "MESSAGE")
	for _, o := range r.Sidecars {
		text := o.Text
		if !s.Wide {
			text = problem.Clip(text, 200)
		}
		row(w, "  "+o.Namespace, o.Pod, o.ID, s.ago(o.Time), text)
	}
	_ = w.Flush() // to a buffer
}

// Text is the preview for a terminal.
func (p Preview) Text(s Style) string {
	var b bytes.Buffer
	if s.Wide {
		fmt.Fprintf(&b, "Settings: %s -> %s\n\n", problem.Printable(p.From), problem.Printable(p.To))
	}
	if len(p.Immediate) > 0 {
		fmt.Fprintf(&b, "%s\n", s.paint(bold, "Running sidecars change at once:"))
		for _, line := range s.differences("", p.Immediate, nil) {
			fmt.Fprintf(&b, "  %s\n", problem.Printable(line))
		}
		b.WriteString("\n")
	}
	fmt.Fprintf(&b, "%d of %s would change", p.Summary.Changed, plural(p.Summary.Workloads, "workload"))
	if p.Summary.Breaks > 0 {
		fmt.Fprintf(&b, ", and pods of %d be denied", p.Summary.Breaks)
	}
	b.WriteString("\n")
	for _, o := range p.Workloads {
		o.text(&b, s)
	}
	if len(p.Current) > 0 {
		fmt.Fprintf(&b, "\n%s\n", s.paint(bold, "Need no restart after the edit, and need one now:"))
		for _, o := range p.Current {
			fmt.Fprintf(&b, "  %s\n", problem.Printable(o.text()))
		}
	}
	var all []remedy
	for _, o := range p.Workloads {
		if o.Result != Denied {
			all = append(all, remedy{o.Object, o.Command, o.Note})
		}
	}
	commands(&b, s, "After the edit, to apply it:", all)
	for _, w := range p.Warnings {
		fmt.Fprintf(&b, "%s: %s\n", s.paint(yellow, "warning"), problem.Printable(w))
	}
	return b.String()
}

func (o PreviewWorkload) text(b *bytes.Buffer, s Style) {
	what := s.paint(yellow, "changes")
	switch {
	case o.Result == Denied:
		what = s.paint(red, "would be denied")
	case !o.Changed:
		what = "unchanged, and differs from the active settings already"
	}
	name := problem.Printable(o.Object.text())
	if o.File != "" {
		name += fmt.Sprintf(" (%s:%d)", problem.Printable(o.File), o.Line)
	} else {
		name += " (" + plural(len(o.Pods), "pod") + ")"
	}
	fmt.Fprintf(b, "\n%s: %s\n", name, what)
	for _, line := range s.differences(o.Result, o.Differences, o.Problems) {
		fmt.Fprintf(b, "  %s\n", problem.Printable(line))
	}
	for _, list := range []struct {
		what  string
		names []string
	}{{s.paint(red, "newly bypasses the sidecar"), o.Bypassed}, {s.paint(green, "newly redirected"), o.Captured}} {
		if len(list.names) > 0 {
			fmt.Fprintf(b, "  %s: %s\n", list.what, problem.Printable(s.names(list.names)))
		}
	}
}

// maxNames bounds the Services of a line.
const maxNames = 10

func (s Style) names(all []string) string {
	kind := "Services "
	if len(all) == 1 {
		kind = "Service "
	}
	if len(all) > maxNames && !s.Wide {
		return fmt.Sprintf("%s%s and %d more", kind, strings.Join(all[:maxNames], ", "), len(all)-maxNames)
	}
	return kind + strings.Join(all, ", ")
}
