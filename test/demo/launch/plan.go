//go:build unix

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/outrider-mesh/outrider/test/kube/programs"
)

// part is something that the demo needs and that is made once.
type part struct {
	what string
	// seconds is the processor time of a build after the parts before it. The figures are
	// measured; a machine may well differ by half.
	seconds float64
	left    float64 // of it, where 0 is cached and 1 is all
	fetch   func(context.Context)
}

// The processor time of each part, in seconds: of the compilers, as `go build
// -debug-actiongraph` reports it for each package, and of the linker.
const (
	outriderSeconds   = 310
	demoSeconds       = 10
	serverSeconds     = 680
	nodeSeconds       = 215
	containerdSeconds = 105
	corednsSeconds    = 115
)

// parts are what this run of the demo needs, in the order in which it is made.
func (l *launch) parts(ctx context.Context) []part {
	list := []part{
		{what: "outrider, and this demo", seconds: outriderSeconds + demoSeconds, left: stale(ctx, l.root, "./cmd/outrider", "./test/demo")},
	}
	whole := (l.on == "either" || l.on == "cluster") && runtime.GOOS == "linux" && os.Geteuid() == 0
	if _, err := exec.LookPath("kubectl"); os.Getenv("KUBEBUILDER_ASSETS") == "" && (l.on != "context" || err != nil) {
		list = append(list, l.kubernetes("Kubernetes: "+strings.Join(programs.Server.Programs, ", "), serverSeconds, programs.Server))
	}
	if whole {
		list = append(list,
			l.kubernetes("Kubernetes: "+strings.Join(programs.Node.Programs, ", "), nodeSeconds, programs.Node),
			l.kubernetes("containerd", containerdSeconds, programs.Containerd, programs.Shim),
			l.kubernetes("CoreDNS", corednsSeconds, programs.CoreDNS),
			part{what: "Envoy (a download of 37 MB)", left: missing(envoyCached())})
	}
	return list
}

func (l *launch) kubernetes(what string, seconds float64, of ...programs.Executable) part {
	return part{what: what, seconds: seconds, left: missing(len(l.set.Missing(of...)) == 0),
		fetch: func(ctx context.Context) { l.set.Prefetch(ctx, of[0]) }}
}

// envoyCached reports whether there is an Envoy. Which version is used, only the product
// has, which is not built yet.
func envoyCached() bool {
	base, err := os.UserCacheDir()
	if err != nil {
		return false
	}
	found, err := filepath.Glob(filepath.Join(base, "outrider", "envoy-*", "envoy"))
	return err == nil && len(found) > 0
}

func missing(cached bool) float64 {
	if cached {
		return 0
	}
	return 1
}

// stale is the share of the packages that Go has to compile. Where modules are missing it
// is all of them.
func stale(ctx context.Context, dir string, packages ...string) float64 {
	cmd := exec.CommandContext(ctx, "go", append([]string{"list", "-trimpath", "-deps", "-f", "{{.Stale}}"}, packages...)...)
	cmd.Dir, cmd.Env = dir, append(programs.Environ(), "GOPROXY=off")
	out, err := cmd.Output()
	if err != nil || len(out) == 0 {
		return 1
	}
	return float64(strings.Count(string(out), "true\n")) / float64(strings.Count(string(out), "\n"))
}

func cores() int { return runtime.GOMAXPROCS(0) }

// demoItself is how long the demo takes with everything built.
const demoItself = time.Minute

// plan is the table of the parts, for a number of cores.
func plan(parts []part, cores int) string {
	var b strings.Builder
	_, _ = fmt.Fprintf(&b, "What the demo needs, and how long it takes to build on the %s of this machine while nothing else\nruns on them. It is built once, and kept in %s and in Go's cache:\n\n", count(cores, "core"), cacheDir())
	width, total := len("the demo itself"), demoItself
	for _, p := range parts {
		width = max(width, len(p.what))
	}
	row := func(what, takes string) { _, _ = fmt.Fprintf(&b, "  %-*s  %s\n", width, what, takes) }
	for _, p := range parts {
		takes := p.takes(cores)
		total += takes
		switch {
		case p.left == 0:
			row(p.what, "cached")
		case p.seconds == 0:
			row(p.what, "while others are built")
		default:
			row(p.what, "about "+minutes(takes))
		}
	}
	row("the demo itself", "about "+minutes(demoItself))
	row("in total", "about "+minutes(total))
	b.WriteString("\n")
	return b.String()
}

// takes is the time that the part takes on so many cores. A link is one thread's work, and
// the packages that all others wait for are, too: more than 8 cores do not help.
func (p part) takes(cores int) time.Duration {
	return time.Duration(p.left * p.seconds / float64(min(cores, 8)) * float64(time.Second))
}

func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprint(n, " ", what)
}

// minutes is a duration as text.
func minutes(d time.Duration) string {
	if d < time.Minute {
		return count(max(1, int(d.Round(time.Second)/time.Second)), "second")
	}
	if tenths := d.Round(6 * time.Second); tenths < 10*time.Minute && tenths%time.Minute != 0 {
		return fmt.Sprintf("%.1f minutes", tenths.Minutes())
	}
	return count(int(d.Round(time.Minute)/time.Minute), "minute")
}

func cacheDir() string {
	base, err := os.UserCacheDir()
	if err != nil {
		return "your cache directory"
	}
	if home, err := os.UserHomeDir(); err == nil {
		if below, ok := strings.CutPrefix(base, home+string(filepath.Separator)); ok {
			base = filepath.Join("~", below)
		}
	}
	return filepath.Join(base, "outrider")
}
