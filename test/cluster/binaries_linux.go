package cluster

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/outrider-mesh/outrider/test/kit"
	"github.com/outrider-mesh/outrider/test/kube"
	"github.com/outrider-mesh/outrider/test/kube/programs"
)

// assets are the programs of a cluster: where each is, and the versions of what
// they are built from.
type assets struct {
	program             map[string]string
	kubernetes, coreDNS string
}

// build returns the programs of a cluster, and builds those that the cache lacks.
func build(ctx context.Context, progress *printer) (a assets, err error) {
	set, err := programs.Find()
	if err != nil {
		return a, err
	}
	needed := programs.All
	if os.Getenv("KUBEBUILDER_ASSETS") != "" { // which has the server
		needed = slices.DeleteFunc(slices.Clone(needed), func(e programs.Executable) bool { return e.Name == programs.Server.Name })
	}
	if err := set.Build(ctx, progress, needed...); err != nil {
		return a, err
	}
	server, err := kube.Assets(ctx, progress)
	if err != nil {
		return a, err
	}
	a.program = map[string]string{}
	for _, e := range programs.All {
		for _, name := range e.Programs {
			a.program[name] = filepath.Join(set.Dir(e), name)
		}
	}
	for _, name := range programs.Server.Programs {
		a.program[name] = filepath.Join(server, name)
	}
	if a.kubernetes, err = set.Version(programs.Server, "k8s.io/kubernetes"); err == nil {
		a.coreDNS, err = set.Version(programs.CoreDNS, "github.com/coredns/coredns")
	}
	return a, err
}

// compile builds one static program beside its place and renames it into it.
func compile(ctx context.Context, dir, flags, pkg, path string, progress *printer) error {
	start, name := time.Now(), filepath.Base(path)
	staged := path + ".new"
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-mod=readonly", "-ldflags", flags, "-o", staged, pkg)
	cmd.Dir = dir
	cmd.Env = append(programs.Environ(), "GOOS=linux", "GOARCH="+runtime.GOARCH)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	stop := progress.tick("building " + name)
	out, err := cmd.CombinedOutput()
	stop()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, out)
	}
	if took := time.Since(start); took > time.Second {
		progress.say("built %s in %s", name, took.Round(100*time.Millisecond))
	}
	return os.Rename(staged, path)
}

// lock takes an exclusive lock on a file, which it creates; it is released with
// the last process that has the file open. Without wait, a lock that is held is
// the error EWOULDBLOCK.
func lock(ctx context.Context, path string, wait bool) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return f, nil
		}
		if err != syscall.EWOULDBLOCK || !wait {
			_ = f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		select {
		case <-ctx.Done():
			_ = f.Close()
			return nil, ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// printer writes lines of progress, from several goroutines.
type printer struct {
	mu sync.Mutex
	w  interface{ Write([]byte) (int, error) }
}

func (p *printer) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.w.Write(b)
}

func (p *printer) say(format string, args ...any) {
	_, _ = fmt.Fprintf(p, "cluster: "+format+"\n", args...)
}

// tick writes how long something has taken, at intervals, until stopped.
func (p *printer) tick(what string) (stop func()) { return kit.Progress(p, "cluster: "+what) }
