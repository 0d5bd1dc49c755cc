//go:build linux

// Package netns gives tests a pod's network: a namespace with two
// interfaces, and a world outside it that answers on every address and port.
//
// Both are fresh network namespaces of the test's own; nothing leaves them. It
// needs root, and the programs ip (iproute2) and nft (nftables).
package netns

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Need skips the test where a program or a permission is missing, and fails it
// where REQUIRE_REAL=1 requires that everything runs.
func Need(t testing.TB, programs ...string) {
	t.Helper()
	missing := ""
	if os.Getuid() != 0 {
		missing = "not root, which makes network namespaces"
	}
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			missing = "program " + p + " is not installed"
		}
	}
	switch {
	case missing == "":
	case os.Getenv("REQUIRE_REAL") == "1":
		t.Fatalf("%s, and REQUIRE_REAL=1", missing)
	default:
		t.Skipf("needs a real kernel: %s", missing)
	}
}

// NS is a fresh network namespace, held by a thread of its own.
type NS struct {
	jobs chan func()
	tid  int
}

// New makes a namespace that lives as long as the test.
func New(t testing.TB) *NS {
	t.Helper()
	return start(t, func() error { return unix.Unshare(unix.CLONE_NEWNET) })
}

// Join gives a second thread in the same namespace, to do two things at once.
func (n *NS) Join(t testing.TB) *NS {
	t.Helper()
	return start(t, func() error {
		fd, err := unix.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", n.tid), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer func() { _ = unix.Close(fd) }()
		return unix.Setns(fd, unix.CLONE_NEWNET)
	})
}

// start runs a thread that enters a namespace and then takes jobs.
func start(t testing.TB, enter func() error) *NS {
	t.Helper()
	n := &NS{jobs: make(chan func())}
	ready := make(chan error)
	go func() {
		// Never unlocked: the thread ends with the goroutine.
		runtime.LockOSThread()
		err := enter()
		n.tid = unix.Gettid()
		ready <- err
		for f := range n.jobs {
			f()
		}
	}()
	if err := <-ready; err != nil {
		t.Fatalf("enter a network namespace: %v", err)
	}
	t.Cleanup(func() { close(n.jobs) })
	return n
}

// Do runs f on the namespace's thread and waits for it.
func (n *NS) Do(f func()) {
	done := make(chan struct{})
	n.jobs <- func() { defer close(done); f() }
	<-done
}

// Command runs a program in the namespace and gives its output.
func (n *NS) Command(stdin, name string, args ...string) (string, error) {
	var out []byte
	var err error
	n.Do(func() {
		cmd := exec.Command(name, args...)
		cmd.Stdin = strings.NewReader(stdin)
		out, err = cmd.CombinedOutput()
	})
	if err != nil {
		return string(out), fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

// Start starts a program in the namespace.
func (n *NS) Start(cmd *exec.Cmd) (err error) {
	n.Do(func() { err = cmd.Start() })
	return err
}

// Must is Command that fails the test.
func (n *NS) Must(t testing.TB, stdin, name string, args ...string) string {
	t.Helper()
	out, err := n.Command(stdin, name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Listen serves TCP on an address of the namespace: each connection gets the
// answer's text and is closed.
func (n *NS) Listen(t testing.TB, addr string, answer func(net.Conn) string) {
	t.Helper()
	var l net.Listener
	var err error
	n.Do(func() { l, err = net.Listen("tcp", addr) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				_ = c.SetDeadline(time.Now().Add(5 * time.Second))
				_, _ = io.WriteString(c, answer(c))
			}()
		}
	}()
}

// ListenUDP answers every datagram with the text.
func (n *NS) ListenUDP(t testing.TB, addr, answer string) {
	t.Helper()
	var l net.PacketConn
	var err error
	n.Do(func() { l, err = net.ListenPacket("udp", addr) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		b := make([]byte, 100)
		for {
			_, from, err := l.ReadFrom(b)
			if err != nil {
				return
			}
			_, _ = l.WriteTo([]byte(answer), from)
		}
	}()
}

// NotListening is what Connect returns where nothing listens.
const NotListening = "refused" // as in "connection refused"

// Connect opens a socket as a user and group and returns what the other end
// sends; NotListening where nothing listens. It must run on a namespace's thread.
func Connect(protocol string, to netip.AddrPort, uid, gid uint32) (string, error) {
	defer asOwner(uid, gid)()
	family, kind := unix.AF_INET, unix.SOCK_STREAM
	if to.Addr().Is6() {
		family = unix.AF_INET6
	}
	if protocol == "udp" {
		kind = unix.SOCK_DGRAM
	}
	fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer func() { _ = unix.Close(fd) }()
	wait := unix.Timeval{Sec: 3}
	_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &wait)
	_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait)
	_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	err = retry(func() error { return unix.Connect(fd, sockaddr(to)) })
	if err == nil && protocol == "udp" {
		_, err = unix.Write(fd, []byte("?"))
	}
	b := make([]byte, 100)
	n := 0
	if err == nil {
		err = retry(func() (err error) { n, err = unix.Read(fd, b); return err })
	}
	switch {
	case errors.Is(err, unix.ECONNREFUSED):
		return NotListening, nil
	case err != nil:
		return "", fmt.Errorf("connect to %s: %w", to, err)
	}
	return string(b[:n]), nil
}

// asOwner makes the thread's new sockets belong to a user and group.
func asOwner(uid, gid uint32) (restore func()) {
	if uid == 0 && gid == 0 {
		return func() {}
	}
	_ = unix.Setfsgid(int(gid))
	_ = unix.Setfsuid(int(uid))
	return func() { _ = unix.Setfsuid(0); _ = unix.Setfsgid(0) }
}

func retry(f func() error) error {
	for {
		if err := f(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Addr: a.Addr().As4(), Port: int(a.Port())}
	}
	return &unix.SockaddrInet6{Addr: a.Addr().As16(), Port: int(a.Port())}
}
