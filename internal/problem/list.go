package problem

import (
	"cmp"
	"errors"
	"slices"
	"strconv"
	"strings"
)

// List is everything that was found, in a stable order. A List with an error is
// returned as an error by Err.
type List []Problem

// Of is the problems that an error holds: a List or a Problem as it is, another
// error as one problem with its text as the rule; nil for nil.
func Of(err error) List {
	if err == nil {
		return nil // before the variables below, which are allocated
	}
	var list List
	var one Problem
	switch {
	case errors.As(err, &list):
		return list
	case errors.As(err, &one):
		return List{one}
	}
	return List{Invalid("", "", err.Error(), "")}
}

// Add appends problems.
func (l *List) Add(ps ...Problem) { *l = append(*l, ps...) }

// Errors are the problems that reject.
func (l List) Errors() List { return l.of(Error) }

// Warnings are the problems that do not.
func (l List) Warnings() List { return l.of(Warning) }

func (l List) of(s Severity) List {
	var out List
	for _, p := range l {
		if p.Severity == s {
			out = append(out, p)
		}
	}
	return out
}

// HasErrors reports whether some problem rejects.
func (l List) HasErrors() bool {
	return slices.ContainsFunc(l, func(p Problem) bool { return p.Severity == Error })
}

// Err is nil when there is no error, else a List of all errors.
func (l List) Err() error {
	if errs := l.Errors(); len(errs) > 0 {
		return errs
	}
	return nil
}

// maxLines bounds the text of a List.
const maxLines = 20

// Error is one problem a line; after maxLines it counts the others.
func (l List) Error() string {
	lines := l.Strings()
	if more := len(lines) - maxLines; more > 0 {
		lines = append(lines[:maxLines:maxLines], "and "+strconv.Itoa(more)+" more")
	}
	return strings.Join(lines, "\n")
}

// Strings are the problems as text, one each.
func (l List) Strings() []string {
	out := make([]string, len(l))
	for i, p := range l {
		out[i] = p.String()
	}
	return out
}

// Findings are the problems as text without their source, one each.
func (l List) Findings() []string {
	out := make([]string, len(l))
	for i, p := range l {
		out[i] = p.Finding()
	}
	return out
}

// From are the problems of one source.
func (l List) From(source string) List {
	var out List
	for _, p := range l {
		if p.Source == source {
			out = append(out, p)
		}
	}
	return out
}

// In is the list with every problem in a source.
func (l List) In(source string) List {
	return l.each(func(p Problem) Problem { return p.In(source) })
}

// At is the list with every problem at a path.
func (l List) At(path string) List {
	return l.each(func(p Problem) Problem { return p.At(path) })
}

// AsWarnings is the list with nothing that rejects.
func (l List) AsWarnings() List { return l.each(Problem.AsWarning) }

func (l List) each(f func(Problem) Problem) List {
	out := make(List, len(l))
	for i, p := range l {
		out[i] = f(p)
	}
	return out
}

// WorstFirst is the list without duplicates, in the order of how much a problem
// matters: errors, traffic that bypasses the sidecar, what is wrong otherwise, what
// has no effect. Problems that matter alike keep their order.
func (l List) WorstFirst() List {
	if len(l) < 2 {
		return l
	}
	seen := make(map[Problem]bool, len(l))
	out := make(List, 0, len(l))
	for _, p := range l {
		if !seen[p] {
			seen[p] = true
			out = append(out, p)
		}
	}
	slices.SortStableFunc(out, func(a, b Problem) int { return cmp.Compare(a.rank(), b.rank()) })
	return out
}

func (p Problem) rank() int {
	switch {
	case p.Severity == Error:
		return 0
	case p.Type == TypeBypass:
		return 1
	case p.Type == TypeNoEffect, p.Type == TypeNotFound:
		return 3
	}
	return 2
}

// Sort orders by source, line and column; problems of one place keep the order
// in which they were found. The sources come in the order of their names, or as
// they are listed in order; a source that is not listed comes last.
func (l List) Sort(order ...string) {
	rank := func(source string) int {
		if i := slices.Index(order, source); i >= 0 {
			return i
		}
		return len(order)
	}
	slices.SortStableFunc(l, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(rank(a.Source), rank(b.Source)), cmp.Compare(a.Source, b.Source),
			cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}
