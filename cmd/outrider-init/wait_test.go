//go:build linux

package main

import (
	"bufio"
	"net"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/outrider-mesh/outrider/redirect/kernel"
	"github.com/outrider-mesh/outrider/test/kit/netns"
)

// startWaiting starts the program as the injected init container, as process 1 of
// its namespace, and returns its output from line to line.
func startWaiting(t *testing.T, pod *netns.Pod) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := exec.Command(binary, "-i", "*", "--wait-for-proxy")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := pod.Start(cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	lines := bufio.NewScanner(out)
	const rules = everything + "7 rules verified, 4/4 test connections passed"
	if !lines.Scan() || lines.Text() != rules {
		t.Fatalf("%q, want %q", lines.Text(), rules)
	}
	return cmd, lines
}

// TestWaitForProxy: the rules come first, and are tested also where the proxy listens
// already. The program ends when the proxy is ready, not when it responds.
func TestWaitForProxy(t *testing.T) {
	pod := podWithProxy(t)
	cmd, lines := startWaiting(t, pod)
	var err error
	pod.Do(func() { err = kernel.Verify(planOf(t, []string{"-i", "*", "--wait-for-proxy"})) })
	if err != nil {
		t.Error(err)
	}
	var asked atomic.Int32
	pod.Listen(t, proxyAddress, func(c net.Conn) string {
		request := make([]byte, 1000)
		n, _ := c.Read(request)
		if !strings.HasPrefix(string(request[:n]), "GET /healthz/ready HTTP/1.1\r\nHost: 127.0.0.1:15021\r\n") {
			return "HTTP/1.1 400 Bad Request\r\n\r\n"
		}
		switch asked.Add(1) {
		case 1:
			return ""
		case 2:
			return "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 13\r\n\r\nINITIALIZING\n"
		}
		return "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nLIVE\n"
	})
	if !lines.Scan() || !strings.HasPrefix(lines.Text(), "outrider-init: the proxy is ready, ") || asked.Load() != 3 {
		t.Errorf("%q after %d requests", lines.Text(), asked.Load())
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// TestWaitForProxy_Ends: a pod that is deleted while its init container waits does not
// wait for the end of its grace period.
func TestWaitForProxy_Ends(t *testing.T) {
	cmd, _ := startWaiting(t, netns.NewPod(t))
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		t.Error("still waiting after SIGTERM")
	}
}

// What keeps a proxy from being ready is logged.
func TestAskProxy(t *testing.T) {
	pod := netns.NewPod(t)
	ask := func(address string) (missing string) {
		pod.Do(func() { missing = askProxy(address) })
		return missing
	}
	answers := map[string]string{
		"HTTP/1.1 200 OK\r\n\r\n":                                "",
		"HTTP/1.1 503 Service Unavailable\r\n\r\nINITIALIZING\n": `it answers "HTTP/1.1 503 Service Unavailable", "INITIALIZING"`,
		"HTTP/1.1 2000 No\r\n\r\n":                               `it answers "HTTP/1.1 2000 No", ""`,
		"":                                                       "no response",
		"\x1b[2J" + strings.Repeat("x", 10<<10):                  `it answers "\x1b[2J` + strings.Repeat("x", 4<<10-4) + `", ""`,
	}
	for answer, want := range answers {
		listener := ""
		pod.Do(func() {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Error(err)
				return
			}
			listener = l.Addr().String()
			_ = l.Close()
		})
		pod.Listen(t, listener, func(c net.Conn) string { _, _ = c.Read(make([]byte, 1000)); return answer })
		if got := ask(listener); got != want {
			t.Errorf("%q: %q, want %q", answer, got, want)
		}
	}
	if got := ask(proxyAddress); !strings.HasPrefix(got, "nothing listens on 127.0.0.1:15021. ") {
		t.Errorf("nothing listens: %q", got)
	}
}
