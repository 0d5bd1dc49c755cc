//go:build linux

package kernel

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/outrider-mesh/outrider/redirect"
	"github.com/outrider-mesh/outrider/test/kit/netns"
)

func noEnv(string) string { return "" }

// setup is a pod whose proxy answers "proxy" and the original destination of
// the connection.
func setup(t testing.TB) *netns.Pod {
	t.Helper()
	pod := netns.NewPod(t)
	for addr, name := range map[string]string{
		"127.0.0.1:15001": "proxy", "[::1]:15001": "proxy", "127.0.0.1:16001": "proxy2", "[::1]:16001": "proxy2",
	} {
		pod.Listen(t, addr, func(c net.Conn) string { return name + " " + destinationOf(c) })
	}
	pod.ListenUDP(t, ":15001", "proxy")
	return pod
}

func destinationOf(c net.Conn) string {
	tcp := c.(*net.TCPConn)
	raw, err := tcp.SyscallConn()
	if err != nil {
		return err.Error()
	}
	var meant netip.AddrPort
	v6 := tcp.LocalAddr().(*net.TCPAddr).IP.To4() == nil
	if cerr := raw.Control(func(fd uintptr) { meant, err = originalDestination(int(fd), v6) }); cerr != nil || err != nil {
		return fmt.Sprint(cerr, err)
	}
	return meant.String()
}

func config(t testing.TB, args ...string) redirect.Config {
	t.Helper()
	c, _, err := redirect.ParseArgs(args, noEnv)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// apply installs the rules of the configuration in the pod, and verifies them.
func apply(t testing.TB, pod *netns.Pod, c redirect.Config) redirect.Plan {
	t.Helper()
	p := redirect.NewPlan(c, redirect.Inet)
	var err error
	pod.Do(func() {
		if err = Apply(p); err == nil {
			err = Verify(p)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// reach is where a connection really goes: the answer's first word, after a
// check that the proxy sees the original destination.
func reach(t testing.TB, pod *netns.Pod, c redirect.Connection) string {
	t.Helper()
	var answer string
	var err error
	pod.Do(func() { answer, err = netns.Connect(c.Protocol, c.Destination, c.UID, c.GID) })
	if err != nil {
		t.Fatal(err)
	}
	who, meant, _ := strings.Cut(answer, " ")
	if meant != "" && meant != c.Destination.String() {
		t.Errorf("the proxy sees the original destination of the connection to %s as %s", c.Destination, meant)
	}
	return who
}

type realCase struct {
	place        string // in cases.txtar
	what, answer string
	args         []string
	reason       redirect.Reason
	conns        []redirect.Connection
}

// readCases reads testdata/cases.txtar; the format is at its top.
func readCases(t *testing.T) []realCase {
	archive, err := txtar.ParseFile("testdata/cases.txtar")
	if err != nil {
		t.Fatal(err)
	}
	var cases []realCase
	for _, f := range archive.Files {
		for i, line := range strings.Split(strings.TrimSpace(string(f.Data)), "\n") {
			cases = append(cases, readCase(t, fmt.Sprintf("cases.txtar: %s:%d", f.Name, i+1), line))
		}
	}
	return cases
}

func readCase(t *testing.T, place, line string) realCase {
	col := strings.Split(line, " | ")
	if len(col) != 7 {
		t.Fatalf("%s: %d columns", place, len(col))
	}
	for i := range col {
		col[i] = strings.TrimSpace(col[i])
	}
	c := realCase{place: place, what: col[0], args: words(col[1]), answer: col[5], reason: redirect.Reason(col[6])}
	for _, to := range col[3:5] {
		if to == "-" {
			continue
		}
		conn := redirect.Connection{Protocol: "tcp"}
		if rest, ok := strings.CutPrefix(to, "udp "); ok {
			conn.Protocol, to = "udp", rest
		}
		if _, err := fmt.Sscanf(col[2], "%d:%d", &conn.UID, &conn.GID); err != nil {
			t.Fatalf("%s: owner %q", place, col[2])
		}
		conn.Destination = netip.MustParseAddrPort(to)
		conn.Interface = netns.Via(conn.Destination.Addr())
		c.conns = append(c.conns, conn)
	}
	return c
}

// words splits a command line; quotes keep spaces together.
func words(s string) []string {
	var out []string
	for i, part := range strings.Split(s, `"`) {
		if i%2 == 1 {
			out = append(out, part)
		} else {
			out = append(out, strings.Fields(part)...)
		}
	}
	return out
}

// TestRealConnections: every case of the table, with the model and with a real
// connection.
func TestRealConnections(t *testing.T) {
	pod := setup(t)
	cases := readCases(t)
	if len(cases) < 91 {
		t.Errorf("%d cases, want at least 91", len(cases))
	}
	connections, before := 0, ""
	var plan redirect.Plan
	for _, c := range cases {
		if args := strings.Join(c.args, "\x00"); args != before || connections == 0 {
			plan, before = apply(t, pod, config(t, c.args...)), args
		}
		for _, conn := range c.conns {
			connections++
			d := plan.Decide(conn)
			if d.Reason != c.reason || d.Captured != strings.HasPrefix(c.answer, "proxy") {
				t.Errorf("%s: %s: %s: the model decides %s (%s)", c.place, c.what, conn.Destination, d, d.Reason)
			}
			if got := reach(t, pod, conn); got != c.answer {
				t.Errorf("%s: %s: %s reached %q, want %q", c.place, c.what, conn.Destination, got, c.answer)
			}
		}
	}
	t.Logf("%d cases, %d connections", len(cases), connections)
}

// TestIPv4Only: the plan for a kernel without IPv6.
func TestIPv4Only(t *testing.T) {
	pod := setup(t)
	c := config(t, "-i", "*", "-x", "192.0.2.0/24,2001:db8::/32")
	p := redirect.NewPlan(c, redirect.IPv4Only)
	var err error
	pod.Do(func() {
		if err = Apply(p); err == nil {
			err = Verify(p)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	for to, want := range map[string]string{"192.0.2.1:80": "world", "192.0.3.1:80": "proxy", "[2001:db9::1]:80": "world"} {
		conn := redirect.Connection{Protocol: "tcp", Destination: netip.MustParseAddrPort(to)}
		if got := reach(t, pod, conn); got != want || p.Decide(conn).Captured != (want == "proxy") {
			t.Errorf("%s reached %q, model %s, want %q", to, got, p.Decide(conn), want)
		}
	}
	pod.Do(func() { err = Cleanup() })
	if out := pod.Must(t, "", "nft", "list", "ruleset"); out != "" || err != nil {
		t.Errorf("after cleanup: %v, ruleset %q", err, out)
	}
}

// TestScriptIsWhatIsApplied: nft(8) reads the printed plan, and makes of it
// what the netlink transaction makes.
func TestScriptIsWhatIsApplied(t *testing.T) {
	pod := setup(t)
	for _, args := range [][]string{
		{"-i", "*"},
		{"-i", "*", "-m", "NONE"},
		{"-i", "10.4.0.0/14,10.7.240.0/20,fd00::/8,10.8.0.0/16,e000::/3", "-x", "10.4.1.0/24,fd00:1::/32", "-q", "80,443",
			"-o", "22,15090", "-c", "eth1,net+", "-u", "1337,1338", "-g", "7", "-p", "16001"},
		{"-i", "127.0.0.0/8,::1,223.0.0.0/8"},
		{"-i", "*", "--wait-for-proxy"},
	} {
		p := apply(t, pod, config(t, args...))
		applied := pod.Must(t, "", "nft", "-s", "list", "ruleset")
		pod.Must(t, p.Script(), "nft", "-f", "-")
		if loaded := pod.Must(t, "", "nft", "-s", "list", "ruleset"); loaded != applied {
			t.Errorf("%q: applied\n%s\nprinted and loaded\n%s", args, applied, loaded)
		}
	}
}

// TestVerify_FindsDifferences: every kind of tampering is a difference.
func TestVerify_FindsDifferences(t *testing.T) {
	pod := setup(t)
	c := config(t, "-i", "192.0.2.0/24,2001:db8::/32", "-x", "192.0.2.8/29", "-o", "22")
	for _, tamper := range []struct{ script, want string }{
		{"delete table inet outrider", "table outrider is missing"},
		{"add element inet outrider exclude4 { 10.0.0.0/8 }", "set exclude4: its 4 elements differ from the 2 of the plan"},
		{"delete element inet outrider include6 { 2001:db8::/32 }", "set include6: its 0 elements differ from the 2 of the plan"},
		{"add element inet outrider exclude_ports { 80 }", "set exclude_ports: its 2 elements differ from the 1 of the plan"},
		{"add rule inet outrider output accept", "chain output has 11 rules instead of 10"},
		{"insert rule inet outrider output meta skuid 0 return", "chain output has 11 rules instead of 10"},
		{"flush chain inet outrider to_proxy", "chain to_proxy has 0 rules instead of 1"},
		{`flush chain inet outrider to_proxy; add rule inet outrider to_proxy meta l4proto tcp counter redirect to :15002 comment "proxy"`,
			"rule 1 (proxy) of chain to_proxy differs from the plan"},
		{"add chain inet outrider more", "unexpected chain more"},
		{"add set inet outrider more { type ipv4_addr; }", "unexpected set more"},
	} {
		p := apply(t, pod, c)
		pod.Must(t, tamper.script, "nft", "-f", "-")
		var err error
		pod.Do(func() { err = Verify(p) })
		if want := "kernel rules differ from the plan: " + tamper.want; err == nil || err.Error() != want {
			t.Errorf("%s:\n got %v\nwant %s", tamper.script, err, want)
		}
	}
	p := apply(t, pod, config(t, "-m", "NONE"))
	pod.Must(t, "table inet outrider {}", "nft", "-f", "-")
	var err error
	if pod.Do(func() { err = Verify(p) }); err == nil || !strings.Contains(err.Error(), "unexpected table outrider") {
		t.Errorf("a table against mode NONE: %v", err)
	}
}

// TestFailureKeepsOldRules: a transaction that the kernel rejects changes
// nothing.
func TestFailureKeepsOldRules(t *testing.T) {
	pod := setup(t)
	apply(t, pod, config(t, "-i", "192.0.2.0/24"))
	before := pod.Must(t, "", "nft", "-s", "list", "ruleset")
	p := redirect.NewPlan(config(t, "-i", "*", "-x", "10.0.0.0/8"), redirect.Inet)
	p.Rules[0].Match = redirect.Match{On: redirect.InSet, Set: &redirect.Set{Name: "absent", Kind: redirect.SetIPv4}}
	var err error
	pod.Do(func() { err = Apply(p) })
	if err == nil {
		t.Fatal("a rule with an absent set was applied")
	}
	if after := pod.Must(t, "", "nft", "-s", "list", "ruleset"); after != before {
		t.Errorf("the rules changed from\n%s\nto\n%s", before, after)
	}
}

func TestDiagnose(t *testing.T) {
	for errno, want := range map[syscall.Errno]string{
		syscall.EPERM:           "capability NET_ADMIN is missing",
		syscall.EPROTONOSUPPORT: "no netfilter netlink",
		syscall.EOPNOTSUPP:      "no nf_tables",
		syscall.ENOENT:          "lacks NAT for nf_tables",
		syscall.EMSGSIZE:        "do not fit into one netlink message",
	} {
		err := diagnose("apply", fmt.Errorf("conn.Receive: %w", &os.SyscallError{Syscall: "recvmsg", Err: errno}))
		if !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), errno.Error()) {
			t.Errorf("%v: %v", errno, err)
		}
	}
}

// FuzzDecodeDump: any bytes give elements or an error.
func FuzzDecodeDump(f *testing.F) {
	f.Add([]byte{0x30, 0, 0, 0, 12, 10, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 28, 0, 3, 0x80, 24, 0, 1, 0x80,
		8, 0, 3, 0, 0, 0, 0, 1, 12, 0, 1, 0x80, 8, 0, 1, 0, 10, 0, 0, 1})
	f.Add([]byte{20, 0, 0, 0, 3, 0, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		var out []boundary
		if more, err := decodeDump(b, &out); more && err != nil {
			t.Fatalf("more to come after %v", err)
		}
	})
}
