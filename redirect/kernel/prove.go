//go:build linux

package kernel

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/outrider-mesh/outrider/redirect"
)

// Result is the result of one test connection.
type Result int

const (
	Passed  Result = iota // the connection went where the plan sends it
	Failed                // it went elsewhere
	Skipped               // no connection could be made; Why is the reason
)

// Test is one expectation of the plan, tried with a real connection.
type Test struct {
	Expect string // "IPv4 to 192.0.2.1:9 is captured (everything)"
	Result Result
	Why    string // why it failed or was skipped; of a passed test a remark, mostly empty
}

func (t Test) String() string {
	switch t.Result {
	case Passed:
		if t.Why != "" {
			return "passed: " + t.Expect + ", but " + t.Why
		}
		return "passed: " + t.Expect
	case Failed:
		return "failed: " + t.Expect + ": " + t.Why
	}
	return "skipped: " + t.Expect + ": " + t.Why
}

// testTimeout is how long one connection may take to arrive on loopback.
const testTimeout = 2 * time.Second

// FreePort is a port on which nothing listens, for a plan's TestPort.
func FreePort() (uint16, error) {
	l, err := listen(false, 0)
	if err != nil {
		return 0, fmt.Errorf("find a port for test connections: %w", err)
	}
	defer l.close()
	return l.addr.Port(), nil
}

// Prove opens one test connection for each family and capturing rule, and one
// over each family's loopback, and checks where they arrive. Meanwhile it
// listens on the proxy's port, or on the plan's TestPort. The connections have a
// hop limit of 1, so that one that is not captured is dropped at the node.
func Prove(c redirect.Config, p redirect.Plan) []Test {
	if len(p.Rules) == 0 {
		return nil
	}
	var tests []Test
	uid, gid := uint32(os.Getuid()), uint32(os.Getgid())
	targets := p.Targets(c, uid, gid)
	if len(targets) == 0 && p.Captures() {
		tests = append(tests, Test{Expect: "connections are captured", Result: Skipped,
			Why: fmt.Sprintf("no capturable connection can be made as uid %d, gid %d", uid, gid)})
	}
	for _, t := range targets {
		tests = append(tests, testCapture(p, t))
	}
	tests = append(tests, testLoopback(false))
	if p.Family == redirect.Inet {
		tests = append(tests, testLoopback(true))
	}
	return tests
}

func testCapture(p redirect.Plan, t redirect.Target) Test {
	test := Test{Expect: fmt.Sprintf("%s is captured (%s)", familyName(t.IPv6), t.Reason), Result: Skipped}
	port := cmp.Or(p.TestPort, p.ProxyPort)
	l, err := listen(t.IPv6, port)
	if err != nil {
		test.Why = listenProblem(err, port)
		return test
	}
	if p.TestPort != 0 {
		l.mark = redirect.TestMark
	}
	defer l.close()
	for _, to := range t.Candidates {
		via, err := route(to)
		if err != nil {
			test.Why = fmt.Sprintf("no route to %s: %v", to.Addr(), err)
			continue
		}
		conn := redirect.Connection{Destination: to, UID: uint32(os.Getuid()), GID: uint32(os.Getgid()), Interface: via}
		if !p.Decide(conn).Captured {
			test.Why = fmt.Sprintf("%s is routed over interface %s, which is not captured", to.Addr(), via)
			continue
		}
		test.Expect = fmt.Sprintf("%s to %s is captured (%s)", familyName(t.IPv6), to, t.Reason)
		test.Result, test.Why = l.arrives(to)
		return test
	}
	return test
}

// testLoopback checks that containers of the pod still reach each other on
// 127.0.0.1 and ::1.
func testLoopback(v6 bool) Test {
	test := Test{Expect: familyName(v6) + " loopback bypasses the proxy", Result: Skipped}
	l, err := listen(v6, 0)
	if err != nil {
		test.Why = listenProblem(err, 0)
		return test
	}
	defer l.close()
	test.Result, test.Why = l.arrives(l.addr)
	return test
}

func familyName(v6 bool) string {
	if v6 {
		return "IPv6"
	}
	return "IPv4"
}

func listenProblem(err error, port uint16) string {
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		return fmt.Sprintf("port %d in use; is the proxy already running?", port)
	case errors.Is(err, unix.EADDRNOTAVAIL), errors.Is(err, unix.EAFNOSUPPORT):
		return "the pod has no loopback address of this family"
	}
	return fmt.Sprintf("cannot listen on port %d: %v", port, err)
}

// route is the interface over which the pod routes a destination. Connecting a
// datagram socket looks up the route and sends nothing.
func route(to netip.AddrPort) (via string, err error) {
	fd, err := socket(to.Addr().Is6(), unix.SOCK_DGRAM)
	if err != nil {
		return "", err
	}
	defer func() { _ = unix.Close(fd) }()
	if err := unix.Connect(fd, sockaddr(to)); err != nil {
		return "", err
	}
	from, err := localAddr(fd)
	if err != nil {
		return "", err
	}
	if from.Addr() == to.Addr() {
		return "lo", nil
	}
	return interfaceWith(from.Addr())
}

func interfaceWith(a netip.Addr) (string, error) {
	ifs, err := net.Interfaces()
	if err != nil {
		return "", err
	}
	for _, i := range ifs {
		addrs, err := i.Addrs()
		if err != nil {
			return "", err
		}
		for _, x := range addrs {
			if n, ok := x.(*net.IPNet); ok && n.IP.Equal(a.AsSlice()) {
				return i.Name, nil
			}
		}
	}
	return "", fmt.Errorf("no interface has the source address %s", a)
}
