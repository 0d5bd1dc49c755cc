package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"

	"github.com/outrider-mesh/outrider/test/kit"
)

// onTerminal runs the program with its outputs on a terminal of its own, and returns what
// the terminal got.
func onTerminal(t *testing.T, environment []string, args ...string) string {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	kit.Must(t, err)
	defer func() { _ = master.Close() }()
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	kit.Must(t, err)
	kit.Must(t, unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0))
	terminal, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	kit.Must(t, err)
	cmd := program(t, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = append(append(os.Environ(), "TERM=xterm", "NO_COLOR="), environment...), terminal, terminal
	kit.Must(t, cmd.Start())
	_ = terminal.Close()
	var out bytes.Buffer
	_, _ = io.Copy(&out, master) // it fails when the last process with the terminal ends
	_ = cmd.Wait()               // the exit code may be any
	return out.String()
}

// program is the program as a process.
func program(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	kit.Must(t, err)
	name := filepath.Join(t.TempDir(), "kubectl-outrider")
	kit.Must(t, os.Symlink(self, name))
	return exec.Command(name, args...)
}

// TestColors: reports have colors on a terminal, unless NO_COLOR or TERM disables them, and
// nowhere else.
func TestColors(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"edit.yaml": previewMap + "  values: 'global: {proxy: {excludeIPRanges: 10.2.0.0/16}}'\n", "pod.yaml": previewPod} {
		kit.Must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	args := []string{"preview", "-f", filepath.Join(dir, "edit.yaml"), "-f", filepath.Join(dir, "pod.yaml")}
	const colored = "\x1b[33mchanges"
	if got := onTerminal(t, nil, args...); !strings.Contains(got, colored) {
		t.Errorf("on a terminal: %q", got)
	}
	for _, environment := range [][]string{{"NO_COLOR=1"}, {"TERM=dumb"}} {
		if got := onTerminal(t, environment, args...); strings.Contains(got, "\x1b") || !strings.Contains(got, "changes") {
			t.Errorf("with %q: %q", environment, got)
		}
	}
	out, _ := program(t, args...).CombinedOutput() // the exit code is 1: something changes
	if strings.Contains(string(out), "\x1b") || !strings.Contains(string(out), "changes") {
		t.Errorf("not on a terminal: %q", out)
	}
}

// TestProgress: a command that takes more than a second shows on a terminal what it does, in
// a line that it erases, and nothing elsewhere.
func TestProgress(t *testing.T) {
	manifest := filepath.Join(t.TempDir(), "pod.yaml")
	kit.Must(t, os.WriteFile(manifest, []byte(previewPod), 0o600))
	for command, doing := range map[string]string{
		"status -n shop": "reading", "preview -n shop --set a=b": "reading", "explain -n shop web": "reading", "check": "reading", "ranges": "reading",
		"config history": "reading", "uninstall": "reading what is installed", "uninstall --yes": "removing the installation",
		"verify-install -n shop --timeout 3s": "waiting for the webhook", "kube-inject -f " + manifest + " --context there": "reading the settings",
	} {
		t.Run(command, func(t *testing.T) {
			t.Parallel()
			args := append(strings.Fields(command), "--kubeconfig")
			got := onTerminal(t, nil, append(args, slowOnce(t))...)
			shown := strings.LastIndex(got, eraseLine+doing)
			if shown < 0 || strings.LastIndex(got, eraseLine) <= shown {
				t.Errorf("on a terminal: %q", got)
			}
			out, _ := program(t, append(args, slowOnce(t))...).CombinedOutput() // it fails
			if bytes.Contains(out, []byte(doing)) || bytes.Contains(out, []byte("\x1b")) {
				t.Errorf("not on a terminal: %q", out)
			}
		})
	}
}

// slowOnce is the kubeconfig of an API server that responds late to the first request, and
// with an error to all.
func slowOnce(t *testing.T) string {
	t.Helper()
	var first sync.Once
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		first.Do(func() { time.Sleep(progressAfter + time.Second) })
		http.Error(w, "slow", http.StatusInternalServerError)
	}))
	t.Cleanup(slow.Close)
	config := api.NewConfig()
	config.Clusters["there"] = &api.Cluster{Server: slow.URL}
	config.Contexts["there"] = &api.Context{Cluster: "there"}
	config.CurrentContext = "there"
	path := filepath.Join(t.TempDir(), "kubeconfig")
	kit.Must(t, clientcmd.WriteToFile(*config, path))
	return path
}
