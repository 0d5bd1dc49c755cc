//go:build linux

package main

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/outrider-mesh/outrider/redirect"
	"github.com/outrider-mesh/outrider/redirect/kernel"
	"github.com/outrider-mesh/outrider/test/kit/netns"
)

// podWithProxy is a pod whose proxy answers on both families.
func podWithProxy(t testing.TB) *netns.Pod {
	t.Helper()
	pod := netns.NewPod(t)
	pod.Listen(t, "127.0.0.1:15001", func(net.Conn) string { return "proxy" })
	pod.Listen(t, "[::1]:15001", func(net.Conn) string { return "proxy" })
	return pod
}

// ranges is n separate ranges of one size, none inside or beside another.
func ranges(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%d.%d.%d.0/25,", 20+i>>16, i>>8&255, i&255)
	}
	return b.String()
}

// two configurations that both capture the documentation addresses.
var (
	argsA = []string{"-i", "*", "-x", ranges(1000)}
	argsB = []string{"-i", "0.0.0.0/0,::/0", "-q", "80", "-o", "22", "-x", ranges(300) + "fd00::/8"}
)

func planOf(t testing.TB, args []string) redirect.Plan {
	t.Helper()
	c, _, err := redirect.ParseArgs(args, func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	return redirect.NewPlan(c, redirect.Inet)
}

// connector connects to a captured address of each family until it is
// stopped, and counts what did not reach the proxy.
type connector struct {
	stop           atomic.Bool
	done           chan struct{}
	made, bypassed int
	wrong          string
}

func connect(t testing.TB, pod *netns.Pod) *connector {
	c := &connector{done: make(chan struct{})}
	thread := pod.Join(t)
	go thread.Do(func() {
		defer close(c.done)
		for to := 0; !c.stop.Load(); to++ {
			addr := netip.MustParseAddrPort([]string{"192.0.2.1:80", "[2001:db8::1]:80"}[to%2])
			who, err := netns.Connect("tcp", addr, 1000, 1000)
			c.made++
			if who != "proxy" {
				c.bypassed++
				c.wrong = fmt.Sprintf("%s reached %q, error %v", addr, who, err)
			}
		}
	})
	return c
}

func (c *connector) check(t *testing.T, atLeast int) {
	t.Helper()
	c.stop.Store(true)
	<-c.done
	t.Logf("%d connections, %d not captured", c.made, c.bypassed)
	if c.bypassed > 0 {
		t.Errorf("%d of %d connections were not captured: %s", c.bypassed, c.made, c.wrong)
	}
	if c.made < atLeast {
		t.Errorf("only %d connections were made, want at least %d", c.made, atLeast)
	}
}

// TestReapplyUnderLoad: during 100 changes of the rules no connection bypasses
// the proxy.
func TestReapplyUnderLoad(t *testing.T) {
	t.Parallel()
	pod := podWithProxy(t)
	if r := runIn(t, pod.NS, nil, argsA...); r.code != 0 {
		t.Fatal(r)
	}
	c := connect(t, pod)
	for i := range 100 {
		args := [][]string{argsA, argsB, argsB}[i%3] // to the other rules, and to the same
		if r := runIn(t, pod.NS, nil, args...); r.code != 0 {
			t.Errorf("run %d: exit %d: %s", i, r.code, r.stderr)
		}
	}
	c.check(t, 1000)
}

// TestKilled: killed at any moment, the program leaves the old rules or the
// new ones, complete.
func TestKilled(t *testing.T) {
	t.Parallel()
	pod := podWithProxy(t)
	plans := []redirect.Plan{planOf(t, argsA), planOf(t, argsB)}
	if r := runIn(t, pod.NS, nil, argsB...); r.code != 0 {
		t.Fatal(r)
	}
	took := time.Now()
	if r := runIn(t, pod.NS, nil, argsB...); r.code != 0 {
		t.Fatal(r)
	}
	longest := time.Since(took)
	c := connect(t, pod)
	random := rand.New(rand.NewPCG(100, 4))
	killed, kept, changed, now := 0, 0, 0, 1
	for killed < 100 {
		next := 1 - now
		cmd, _, stderr := command(nil, [][]string{argsA, argsB}[next]...)
		if err := pod.Start(cmd); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(random.Int64N(int64(longest))))
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		switch status := cmd.ProcessState.Sys().(syscall.WaitStatus); {
		case status.Signaled():
			killed++
		case status.ExitStatus() != 0:
			t.Fatalf("exit %d: %s", status.ExitStatus(), stderr)
		}
		var isOld, isNew error
		pod.Do(func() { isOld, isNew = kernel.Verify(plans[now]), kernel.Verify(plans[next]) })
		switch {
		case isNew == nil:
			now = next
			changed++
		case isOld == nil:
			kept++
		default:
			t.Fatalf("neither the old rules (%v) nor the new (%v)", isOld, isNew)
		}
	}
	t.Logf("killed %d times: %d times the old rules stayed, %d times the new were active", killed, kept, changed)
	c.check(t, 100)
}

// TestUnusualLists: values that other tools reject or misread are applied and
// verified.
func TestUnusualLists(t *testing.T) {
	t.Parallel()
	pod := netns.NewPod(t)
	var overlapping strings.Builder
	random := rand.New(rand.NewPCG(5000, 4))
	for range 5000 {
		if random.IntN(2) == 0 {
			fmt.Fprintf(&overlapping, "%d.%d.%d.%d/%d,", 20+random.IntN(2), random.IntN(256), random.IntN(256), random.IntN(256), 16+random.IntN(17))
		} else {
			fmt.Fprintf(&overlapping, "2001:db9:%x:%x::%x/%d,", random.IntN(16), random.IntN(1<<16), random.IntN(1<<16), 40+random.IntN(89))
		}
	}
	for name, value := range map[string]string{
		"one range inside the other": "10.4.0.0/14,10.7.240.0/20",
		"host bits":                  "10.0.0.1/24",
		"5,000 overlapping ranges":   overlapping.String(),
	} {
		for _, flag := range []string{"-i", "-x"} {
			args := append([]string{flag}, pieces(flag, value)...)
			if flag == "-x" {
				args = append(args, "-i", "*")
			}
			r := runIn(t, pod.NS, nil, args...)
			if r.code != 0 || strings.Contains(r.stdout, "skipped") {
				t.Errorf("%s as %s: exit %d\n%s%s", name, flag, r.code, r.stdout, r.stderr)
			}
		}
	}
}

// pieces splits a list over several arguments of the flag, since Linux limits
// one to 128 KiB. The caller passes the first flag.
func pieces(flag, list string) []string {
	const most = 100 << 10
	var args []string
	for len(list) > most {
		cut := strings.LastIndexByte(list[:most], ',')
		args = append(args, list[:cut], flag)
		list = list[cut+1:]
	}
	return append(args, list)
}
