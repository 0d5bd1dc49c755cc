package kube

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/outrider-mesh/outrider/test/kube/programs"
)

func TestAssetsFromEnvironment(t *testing.T) {
	full, partial := t.TempDir(), t.TempDir()
	for _, name := range programs.Server.Programs {
		write(t, filepath.Join(full, name), 0o755)
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
	_, err := Assets(t.Context(), nil)
	for _, want := range []string{"inside the checkout", assetsEnv} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one that contains %q", err, want)
		}
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
