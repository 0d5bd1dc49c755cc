package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Severity tells an error, which rejects the configuration, from a warning.
type Severity uint8

// The severities.
const (
	SeverityError Severity = iota
	SeverityWarning
)

// String is "error" or "warning".
func (s Severity) String() string {
	if s == SeverityWarning {
		return "warning"
	}
	return "error"
}

// Problem is one thing wrong with one of the texts.
type Problem struct {
	Severity     Severity
	Where        string // the text, as Labels names it
	Line, Column int    // from 1; 0 when the whole text is meant
	Path         string // global.proxy.excludeIPRanges; empty when unknown
	Value        string // as written, cut to a readable length
	Rule         string // what is wrong
	Fix          string // what to do

	order int // of the text among the three
}

// String is the message on one line: place, path, value, rule, fix.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.Where)
	if p.Line > 0 {
		fmt.Fprintf(&b, " line %d, column %d", p.Line, p.Column)
	}
	if p.Path != "" {
		b.WriteString(": " + p.Path)
	}
	if p.Value != "" {
		b.WriteString(": " + p.Value)
	}
	b.WriteString(": " + p.Rule)
	if p.Fix != "" {
		b.WriteString("; " + p.Fix)
	}
	return b.String()
}

// Problems is what Parse found, sorted by text, line and column.
type Problems []Problem

// Errors are the problems that reject the configuration.
func (ps Problems) Errors() Problems { return ps.of(SeverityError) }

// Warnings are the problems that do not.
func (ps Problems) Warnings() Problems { return ps.of(SeverityWarning) }

func (ps Problems) of(s Severity) Problems {
	var out Problems
	for _, p := range ps {
		if p.Severity == s {
			out = append(out, p)
		}
	}
	return out
}

// Err is nil when there is no error, else all errors, one a line.
func (ps Problems) Err() error {
	var lines []string
	for _, p := range ps.Errors() {
		lines = append(lines, p.String())
	}
	if lines == nil {
		return nil
	}
	return errors.New(strings.Join(lines, "\n"))
}

func (ps Problems) sort() {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		for _, d := range []int{a.order - b.order, a.Line - b.Line, a.Column - b.Column} {
			if d != 0 {
				return d
			}
		}
		return 0 // in the order of finding, which does not vary
	})
}
