package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
)

// screen writes the output of the demo.
type screen struct {
	mu       sync.Mutex
	w        io.Writer
	coloured bool
}

// The styles, as SGR parameters.
const (
	bold   = "1"
	faint  = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
	cyan   = "36"
)

func newScreen(w io.Writer, coloured bool) *screen { return &screen{w: w, coloured: coloured} }

// colours reports whether f is a terminal and colours are not disabled
// (https://no-color.org).
func colours(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

func (s *screen) styled(style, text string) string {
	if !s.coloured || style == "" || text == "" {
		return text
	}
	return "\x1b[" + style + "m" + text + "\x1b[0m"
}

func (s *screen) line(style, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _ = fmt.Fprintln(s.w, s.styled(style, text))
}

func (s *screen) heading(n, of int, title string) {
	s.line("", "")
	s.line(bold, fmt.Sprintf("%d/%d  %s", n, of, title))
	s.line("", "")
}

// say prints a sentence of the demo itself.
func (s *screen) say(format string, args ...any) { s.line("", fmt.Sprintf(format, args...)) }

// aside is a remark that may be skipped.
func (s *screen) aside(format string, args ...any) {
	s.line(faint, "("+fmt.Sprintf(format, args...)+")")
}

// command shows a command line as typed.
func (s *screen) command(line string) { s.line(cyan, "$ "+line) }

// check reports a verified result.
func (s *screen) check(format string, args ...any) {
	s.line(green, "ok: "+fmt.Sprintf(format, args...))
}

// table writes rows with the columns aligned.
func (s *screen) table(rows [][]string) {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], len(cell))
		}
	}
	for n, row := range rows {
		var b strings.Builder
		for i, cell := range row {
			fmt.Fprintf(&b, "  %-*s", widths[i], cell)
		}
		style := ""
		if n == 0 {
			style = faint
		}
		s.line(style, strings.TrimRight(b.String(), " "))
	}
}

// output is a writer for what a program prints, line by line in one style.
func (s *screen) output(style string) *lines { return &lines{screen: s, style: style} }

// lines buffers text until its line is complete.
type lines struct {
	*screen
	style string
	rest  string
	all   strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.all.Write(p)
	l.rest += string(p)
	for {
		line, rest, whole := strings.Cut(l.rest, "\n")
		if !whole {
			return len(p), nil
		}
		l.line(l.style, line)
		l.rest = rest
	}
}

// flush writes a last line that lacks its end.
func (l *lines) flush() {
	if l.rest != "" {
		l.line(l.style, l.rest)
		l.rest = ""
	}
}
