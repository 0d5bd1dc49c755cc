package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/aymanbagabas/go-udiff"
)

// contextLines is how many unchanged lines a hunk has around it, as usual.
const contextLines = 3

// differ prints the changes of one file as a unified diff, document by document,
// so that only one is in memory.
type differ struct {
	w       io.Writer
	name    string
	started bool
}

// replaced prints the hunks of one document. line and newLine are the lines on
// which its text starts, before and after.
func (d *differ) replaced(before, after string, line, newLine int) error {
	edits := udiff.Lines(before, after)
	diff, err := udiff.ToUnifiedDiff("", "", before, edits, contextLines)
	if err != nil {
		return fmt.Errorf("compute diff: %w", err)
	}
	var b strings.Builder
	if !d.started {
		d.started = true
		fmt.Fprintf(&b, "--- %s.orig\n+++ %s\n", d.name, d.name)
	}
	for _, h := range diff.Hunks {
		from, to := 0, 0
		for _, l := range h.Lines {
			if l.Kind != udiff.Insert {
				from++
			}
			if l.Kind != udiff.Delete {
				to++
			}
		}
		fmt.Fprintf(&b, "@@ -%d,%d +%d,%d @@\n", h.FromLine+line-1, from, h.ToLine+newLine-1, to)
		for _, l := range h.Lines {
			sign := map[udiff.OpKind]string{udiff.Delete: "-", udiff.Insert: "+", udiff.Equal: " "}[l.Kind]
			b.WriteString(sign + l.Content)
			if !strings.HasSuffix(l.Content, "\n") {
				b.WriteString("\n\\ No newline at end of file\n")
			}
		}
	}
	_, err = io.WriteString(d.w, b.String())
	return err
}
