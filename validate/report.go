package validate

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/outrider-mesh/outrider/internal/problem"
)

// APIVersion is the version of a Report as JSON. Fields are added within a version; none is
// renamed or removed.
const APIVersion = "outrider.dev/v1"

// Report is everything that is found in files.
type Report struct {
	APIVersion string    `json:"apiVersion"`
	Kind       string    `json:"kind"` // Validation
	Summary    Summary   `json:"summary"`
	Files      []File    `json:"files"`
	Skipped    []Skipped `json:"skipped"`
	Findings   []Finding `json:"findings"`
}

// Summary counts.
type Summary struct {
	Objects  int `json:"objects"` // that were validated
	Skipped  int `json:"skipped"` // documents and objects of other kinds
	Errors   int `json:"errors"`
	Warnings int `json:"warnings"`
	Notes    int `json:"notes"`
}

// File is one file, in the order in which they were read.
type File struct {
	File    string `json:"file"`
	Objects int    `json:"objects"`
	Skipped int    `json:"skipped"`
}

// Skipped counts the objects of one kind that is not validated.
type Skipped struct {
	Kind  string `json:"kind"` // "apps/v1 ControllerRevision"
	Count int    `json:"count"`
}

// The severities of a Finding, the worst first.
const (
	SeverityError   = "error"   // admission denies the object, or its pods
	SeverityWarning = "warning" // admission allows the object, with a warning
	SeverityNote    = "note"    // depends on what is in none of the files
)

// Severities are those of findings, the worst first.
func Severities() []string { return []string{SeverityError, SeverityWarning, SeverityNote} }

// Finding is one thing that is wrong with one object.
type Finding struct {
	Severity string `json:"severity"`
	// RuleID is the stable identifier of the kind of problem.
	RuleID string `json:"ruleId"`
	// Object is what the finding is about, such as "ServiceEntry shop/a"; empty for a
	// document that cannot be read.
	Object string `json:"object,omitempty"`
	File   string `json:"file"`
	// Line and Column are 1-based; columns are in characters. 0: the whole file.
	Line   int `json:"line,omitempty"`
	Column int `json:"column,omitempty"`
	// Path is the field in the object, and Value is what it has.
	Path  string `json:"path,omitempty"`
	Value string `json:"value,omitempty"`
	// Message has the words of admission.
	Message string `json:"message"`
	Fix     string `json:"fix,omitempty"`
	// Note is why a note is none of admission's warnings or errors.
	Note string `json:"note,omitempty"`
}

// located is a finding with the position of its document among all.
type located struct {
	Finding

	document int
}

// sorted are findings in the order of the files; those of one place keep their order.
func sorted(all []located) []Finding {
	slices.SortStableFunc(all, func(a, b located) int {
		return cmp.Or(cmp.Compare(a.document, b.document), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	out := make([]Finding, len(all))
	for i := range all {
		out[i] = all[i].Finding
	}
	return out
}

// Reaches reports whether there is a finding of a severity or a worse one.
func (r *Report) Reaches(severity string) bool {
	switch severity {
	case SeverityNote:
		return r.Summary.Notes+r.Summary.Warnings+r.Summary.Errors > 0
	case SeverityWarning:
		return r.Summary.Warnings+r.Summary.Errors > 0
	}
	return r.Summary.Errors > 0
}

// Text is the report for people: a line for each finding, in the form that editors jump
// to, and a summary.
func (r *Report) Text() string {
	var b strings.Builder
	for i := range r.Findings {
		b.WriteString(r.Findings[i].Text() + "\n")
	}
	for _, f := range r.Files {
		if f.Objects == 0 && f.Skipped > 0 {
			fmt.Fprintf(&b, "%s: no object that is validated\n", problem.Printable(f.File))
		}
	}
	b.WriteString(r.Summary.Text(len(r.Files)) + r.skipped() + "\n")
	return b.String()
}

// Text is the finding on one line.
func (f *Finding) Text() string {
	place := f.File
	if f.Line > 0 {
		place = fmt.Sprintf("%s:%d:%d", f.File, f.Line, max(f.Column, 1))
	}
	text := place + ": " + f.Severity + ": " + f.Described()
	return problem.Printable(text)
}

// Described is the message with the object, as kubectl shows it, and the note.
func (f *Finding) Described() string {
	text := f.Message
	if f.Object != "" {
		text = f.Object + ": " + text
	}
	if f.Note != "" {
		text += " (" + f.Note + ")"
	}
	return text
}

// Text is the summary on one line.
func (s Summary) Text(files int) string {
	return fmt.Sprintf("%s in %s: %s, %s, %s", count(s.Objects, "object"), count(files, "file"),
		count(s.Errors, "error"), count(s.Warnings, "warning"), count(s.Notes, "note"))
}

// maxKinds bounds the kinds that are named.
const maxKinds = 8

func (r *Report) skipped() string {
	if len(r.Skipped) == 0 {
		return ""
	}
	var kinds []string
	for i, s := range r.Skipped {
		if i == maxKinds {
			kinds = append(kinds, fmt.Sprintf("%d more kinds", len(r.Skipped)-i))
			break
		}
		kinds = append(kinds, fmt.Sprintf("%d %s", s.Count, problem.Printable(s.Kind)))
	}
	return fmt.Sprintf("; %d skipped, of kinds that are not validated: %s", r.Summary.Skipped, strings.Join(kinds, ", "))
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
