package probe

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/outrider-mesh/outrider/check"
	"github.com/outrider-mesh/outrider/redirect"
	"github.com/outrider-mesh/outrider/redirect/kernel"
	"github.com/outrider-mesh/outrider/test/kit"
	"github.com/outrider-mesh/outrider/test/kit/netns"
)

// TestKernel: the counters of a real kernel, through the socket of the reader.
func TestKernel(t *testing.T) {
	pod := netns.NewPod(t)
	pod.Listen(t, "127.0.0.1:15001", func(net.Conn) string { return "proxy" })
	config, _, err := redirect.ParseArgs([]string{"-i", "*", "-x", "198.51.100.0/24"}, func(string) string { return "" })
	kit.Must(t, err)
	var before map[string]uint64
	pod.Do(func() {
		if before, err = kernel.Counters(); err == nil && len(before) > 0 {
			t.Errorf("without rules: %v", before)
		}
		if err == nil {
			err = kernel.Apply(redirect.NewPlan(config, redirect.Inet))
		}
	})
	kit.Must(t, err)

	// The reader's thread is in the namespace, as in the pod all are.
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	reader := pod.Join(t)
	go reader.Do(func() { ended <- ReadKernel(ctx) })
	c := &client{ClientOptions{Kernel: Kernel}}
	read := func() (out map[string]uint64) {
		t.Helper()
		pod.Do(func() {
			for began := time.Now(); time.Since(began) < 5*time.Second; time.Sleep(10 * time.Millisecond) {
				if out, err = c.counters(t.Context()); err == nil {
					return
				}
			}
		})
		kit.Must(t, err)
		return out
	}
	before = read()
	pod.Do(func() { _, err = netns.Connect("tcp", netip.MustParseAddrPort("192.0.2.1:80"), 1000, 1000) })
	kit.Must(t, err)
	pod.Do(func() { _, err = netns.Connect("tcp", netip.MustParseAddrPort("198.51.100.1:80"), 1000, 1000) })
	kit.Must(t, err)
	got := check.Changes(before, read())
	if got["proxy"] != 1 || got["everything"] != 1 || got["excluded-range"] != 1 {
		t.Errorf("%v", got)
	}
	cancel()
	kit.Must(t, <-ended)
	var out bytes.Buffer
	kit.Must(t, Connect(ctx, ClientOptions{Kernel: Kernel, Out: &out})) // without a reader it is not waited for after an interrupt
}
