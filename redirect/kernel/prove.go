//go:build linux

package kernel

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/outrider-mesh/outrider/redirect"
)

// Outcome is the result of one proof.
type Outcome int

const (
	Proved   Outcome = iota // a real connection went where the plan says
	Failed                  // it went elsewhere
	NotTried                // nothing could be tried; Why says what was in the way
)

// Proof is one claim of the plan, tried with a real connection.
type Proof struct {
	Claim   string
	Outcome Outcome
	Why     string // what was in the way; Proved: a remark, mostly empty
}

func (p Proof) String() string {
	switch p.Outcome {
	case Proved:
		if p.Why != "" {
			return "proved: " + p.Claim + ", but " + p.Why
		}
		return "proved: " + p.Claim
	case Failed:
		return "failed: " + p.Claim + ": " + p.Why
	}
	return "not tried: " + p.Claim + ": " + p.Why
}

// proofTime is how long one connection may take to arrive on loopback.
const proofTime = 2 * time.Second

// Prove opens one connection for each family and capturing rule, and one over
// each family's loopback, and looks where they arrive. It listens on the
// proxy's port meanwhile. The connections have a hop limit of 1, so that one
// that is not captured ends at the node and reaches nobody.
func Prove(c redirect.Config, p redirect.Plan) []Proof {
	if len(p.Rules) == 0 {
		return nil
	}
	var proofs []Proof
	uid, gid := uint32(os.Getuid()), uint32(os.Getgid())
	targets := p.Targets(c, uid, gid)
	if len(targets) == 0 && p.Captures() {
		proofs = append(proofs, Proof{Claim: "connections are captured", Outcome: NotTried,
			Why: fmt.Sprintf("none that this program can make (uid %d, gid %d) is", uid, gid)})
	}
	for _, t := range targets {
		proofs = append(proofs, proveCapture(p, t))
	}
	proofs = append(proofs, proveLoopback(false))
	if p.Family == redirect.Inet {
		proofs = append(proofs, proveLoopback(true))
	}
	return proofs
}

func proveCapture(p redirect.Plan, t redirect.Target) Proof {
	proof := Proof{Claim: fmt.Sprintf("%s is captured (%s)", familyName(t.IPv6), t.Reason), Outcome: NotTried}
	l, err := listen(t.IPv6, p.ProxyPort)
	if err != nil {
		proof.Why = listenProblem(err, p.ProxyPort)
		return proof
	}
	defer l.close()
	for _, to := range t.Candidates {
		via, err := route(to)
		if err != nil {
			proof.Why = fmt.Sprintf("no route to %s: %v", to.Addr(), err)
			continue
		}
		conn := redirect.Connection{Destination: to, UID: uint32(os.Getuid()), GID: uint32(os.Getgid()), Interface: via}
		if !p.Decide(conn).Captured {
			proof.Why = fmt.Sprintf("%s is reached by interface %s, which is not captured", to.Addr(), via)
			continue
		}
		proof.Claim = fmt.Sprintf("%s to %s is captured (%s)", familyName(t.IPv6), to, t.Reason)
		proof.Outcome, proof.Why = l.arrives(to)
		return proof
	}
	return proof
}

// proveLoopback shows that containers of the pod still reach each other on
// 127.0.0.1 and ::1.
func proveLoopback(v6 bool) Proof {
	proof := Proof{Claim: familyName(v6) + " loopback bypasses the proxy", Outcome: NotTried}
	l, err := listen(v6, 0)
	if err != nil {
		proof.Why = listenProblem(err, 0)
		return proof
	}
	defer l.close()
	proof.Outcome, proof.Why = l.arrives(l.addr)
	return proof
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
		return fmt.Sprintf("port %d is taken, the proxy may be running already", port)
	case errors.Is(err, unix.EADDRNOTAVAIL), errors.Is(err, unix.EAFNOSUPPORT):
		return "the pod has no loopback address of this family"
	}
	return fmt.Sprintf("cannot listen on port %d: %v", port, err)
}

// route is the interface by which the pod's routing sends to. Connecting a
// datagram socket asks the routing and sends nothing.
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
