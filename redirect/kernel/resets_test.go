//go:build linux

package kernel

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/outrider-mesh/outrider/redirect"
	"github.com/outrider-mesh/outrider/test/kit/netns"
)

// TestReadinessPortIsNotReset: a connection to the readiness port, as the
// kubelet's, waits until the proxy listens. Other ports are reset, and open
// connections are reset, as without the rules.
func TestReadinessPortIsNotReset(t *testing.T) {
	pod := setup(t)
	apply(t, pod, config(t, "-i", "*"))
	for _, own := range []netip.Addr{netns.Own4, netns.Own6} {
		ready := netip.AddrPortFrom(own, redirect.ReadinessPort).String()
		if _, err := connect(pod.World, ready, 200*time.Millisecond); !os.IsTimeout(err) {
			t.Errorf("nothing listens on %s: %v, want a timeout", ready, err)
		}
		other := netip.AddrPortFrom(own, redirect.ReadinessPort+1).String()
		if _, err := connect(pod.World, other, 10*time.Second); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("nothing listens on %s: %v, want a reset", other, err)
		}
		time.AfterFunc(300*time.Millisecond, func() { pod.Listen(t, ready, abort) })
		c, err := connect(pod.World, ready, 30*time.Second)
		if err != nil {
			t.Errorf("%s, which listens later: %v", ready, err)
			continue
		}
		_, _ = c.Write([]byte("x"))
		if _, err := io.ReadAll(c); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("a connection that the proxy resets: %v", err)
		}
	}
}

// connect connects from a namespace.
func connect(from *netns.NS, to string, timeout time.Duration) (c net.Conn, err error) {
	from.Do(func() { c, err = net.DialTimeout("tcp", to, timeout) })
	return c, err
}

// abort reads, and closes the connection without the usual end.
func abort(c net.Conn) string {
	_, _ = c.Read(make([]byte, 1))
	_ = c.(*net.TCPConn).SetLinger(0)
	_ = c.Close()
	return ""
}
