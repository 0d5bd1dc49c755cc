package cluster

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/outrider-mesh/outrider/test/kit"
	"github.com/outrider-mesh/outrider/test/kube"
)

// module is a Go module below test/cluster/tools and what is built from it.
type module struct {
	dir      string
	pins     *regexp.Regexp // finds the version of what the module pins
	flags    string         // for the linker; VERSION, MAJOR and MINOR are replaced
	programs []program
}

type program struct{ name, pkg string }

// modules lists what test/kube does not build. Each is a module of its own,
// since their requirements disagree.
var modules = []module{
	{"kubernetes", regexp.MustCompile(`k8s\.io/kubernetes (v(\d+)\.(\d+)\.\d+)`),
		"-X k8s.io/component-base/version.gitVersion=VERSION -X k8s.io/component-base/version.gitMajor=MAJOR -X k8s.io/component-base/version.gitMinor=MINOR",
		[]program{
			{"kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler"},
			{"kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"},
			{"kubelet", "k8s.io/kubernetes/cmd/kubelet"},
			{"kube-proxy", "k8s.io/kubernetes/cmd/kube-proxy"},
		}},
	{"containerd", regexp.MustCompile(`github\.com/containerd/containerd/v2 (v(\d+)\.(\d+)\.\d+)`),
		"-X github.com/containerd/containerd/v2/version.Version=VERSION",
		[]program{
			{"containerd", "github.com/containerd/containerd/v2/cmd/containerd"},
			{"containerd-shim-runc-v2", "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2"},
			{"ctr", "github.com/containerd/containerd/v2/cmd/ctr"},
		}},
	{"coredns", regexp.MustCompile(`github\.com/coredns/coredns (v(\d+)\.(\d+)\.\d+)`), "",
		[]program{{"coredns", "github.com/coredns/coredns"}}},
}

// assets are the programs of a cluster: where each is, and the versions of the
// modules by their directories.
type assets struct {
	program map[string]string
	version map[string]string
}

// build returns the programs of a cluster, and builds those that the cache
// lacks: about 14 minutes the first time on 2 cores. Two processes never build
// the same module at once.
func build(ctx context.Context, root string, progress *printer) (assets, error) {
	a := assets{map[string]string{}, map[string]string{}}
	dir, err := kube.Assets(ctx, progress)
	if err != nil {
		return a, err
	}
	for _, name := range []string{"kube-apiserver", "etcd", "kubectl"} {
		a.program[name] = filepath.Join(dir, name)
	}
	for _, m := range modules {
		if err := m.build(ctx, filepath.Join(root, "test/cluster/tools", m.dir), a, progress); err != nil {
			return a, err
		}
	}
	return a, nil
}

// build adds the module's programs and version to a.
func (m module) build(ctx context.Context, tools string, a assets, progress *printer) error {
	fail := func(err error) error { return fmt.Errorf("build from %s: %w", tools, err) }
	base, err := os.UserCacheDir()
	if err != nil {
		return fail(err)
	}
	hash := sha256.New()
	var gomod []byte
	for _, name := range []string{"go.sum", "go.mod"} {
		if gomod, err = os.ReadFile(filepath.Join(tools, name)); err != nil {
			return fail(err)
		}
		_, _ = fmt.Fprintf(hash, "%s %d\n%s", name, len(gomod), gomod)
	}
	_, _ = fmt.Fprintln(hash, runtime.Version(), runtime.GOARCH, m.flags)
	version := m.pins.FindStringSubmatch(string(gomod))
	if version == nil {
		return fail(fmt.Errorf("go.mod matches no %s", m.pins))
	}
	a.version[m.dir] = version[1]
	flags := "-s -w " + strings.NewReplacer("VERSION", version[1], "MAJOR", version[2], "MINOR", version[3]).Replace(m.flags)
	dir := filepath.Join(base, "outrider", m.dir+"-"+hex.EncodeToString(hash.Sum(nil))[:16])
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fail(err)
	}
	for _, p := range m.programs {
		a.program[p.name] = filepath.Join(dir, p.name)
		if executable(a.program[p.name]) {
			continue
		}
		unlock, err := lock(ctx, dir+".lock", true)
		if err != nil {
			return fail(err)
		}
		if !executable(a.program[p.name]) { // checked again: another process may have built it meanwhile
			err = compile(ctx, tools, flags, p.pkg, a.program[p.name], progress)
		}
		_ = unlock.Close()
		if err != nil {
			return fail(err)
		}
	}
	return nil
}

// compile builds one static program beside its place and renames it into it.
func compile(ctx context.Context, dir, flags, pkg, path string, progress *printer) error {
	start, name := time.Now(), filepath.Base(path)
	staged := path + ".new"
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-mod=readonly", "-ldflags", flags, "-o", staged, pkg)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off", "GOOS=linux", "GOARCH="+runtime.GOARCH)
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

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
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

// Exclusive waits until no other test has clusters, and keeps others from
// having any until unlock is called or the process ends.
func Exclusive(ctx context.Context) (unlock func(), err error) {
	if err := os.MkdirAll(Home, 0o755); err != nil {
		return nil, fmt.Errorf("wait for other tests with clusters: %w", err)
	}
	f, err := lock(ctx, filepath.Join(Home, "test.lock"), true)
	if err != nil {
		return nil, fmt.Errorf("wait for other tests with clusters: %w", err)
	}
	return func() { _ = f.Close() }, nil
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
