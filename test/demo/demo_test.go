//go:build unix

package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	clusters "github.com/outrider-mesh/outrider/test/cluster"
	"github.com/outrider-mesh/outrider/test/kube"
	"github.com/outrider-mesh/outrider/test/page"
)

// asDemo makes the test binary the demo itself, so that the tests can start and
// interrupt it as a process.
const asDemo = "OUTRIDER_TEST_AS_DEMO"

func TestMain(m *testing.M) {
	if os.Getenv(asDemo) == "1" {
		main()
	}
	os.Exit(kube.Main(m))
}

// requireServers skips where the servers cannot be had, and fails there with
// REQUIRE_REAL=1. The demo itself has no such way out.
func requireServers(t *testing.T) {
	t.Helper()
	required := os.Getenv("REQUIRE_REAL") == "1"
	if testing.Short() && !required {
		t.Skip("needs a real API server; omitted with -short")
	}
	if _, err := kube.Assets(t.Context(), os.Stderr); err != nil {
		if required {
			t.Fatalf("REQUIRE_REAL=1 and no real API server: %v", err)
		}
		t.Skipf("no real API server (REQUIRE_REAL=1 makes this a failure): %v", err)
	}
}

// command is the demo as a child with a process group and a directory for
// temporary files of its own.
func command(ctx context.Context, name string, args ...string) (cmd *exec.Cmd, temporary string, err error) {
	temporary, err = os.MkdirTemp("", "outrider-demo-test-")
	cmd = exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), asDemo+"=1", "TMPDIR="+temporary)
	cmd.SysProcAttr = ownGroup()
	return cmd, temporary, err
}

// nothingLeft waits until no process names the directory in its command line
// and nothing is in it.
func nothingLeft(t *testing.T, dir string, killed bool) {
	t.Helper()
	var left []string
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		left, _ = filepath.Glob(filepath.Join(dir, "*"))
		// envtest makes this one outside the server's directory, where the guard
		// of a killed demo does not look; an orderly end removes it.
		left = slices.DeleteFunc(left, func(path string) bool {
			return killed && strings.HasPrefix(filepath.Base(path), "envtest-serving-certs-")
		})
		lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
		for _, file := range lines {
			if text, err := os.ReadFile(file); err == nil && bytes.Contains(text, []byte(dir)) {
				left = append(left, string(bytes.ReplaceAll(text, []byte{0}, []byte{' '})))
			}
		}
		if len(left) == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Errorf("left behind:\n%s", strings.Join(left, "\n"))
			break
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Error(err)
	}
}

// expected are lines of the demo, or parts of them, in their order.
var expected = []string{
	"1/10 ", "$ kubectl apply -f samples/configuration.yaml", "$ outrider serve ", "ok: the API server calls the webhook over HTTPS",
	"2/10 ", "$ kubectl apply -f samples/sleep/sleep.yaml", "a bare API server has no controller manager", "ok: pods in a namespace without the label",
	"3/10 ", "$ kubectl label namespace default istio-injection=enabled",
	"  +   istio-proxy ", "uid 1337, no capabilities", "  +   istio-init ", `-m REDIRECT -i "*" -x ""`, "uid 0, NET_ADMIN only",
	"      sleep ", "ok: the pod has its sidecar and is otherwise unchanged",
	"4/10 ", "includeOutboundIPRanges  *       ConfigMap istio-sidecar-injector values global.proxy.includeIPRanges", "ok: ",
	"5/10 ", "kubectl replace -f -", "Applied after ", "excludeOutboundIPRanges  (none) ", "excludeOutboundIPRanges  198.51.100.1/32,203.0.113.0/24 ", "ok: ",
	"6/10 ", "denied the request: ConfigMap istio-system/istio-sidecar-injector: 2 problems", "key \"values\":4:22", "ok: all errors", "ok: fixed",
	"7/10 ", "192.0.2.0/24  annotation traffic.sidecar.istio.io/excludeOutboundIPRanges", "ok: ",
	"8/10 ", "denied the request: 2 problems", "use 192.168.0.0/16", "ok: ",
	"9/10 ", "Warning: annotation", "move it to spec.template.metadata.annotations", "ok: ",
	"10/10 ", "$ outrider kube-inject -f samples/sleep/sleep.yaml", "All 44 lines of the sample", "ok: its pod equals the webhook's",
	"Stopped outrider, kube-apiserver and etcd", "All results verified",
}

// expectedOnCluster are those on a real cluster. What it shares with the above is
// in expected.
var expectedOnCluster = []string{
	"Running on a real one-node cluster",
	"1/13 ", "$ kubectl apply -f deploy/", "ok: the API server calls the webhook over HTTPS",
	"2/13 ", "1/1 ", "ok: pods in a namespace without the label",
	"3/13 ", "$ kubectl label namespace default istio-injection=enabled", "2/2 ", "ok: the pod has its sidecar and is otherwise unchanged",
	"4/13 ", "ok: ",
	"5/13 ", "HTTP/2 200", "PassthroughCluster", "ok: the request succeeds, and is in the sidecar's access log",
	"6/13 ", "REGISTRY_ONLY", "502", "ok: an undeclared host is blocked", "kind: ServiceEntry", `"X-Envoy-`, "outbound|80||httpbin.org",
	"ok: the declared host is reachable", "kind: VirtualService", "504", "ok: a request of 5 s times out after 3 s",
	"7/13 ", "excludeOutboundIPRanges  198.51.100.1/32,203.0.113.0/24 ", "ok: ",
	"8/13 ", `"X-Request-Id"`, " kubernetes.default ", "bypassed (excluded range)", "ok: the new pod's request bypassed the sidecar",
	"9/13 ", "denied the request", "ok: all errors", "ok: fixed",
	"10/13 ", "ok: ", "11/13 ", "denied the request: 2 problems", "ok: ", "12/13 ", "ok: ",
	"13/13 ", "ok: its pod equals the webhook's",
	"Stopped the cluster and removed its files", "All results verified",
}

func TestDemo(t *testing.T) {
	requireServers(t)
	cmd, temporary, err := command(t.Context(), os.Args[0], "-on=server")
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.CombinedOutput()
	nothingLeft(t, temporary, false)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	inOrder(t, string(out), expected)
	if strings.Contains(string(out), "\x1b") {
		t.Error("colours in output that is not a terminal")
	}
}

// inOrder looks for texts in what the demo printed.
func inOrder(t *testing.T, out string, texts []string) {
	t.Helper()
	rest := out
	for _, text := range texts {
		_, after, ok := strings.Cut(rest, text)
		if !ok {
			t.Fatalf("%q is not in this place of:\n%s", text, out)
		}
		rest = after
	}
}

// TestDemoOnCluster runs the demo with the default -on=either where a cluster is
// available.
func TestDemoOnCluster(t *testing.T) {
	clusters.Require(t, testCluster)
	cmd, temporary, err := command(t.Context(), os.Args[0], "-name="+testCluster)
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.CombinedOutput()
	nothingLeft(t, temporary, false)
	noCluster(t)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	inOrder(t, string(out), expectedOnCluster)
	excerpts(t, string(out))
}

// testCluster is not the cluster of a person's demo.
const testCluster = "test-demo"

// noCluster waits until the demo's cluster has gone with the demo.
func noCluster(t *testing.T) {
	t.Helper()
	c, err := clusters.Find(testCluster)
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		var status strings.Builder
		err := c.Status(t.Context(), &status)
		if err == nil && status.String() == "cluster "+testCluster+" is down\n" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the demo's cluster outlives it: %s%v", status.String(), err)
		}
	}
}

// TestInterruptedOnCluster interrupts the demo once its cluster is up; with -whole, once
// it has pods of its own there.
func TestInterruptedOnCluster(t *testing.T) {
	clusters.Require(t, testCluster)
	cmd, temporary, err := command(t.Context(), os.Args[0], "-on=cluster", "-name="+testCluster)
	if err != nil {
		t.Fatal(err)
	}
	step := "1/13 "
	if *whole {
		step = "3/13 "
	}
	shown := startUntil(t, cmd, step)
	if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	rest, _ := io.ReadAll(shown)
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != exitInterrupted || !strings.Contains(string(rest), "Interrupted.") {
		t.Errorf("exit code %d, want %d:\n%s", code, exitInterrupted, rest)
	}
	nothingLeft(t, temporary, false)
	noCluster(t)
}

// Without a cluster the demo reports why and runs on the API server, or fails
// with -on=cluster.
func TestWithoutCluster(t *testing.T) {
	t.Setenv("PATH", "") // neither go nor apt-get nor runc
	for on, want := range map[string]string{either: "real API server alone", cluster: ""} {
		var out strings.Builder
		d := &demo{screen: newScreen(&out, false), name: testCluster}
		steps, err := d.choose(t.Context(), on)
		if (err == nil) != (on == either) || err == nil && len(steps) != len(onServer) {
			t.Errorf("%s: %d steps, %v", on, len(steps), err)
		}
		if !strings.Contains(out.String(), want) {
			t.Errorf("%s: %q", on, out.String())
		}
	}
}

// excerpts compares the text blocks of the README with the output of the demo:
// each has the same lines in the same order, where "..." is any text.
func excerpts(t *testing.T, out string) {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	shown := 0
	for _, b := range page.Blocks(string(text)) {
		if b.Kind != "text" {
			continue
		}
		rest := strings.Split(out, "\n")
		for line := range strings.Lines(b.Body) {
			i := slices.IndexFunc(rest, func(printed string) bool { return prints(printed, line) })
			if i < 0 {
				t.Fatalf("README.md has a line that the demo does not print there: %q", line)
			}
			rest = rest[i+1:]
			shown++
		}
	}
	if shown < 20 {
		t.Errorf("README.md shows %d lines of the demo, want at least 20", shown)
	}
}

// prints compares a line of the demo with one of the README, whatever aligns
// their columns.
func prints(printed, line string) bool {
	one := func(s string) string { return strings.Join(strings.Fields(s), " ") }
	return page.Command{Output: one(line)}.Prints(one(printed))
}

func TestPrints(t *testing.T) {
	for _, tt := range []struct {
		printed, line string
		want          bool
	}{
		{"HTTP/2 200 \r", "HTTP/2 200\n", true},
		{"sleep-6c-x1   2/2   Running   0     5s", "sleep-...     2/2     Running   0          ...\n", true},
		{"sleep-6c-x1   1/1   Running   0     5s", "sleep-...     2/2     Running   0          ...\n", false},
		{`[t] "- - -" 0 - - - 4 5 PassthroughCluster 10.0.0.1:2 www.google.com - -`, "[...] ... PassthroughCluster ... www.google.com ...\n", true},
		{"", "namespace/default labeled\n", false},
	} {
		if got := prints(tt.printed, tt.line); got != tt.want {
			t.Errorf("%q as %q: %v", tt.printed, tt.line, got)
		}
	}
}

func TestInterrupted(t *testing.T) {
	requireServers(t)
	for _, tt := range []struct {
		name   string
		after  string // interrupted once this is shown
		signal syscall.Signal
		group  bool // as a terminal does, to all in the group
		code   int
	}{
		{"Ctrl-C while the servers start", "1/10", syscall.SIGINT, true, exitInterrupted},
		{"Ctrl-C during a step", "3/10", syscall.SIGINT, true, exitInterrupted},
		{"SIGTERM while outrider is built", "go build", syscall.SIGTERM, false, exitInterrupted},
		{"SIGKILL with everything running", "2/10", syscall.SIGKILL, false, -1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cmd, temporary, err := command(t.Context(), os.Args[0], "-on=server")
			if err != nil {
				t.Fatal(err)
			}
			shown := startUntil(t, cmd, tt.after)
			pid := cmd.Process.Pid
			if tt.group {
				pid = -pid
			}
			if err := syscall.Kill(pid, tt.signal); err != nil {
				t.Fatal(err)
			}
			rest, _ := io.ReadAll(shown)
			_ = cmd.Wait()
			if code := cmd.ProcessState.ExitCode(); code != tt.code {
				t.Errorf("exit code %d, want %d:\n%s", code, tt.code, rest)
			}
			if tt.signal != syscall.SIGKILL && !strings.Contains(string(rest), "Interrupted.") {
				t.Errorf("does not report the interruption:\n%s", rest)
			}
			nothingLeft(t, temporary, tt.signal == syscall.SIGKILL)
		})
	}
}

// TestParentExits ends what started the demo, as a SIGTERM to "make demo" does:
// neither make nor "go run" forwards it.
func TestParentExits(t *testing.T) {
	requireServers(t)
	cmd, temporary, err := command(t.Context(), "/bin/sh", "-c", `"$0" -on=server & wait`, os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	shown := startUntil(t, cmd, "1/10")
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	// The demo holds the other end until it is gone.
	if rest, _ := io.ReadAll(shown); !strings.Contains(string(rest), "Interrupted.") {
		t.Errorf("does not report the interruption:\n%s", rest)
	}
	_ = cmd.Wait()
	nothingLeft(t, temporary, false)
}

// startUntil starts a command and returns what it shows after a text.
func startUntil(t *testing.T, cmd *exec.Cmd, text string) *bufio.Reader {
	t.Helper()
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	shown := bufio.NewReader(pipe)
	var all strings.Builder
	for !strings.Contains(all.String(), text) {
		line, err := shown.ReadString('\n')
		if all.WriteString(line); err != nil {
			t.Fatalf("ended before it showed %q:\n%s", text, all.String())
		}
	}
	return shown
}

func TestTerminalOutput(t *testing.T) {
	for _, tt := range []struct {
		coloured bool
		want     string
	}{
		{false, "$ ls\n\nwhole\nhalf\nend\n  a   b\n  cc  d\n"},
		{true, "\x1b[36m$ ls\x1b[0m\n\n\x1b[33mwhole\x1b[0m\n\x1b[33mhalf\x1b[0m\n\x1b[33mend\x1b[0m\n\x1b[2m  a   b\x1b[0m\n  cc  d\n"},
	} {
		var b strings.Builder
		s := newScreen(&b, tt.coloured)
		s.command("ls")
		s.line(green, "")
		out := s.output(yellow)
		for _, part := range []string{"whole\nha", "lf\n", "end"} {
			_, _ = io.WriteString(out, part)
		}
		out.flush()
		s.table([][]string{{"a", "b"}, {"cc", "d"}})
		if b.String() != tt.want {
			t.Errorf("coloured %v: got %q, want %q", tt.coloured, b.String(), tt.want)
		}
	}
}
