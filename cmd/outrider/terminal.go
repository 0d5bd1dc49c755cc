package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// isTerminal reports whether w is a terminal.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && f.Name() != os.DevNull
}

// coloured reports whether w is a terminal and colours are not disabled
// (https://no-color.org).
func coloured(w io.Writer) bool {
	return isTerminal(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// The times of a progress line: after the first one the user would wonder, the second one
// is how often it changes.
const (
	progressAfter = time.Second
	progressEvery = 200 * time.Millisecond
)

// progress shows on a terminal what a command is doing, from a second on, in one line that
// is erased at the end. Elsewhere it shows nothing.
type progress struct {
	out     io.Writer
	once    sync.Once
	stopped chan struct{}
	ended   chan struct{}

	mu    sync.Mutex
	what  string
	n     int
	shown string
}

// newProgress begins; stop ends it.
func newProgress(out io.Writer) *progress {
	p := &progress{out: out, stopped: make(chan struct{}), ended: make(chan struct{})}
	if isTerminal(out) && os.Getenv("TERM") != "dumb" {
		go p.show()
	} else {
		close(p.ended)
	}
	return p
}

// at is what the command does now, and how many of them it has done.
func (p *progress) at(what string, n int) {
	p.mu.Lock()
	p.what, p.n = what, n
	p.mu.Unlock()
}

// stop erases the line. It may be called again.
func (p *progress) stop() {
	p.once.Do(func() { close(p.stopped) })
	<-p.ended
}

// The sequences of a terminal that begin the line again, and erase it.
const eraseLine = "\r\x1b[K"

func (p *progress) show() {
	defer close(p.ended)
	for wait := progressAfter; ; wait = progressEvery {
		select {
		case <-p.stopped:
			p.replace("")
			return
		case <-time.After(wait):
		}
		p.replace(p.line())
	}
}

// replace shows a line in place of the one that is shown.
func (p *progress) replace(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if line != p.shown {
		fmt.Fprint(p.out, eraseLine+line)
		p.shown = line
	}
}

// above is out for a command that prints while it works: the line of progress is erased
// first, and is shown again below.
func (p *progress) above(out io.Writer) io.Writer { return above{p, out} }

type above struct {
	p   *progress
	out io.Writer
}

func (a above) Write(b []byte) (int, error) {
	a.p.replace("")
	return a.out.Write(b)
}

func (p *progress) line() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.what == "":
		return ""
	case p.n > 0:
		return fmt.Sprintf("%s: %d...", p.what, p.n)
	default:
		return p.what + "..."
	}
}
