package kube

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAssetsFromEnvironment(t *testing.T) {
	full, partial := t.TempDir(), t.TempDir()
	for _, b := range binaries {
		write(t, filepath.Join(full, b.name), 0o755)
	}
	write(t, filepath.Join(partial, "etcd"), 0o755)
	write(t, filepath.Join(partial, "kubectl"), 0o644) // there, but nothing to run

	t.Setenv(assetsEnv, full)
	if dir, err := Assets(t.Context(), nil); dir != full || err != nil {
		t.Errorf("Assets = %q, %v; want %q", dir, err, full)
	}
	t.Setenv(assetsEnv, partial)
	_, err := Assets(t.Context(), nil)
	for _, want := range []string{assetsEnv, partial, "no kube-apiserver, kubectl;"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not contain %q", err, want)
		}
	}
}

func TestAssetsOutsideACheckout(t *testing.T) {
	t.Setenv(assetsEnv, "")
	t.Chdir(t.TempDir())
	if _, err := Assets(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "inside the checkout") {
		t.Errorf("error %v, want one with the directory to run in", err)
	}
}

func TestCacheDir_DependsOnModuleFiles(t *testing.T) {
	tools := t.TempDir()
	seen := map[string]string{}
	for _, change := range []struct{ what, mod, sum string }{
		{"the first pins", "module m\n", "a\n"},
		{"another go.mod", "module n\n", "a\n"},
		{"another go.sum", "module m\n", "b\n"},
		{"a line moved from one to the other", "module m\na\n", ""},
	} {
		writeText(t, filepath.Join(tools, "go.mod"), change.mod)
		writeText(t, filepath.Join(tools, "go.sum"), change.sum)
		dir, err := cacheDir(tools)
		if err != nil {
			t.Fatal(err)
		}
		if other, ok := seen[dir]; ok {
			t.Errorf("%s and %s share a cache", change.what, other)
		}
		seen[dir] = change.what
		if again, _ := cacheDir(tools); again != dir {
			t.Errorf("%s: %s, then %s", change.what, dir, again)
		}
	}
}

func TestLinkerFlags(t *testing.T) {
	tools, err := findTools()
	if err != nil {
		t.Fatal(err)
	}
	flags, err := linkerFlags(tools)
	if err != nil || !strings.Contains(flags, ".gitVersion=v1.") || !strings.Contains(flags, ".gitMajor=1 ") {
		t.Errorf("flags for the pinned version: %q, %v", flags, err)
	}
	other := t.TempDir()
	writeText(t, filepath.Join(other, "go.mod"), "module m\n\nrequire k8s.io/kubernetes v1.99.3 // indirect\n")
	flags, err = linkerFlags(other)
	if err != nil || !strings.HasSuffix(flags, ".gitVersion=v1.99.3 -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=99") {
		t.Errorf("flags = %q, %v", flags, err)
	}
	writeText(t, filepath.Join(other, "go.mod"), "module m\n\nrequire k8s.io/kubernetes-models v1.99.3\n")
	if flags, err := linkerFlags(other); err == nil {
		t.Errorf("flags without a Kubernetes: %q", flags)
	}
}

// A build that fails names the binary and repeats the compiler, and leaves
// neither a half-made file nor a stage.
func TestBuildFailure(t *testing.T) {
	tools, dir := t.TempDir(), t.TempDir()
	writeText(t, filepath.Join(tools, "go.mod"), "module m\n\nrequire k8s.io/kubernetes v1.99.3\n")
	var progress bytes.Buffer
	err := buildMissing(t.Context(), tools, dir, &progress)
	if err == nil || !strings.HasPrefix(err.Error(), "build kube-apiserver in ") || !strings.Contains(err.Error(), "\n") {
		t.Errorf("error %v, want the binary and the compiler's words", err)
	}
	if !strings.Contains(progress.String(), "kube: building kube-apiserver (1 of 3)\n") {
		t.Errorf("progress: %q", progress.String())
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestNamespaceName(t *testing.T) {
	for test, want := range map[string]string{
		"TestPods/first":                    "testpods-first-",
		"Test_Ünïcode/--":                   "test--n-code-",
		"Test" + strings.Repeat("Long", 20): "test" + strings.Repeat("long", 9) + "-",
	} {
		got := namespaceName(test)
		if !strings.HasPrefix(got, want) || len(got) != len(want)+6 {
			t.Errorf("%s: %q, want %q and six characters", test, got, want)
		}
		if got == namespaceName(test) {
			t.Errorf("%s: the same name twice", test)
		}
	}
}

func write(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"), mode); err != nil {
		t.Fatal(err)
	}
}

func writeText(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
