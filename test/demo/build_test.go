//go:build unix

package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestBuild_OutputIsNoFailure: on a machine without the modules, go lists on standard
// error what it downloads. That is no failure; another exit code is one.
func TestBuild_OutputIsNoFailure(t *testing.T) {
	for _, c := range []struct{ script, want string }{
		{"echo 'go: downloading example.com/a v1.0.0' >&2", ""},
		{"echo 'no such module' >&2; exit 1", "no such module"},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "go"), []byte("#!/bin/sh\n"+c.script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		d := &demo{screen: newScreen(io.Discard, false), root: dir, env: []string{"PATH=" + dir, "WORK=" + dir}}
		err := d.build(t.Context())
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.script, err, c.want)
		}
	}
}
