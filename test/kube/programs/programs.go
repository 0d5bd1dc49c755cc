package programs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/outrider-mesh/outrider/test/cache"
	"github.com/outrider-mesh/outrider/test/kit"
)

// Executable is one file that is linked, and the programs that it is.
type Executable struct {
	Name string
	// Programs are the names that it is started by.
	Programs []string
	module   string // its directory in the checkout
	pkg      string
}

const kubernetes, containerd = "test/kube/tools", "test/cluster/tools/containerd"

// The executables, in the order in which they are built: what a server alone needs is
// ready first.
var (
	Server     = Executable{"server", []string{"kube-apiserver", "etcd", "kubectl"}, kubernetes, "./server"}
	Node       = Executable{"node", []string{"kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy"}, kubernetes, "./node"}
	Containerd = Executable{"containerd", []string{"containerd", "ctr"}, containerd, "./containerd"}
	// The shim is not containerd, since one is started for every pod.
	Shim    = Executable{"containerd-shim-runc-v2", []string{"containerd-shim-runc-v2"}, containerd, "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2"}
	CoreDNS = Executable{"coredns", []string{"coredns"}, "test/cluster/tools/coredns", "."}
)

// All are the executables of a cluster.
var All = []Executable{Server, Node, Containerd, Shim, CoreDNS}

// Set is the programs that a checkout pins, as this Go version builds them for this
// platform.
type Set struct{ modules map[string]*module }

// module is where executables are built from, and kept.
type module struct{ tools, gomod, dir string }

// Find returns the set of the checkout that the working directory is in.
func Find() (*Set, error) {
	root, err := kit.Checkout()
	if err != nil {
		return nil, fmt.Errorf("find the programs of Kubernetes: %w", err)
	}
	base, err := os.UserCacheDir()
	if err != nil {
		return nil, fmt.Errorf("find the cache for the programs of Kubernetes: %w", err)
	}
	return find(root, filepath.Join(base, "outrider"), All...)
}

func find(root, base string, of ...Executable) (*Set, error) {
	s := &Set{modules: map[string]*module{}}
	for _, e := range of {
		if s.modules[e.module] != nil {
			continue
		}
		m, err := findModule(filepath.Join(root, filepath.FromSlash(e.module)), base)
		if err != nil {
			return nil, fmt.Errorf("find the programs of Kubernetes: %w", err)
		}
		s.modules[e.module] = m
	}
	return s, nil
}

// findModule reads all that a build depends on, and names the directory after it.
func findModule(tools, base string) (*module, error) {
	m := &module{tools: tools}
	h := sha256.New()
	err := filepath.WalkDir(tools, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(tools, path)
		if err != nil {
			return err
		}
		if name == "go.mod" {
			m.gomod = string(data)
		}
		_, _ = fmt.Fprintf(h, "%s %d\n%s", filepath.ToSlash(name), len(data), data)
		return nil
	})
	if err != nil {
		return nil, err
	}
	_, _ = fmt.Fprintln(h, runtime.Version(), runtime.GOOS, runtime.GOARCH, All, linkerFlags)
	m.dir = filepath.Join(base, filepath.Base(strings.TrimSuffix(tools, string(filepath.Separator)+"tools"))+"-"+hex.EncodeToString(h.Sum(nil))[:16])
	return m, nil
}

// Dir is the directory that an executable and its programs are in, or will be.
func (s *Set) Dir(e Executable) string { return s.modules[e.module].dir }

// Version is the version that an executable's module pins of another module, such as
// "v1.37.2" of k8s.io/kubernetes.
func (s *Set) Version(e Executable, of string) (string, error) {
	m := s.modules[e.module]
	v := requirement(m.gomod, of)
	if v == "" {
		return "", fmt.Errorf("read the version of %s: %s does not require it", of, filepath.Join(m.tools, "go.mod"))
	}
	return v, nil
}

func requirement(gomod, of string) string {
	v := regexp.MustCompile(`(?m)^\s*(?:require )?` + regexp.QuoteMeta(of) + ` (v\S+)`).FindStringSubmatch(gomod)
	if v == nil {
		return ""
	}
	return v[1]
}

// Missing are the executables that are still to be built.
func (s *Set) Missing(of ...Executable) []Executable {
	return slices.DeleteFunc(slices.Clone(of), func(e Executable) bool {
		return !slices.ContainsFunc(append([]string{e.Name}, e.Programs...), func(name string) bool {
			return !executable(filepath.Join(s.Dir(e), name))
		})
	})
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// Build builds those executables that are missing. Progress is written a line at a time
// to progress.
func (s *Set) Build(ctx context.Context, progress io.Writer, of ...Executable) error {
	if of = s.Missing(of...); len(of) == 0 {
		return nil
	}
	fail := func(err error) error { return fmt.Errorf("build the programs of Kubernetes: %w", err) }
	if _, err := exec.LookPath("go"); err != nil {
		return fail(fmt.Errorf("%w; install Go", err))
	}
	for len(of) > 0 {
		m := s.modules[of[0].module]
		other := func(e Executable) bool { return e.module != of[0].module }
		same := slices.DeleteFunc(slices.Clone(of), other)
		err := cache.Once(ctx, m.dir, func() bool { return len(s.Missing(same...)) == 0 },
			func() { _, _ = fmt.Fprintln(progress, "kubernetes: another process is building; waiting for it") },
			func() error { return m.build(ctx, progress, s.Missing(same...)) })
		if err != nil {
			return fail(err)
		}
		of = slices.DeleteFunc(of, func(e Executable) bool { return e.module == same[0].module })
	}
	return nil
}

// build has one go command build all, beside their places, so that one is linked while
// another is compiled, and then puts them into place.
func (m *module) build(ctx context.Context, progress io.Writer, of []Executable) error {
	stage, err := os.MkdirTemp(m.dir, ".build-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(stage) }()
	args := []string{"build", "-trimpath", "-buildvcs=false", "-mod=readonly", "-ldflags", m.linkerFlags(), "-o", stage + string(filepath.Separator)}
	var names []string
	for _, e := range of {
		args = append(args, e.pkg)
		names = append(names, e.Programs...)
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = m.tools
	cmd.Env = append(Environ(), "GOOS="+runtime.GOOS, "GOARCH="+runtime.GOARCH)
	// An interrupt lets the go command take its compilers down with it.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second

	what, start := "kubernetes: building "+strings.Join(names, ", "), time.Now()
	_, _ = fmt.Fprintln(progress, what)
	stop := kit.Progress(progress, what)
	out, err := cmd.CombinedOutput()
	stop()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("in %s: %w\n%s", m.tools, err, out)
	}
	for _, e := range of {
		if err := place(stage, m.dir, e); err != nil {
			return err
		}
	}
	_, _ = fmt.Fprintf(progress, "kubernetes: built %d programs in %s\n", len(names), time.Since(start).Round(time.Second))
	return nil
}

// place moves an executable to where it is used, the links last: a program that is there
// is whole.
func place(stage, dir string, e Executable) error {
	if err := os.Rename(filepath.Join(stage, e.Name), filepath.Join(dir, e.Name)); err != nil {
		return err
	}
	for _, name := range e.Programs {
		if name == e.Name {
			continue
		}
		link := filepath.Join(stage, name)
		if err := os.Symlink(e.Name, link); err != nil {
			return err
		}
		if err := os.Rename(link, filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

const linkerFlags = "-s -w -X k8s.io/component-base/version.gitVersion=KUBERNETES" +
	" -X k8s.io/component-base/version.gitMajor=MAJOR -X k8s.io/component-base/version.gitMinor=MINOR" +
	" -X github.com/containerd/containerd/v2/version.Version=CONTAINERD"

// linkerFlags strips the executables and sets the versions that they were built from,
// which a build of a plain module does not have: Kubernetes would report v0.0.0, and
// clients then do not guess what the server can do.
func (m *module) linkerFlags() string {
	version := requirement(m.gomod, "k8s.io/kubernetes")
	part := append(strings.SplitN(strings.TrimPrefix(version, "v"), ".", 3), "", "")
	return strings.NewReplacer("KUBERNETES", version, "MAJOR", part[0], "MINOR", part[1],
		"CONTAINERD", requirement(m.gomod, "github.com/containerd/containerd/v2")).Replace(linkerFlags)
}

// Prefetch downloads the modules that a build of an executable needs, without using the
// processor much: other builds may go on meanwhile. An error is that of the build, later.
func (s *Set) Prefetch(ctx context.Context, e Executable) {
	cmd := exec.CommandContext(ctx, "go", "list", "-mod=readonly", "-deps", "-f", "{{.ImportPath}}", e.pkg)
	cmd.Dir, cmd.Env = s.modules[e.module].tools, Environ()
	_ = cmd.Run()
}
