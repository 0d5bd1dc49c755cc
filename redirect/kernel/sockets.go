//go:build linux

package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// listener is a listening socket on a loopback address. Plain system calls
// keep every socket in the network namespace of the calling thread, and
// distinguish an error of the routing from one returned by the network.
type listener struct {
	fd   int
	addr netip.AddrPort
	mark int // of the connections to it; 0 is none
}

func listen(v6 bool, port uint16) (*listener, error) {
	addr := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	if v6 {
		addr = netip.IPv6Loopback()
	}
	fd, err := socket(v6, unix.SOCK_STREAM)
	if err != nil {
		return nil, err
	}
	l := &listener{fd: fd}
	for _, step := range []func() error{
		func() error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1) },
		func() error { return unix.Bind(fd, sockaddr(netip.AddrPortFrom(addr, port))) },
		func() error { return unix.Listen(fd, 16) },
		func() (err error) { l.addr, err = localAddr(fd); return err },
	} {
		if err := step(); err != nil {
			l.close()
			return nil, err
		}
	}
	return l, nil
}

func (l *listener) close() { _ = unix.Close(l.fd) }

// arrives opens a connection to an address and reports whether the listener
// accepts it.
func (l *listener) arrives(to netip.AddrPort) (Result, string) {
	fd, err := dial(to, l.mark)
	if err != nil {
		return Skipped, fmt.Sprintf("connect to %s: %v", to.Addr(), err)
	}
	defer func() { _ = unix.Close(fd) }()
	from, err := localAddr(fd)
	if err != nil {
		return Skipped, fmt.Sprintf("connect to %s: %v", to.Addr(), err)
	}
	for deadline := time.Now().Add(testTimeout); ; {
		left := time.Until(deadline)
		if left <= 0 {
			return Failed, fmt.Sprintf("connection did not arrive at %s within %s", l.addr, testTimeout)
		}
		polls := []unix.PollFd{{Fd: int32(l.fd), Events: unix.POLLIN}, {Fd: int32(fd), Events: unix.POLLOUT}}
		if _, err := unix.Poll(polls, int(left.Milliseconds())+1); err != nil && err != unix.EINTR {
			return Skipped, fmt.Sprintf("wait for the connection: %v", err)
		}
		if polls[0].Revents != 0 {
			if done, result, why := l.accept(from, to); done {
				return result, why
			}
			continue
		}
		// The connection is established or reset, and not by this listener.
		if polls[1].Revents != 0 {
			if code, _ := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR); code != 0 {
				return Failed, fmt.Sprintf("connection went to %s instead of %s: %v", to, l.name(to), unix.Errno(code))
			}
			if peer, err := peerAddr(fd); err == nil && !l.soon() {
				return Failed, fmt.Sprintf("connection went to %s instead of %s", peer, l.name(to))
			}
		}
	}
}

// name is the listener in messages about a connection to an address: the proxy,
// or the address itself on loopback.
func (l *listener) name(to netip.AddrPort) string {
	if to == l.addr {
		return to.String()
	}
	return "the proxy"
}

// soon waits briefly for a connection at the listener: the client's side of a
// handshake ends just before the server's.
func (l *listener) soon() bool {
	n, _ := unix.Poll([]unix.PollFd{{Fd: int32(l.fd), Events: unix.POLLIN}}, 200)
	return n > 0
}

// accept accepts one connection and checks it if it is the one from this
// address; another process of the pod may connect meanwhile.
func (l *listener) accept(from, to netip.AddrPort) (done bool, r Result, why string) {
	fd, peer, err := unix.Accept4(l.fd, unix.SOCK_CLOEXEC)
	if err != nil {
		return false, Skipped, ""
	}
	defer func() { _ = unix.Close(fd) }()
	reset(fd)
	if addrPort(peer).Port() != from.Port() {
		return false, Skipped, ""
	}
	if meant, err := originalDestination(fd, to.Addr().Is6()); err == nil && meant != to && l.addr != to {
		// Something changed the destination before the rules, as nodes do that
		// balance Services at connect(2). It is captured nevertheless.
		return true, Passed, fmt.Sprintf("the proxy sees the original destination %s", meant)
	}
	return true, Passed, ""
}

func socket(v6 bool, kind int) (int, error) {
	family := unix.AF_INET
	if v6 {
		family = unix.AF_INET6
	}
	return unix.Socket(family, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
}

// dial begins a connection with a hop limit of 1. The error is of the routing
// or a local filter: nothing was sent.
func dial(to netip.AddrPort, mark int) (int, error) {
	fd, err := socket(to.Addr().Is6(), unix.SOCK_STREAM)
	if err != nil {
		return 0, err
	}
	if mark != 0 {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, mark); err != nil {
			_ = unix.Close(fd)
			return 0, fmt.Errorf("mark the connection: %w", err)
		}
	}
	if to.Addr().Is6() {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, 1)
	} else {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TTL, 1)
	}
	if err == nil {
		err = unix.Connect(fd, sockaddr(to))
	}
	if err != nil && !errors.Is(err, unix.EINPROGRESS) {
		_ = unix.Close(fd)
		return 0, err
	}
	reset(fd)
	return fd, nil
}

// reset makes closing leave no TIME_WAIT behind on the proxy's port.
func reset(fd int) {
	_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
}

// originalDestination is the original destination of a captured connection.
func originalDestination(fd int, v6 bool) (netip.AddrPort, error) {
	const soOriginalDst = 80 // SO_ORIGINAL_DST, IP6T_SO_ORIGINAL_DST
	// x/sys has no call for these options; two others return enough bytes.
	if v6 {
		info, err := unix.GetsockoptIPv6MTUInfo(fd, unix.IPPROTO_IPV6, soOriginalDst)
		if err != nil {
			return netip.AddrPort{}, err
		}
		port := binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, info.Addr.Port))
		return netip.AddrPortFrom(netip.AddrFrom16(info.Addr.Addr), port), nil
	}
	m, err := unix.GetsockoptIPv6Mreq(fd, unix.IPPROTO_IP, soOriginalDst)
	if err != nil {
		return netip.AddrPort{}, err
	}
	b := m.Multiaddr // a sockaddr_in: family, port, address
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[4:8])), binary.BigEndian.Uint16(b[2:4])), nil
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Addr: a.Addr().As4(), Port: int(a.Port())}
	}
	return &unix.SockaddrInet6{Addr: a.Addr().As16(), Port: int(a.Port())}
}

func addrPort(s unix.Sockaddr) netip.AddrPort {
	switch s := s.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(s.Addr), uint16(s.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(s.Addr), uint16(s.Port))
	}
	return netip.AddrPort{}
}

func localAddr(fd int) (netip.AddrPort, error) {
	s, err := unix.Getsockname(fd)
	return addrPort(s), err
}

func peerAddr(fd int) (netip.AddrPort, error) {
	s, err := unix.Getpeername(fd)
	return addrPort(s), err
}
