package programs

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const pins = "module m\n\nrequire (\n\tk8s.io/kubernetes v1.99.3 // indirect\n\tgithub.com/containerd/containerd/v2 v2.8.1\n)\n"

func TestFind_DependsOnTheModule(t *testing.T) {
	root := t.TempDir()
	tools := filepath.Join(root, "test", "kube", "tools")
	seen := map[string]string{}
	for _, change := range []struct{ what, mod, sum, main string }{
		{"the first pins", "module m\n", "a\n", "package main\n"},
		{"another go.mod", "module n\n", "a\n", "package main\n"},
		{"another go.sum", "module m\n", "b\n", "package main\n"},
		{"a line moved from one to the other", "module m\na\n", "", "package main\n"},
		{"another program", "module m\n", "a\n", "package main // changed\n"},
	} {
		write(t, filepath.Join(tools, "go.mod"), change.mod)
		write(t, filepath.Join(tools, "go.sum"), change.sum)
		write(t, filepath.Join(tools, "server", "main.go"), change.main)
		s, err := find(root, "/cache", Server, Node)
		if err != nil {
			t.Fatal(err)
		}
		dir := s.Dir(Server)
		if other, ok := seen[dir]; ok {
			t.Errorf("%s and %s share a cache", change.what, other)
		}
		seen[dir] = change.what
		if again, _ := find(root, "/cache", Server); again.Dir(Server) != dir || s.Dir(Node) != dir || !strings.HasPrefix(dir, "/cache/kube-") {
			t.Errorf("%s: %s, then %s, and %s for the node", change.what, dir, again.Dir(Server), s.Dir(Node))
		}
	}
}

func TestLinkerFlags(t *testing.T) {
	const want = "-s -w -X k8s.io/component-base/version.gitVersion=v1.99.3 -X k8s.io/component-base/version.gitMajor=1" +
		" -X k8s.io/component-base/version.gitMinor=99 -X github.com/containerd/containerd/v2/version.Version=v2.8.1"
	if flags := (&module{gomod: pins}).linkerFlags(); flags != want {
		t.Errorf("flags = %q", flags)
	}
	s, err := Find()
	if err != nil {
		t.Fatal(err)
	}
	for _, pin := range []struct {
		by Executable
		of string
	}{{Server, "k8s.io/kubernetes"}, {Server, "go.etcd.io/etcd/server/v3"}, {Containerd, "github.com/containerd/containerd/v2"}, {CoreDNS, "github.com/coredns/coredns"}} {
		if v, err := s.Version(pin.by, pin.of); err != nil || !strings.Contains(v, ".") {
			t.Errorf("%s: %q, %v", pin.of, v, err)
		}
	}
	if v, err := s.Version(Server, "k8s.io/kubernetes-models"); err == nil {
		t.Errorf("version %q of a module that is not required", v)
	}
}

// moduleOf is a set whose executables have all one source.
func moduleOf(t *testing.T, source string, of ...Executable) *Set {
	t.Helper()
	root := t.TempDir()
	for _, e := range of {
		tools := filepath.Join(root, filepath.FromSlash(e.module))
		write(t, filepath.Join(tools, "go.mod"), "module m/"+e.Name+"\n")
		write(t, filepath.Join(tools, e.pkg, "main.go"), source)
	}
	s, err := find(root, t.TempDir(), of...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A build that fails repeats the compiler, and leaves neither a half-made file nor a
// stage.
func TestBuildFailure(t *testing.T) {
	s := moduleOf(t, "package main\n\nfunc main() { nothing() }\n", Server)
	var progress bytes.Buffer
	err := s.Build(t.Context(), &progress, Server)
	if err == nil || !strings.Contains(err.Error(), filepath.FromSlash(kubernetes)) || !strings.Contains(err.Error(), "undefined: nothing") {
		t.Errorf("error %v, want the module and the compiler's words", err)
	}
	if !strings.Contains(progress.String(), "kubernetes: building kube-apiserver, etcd, kubectl\n") {
		t.Errorf("progress: %q", progress.String())
	}
	left, err := os.ReadDir(s.Dir(Server))
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// Several programs are one file, and only what is missing is built.
func TestBuild(t *testing.T) {
	s := moduleOf(t, "package main\n\nfunc main() {}\n", Server, CoreDNS)
	var progress bytes.Buffer
	if err := s.Build(t.Context(), &progress, CoreDNS); err != nil {
		t.Fatal(err)
	}
	if got := s.Missing(Server, CoreDNS); len(got) != 1 || got[0].Name != Server.Name {
		t.Errorf("missing %v, want the server", got)
	}
	for range 2 {
		if err := s.Build(t.Context(), &progress, Server, CoreDNS); err != nil {
			t.Fatal(err)
		}
	}
	if n := strings.Count(progress.String(), "building"); n != 2 || len(s.Missing(Server, CoreDNS)) != 0 {
		t.Errorf("%d builds, missing %v: %s", n, s.Missing(Server, CoreDNS), progress.String())
	}
	for _, name := range Server.Programs {
		if target, err := os.Readlink(filepath.Join(s.Dir(Server), name)); err != nil || target != Server.Name {
			t.Errorf("%s is a link to %q: %v", name, target, err)
		}
	}
}

func TestCompilerGOGC(t *testing.T) {
	for gigabytes, want := range map[int64]string{0: "", 4: "", 6: "200", 16: "400"} {
		if got := compilerGOGC(gigabytes << 30); got != want {
			t.Errorf("%d GB: %q, want %q", gigabytes, got, want)
		}
	}
	if _, err := os.Stat("/proc/meminfo"); err == nil && available() < 1<<20 {
		t.Errorf("%d bytes are available", available())
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = os.WriteFile(path, []byte(text), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}
