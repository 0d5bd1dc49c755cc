//go:build linux

package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/outrider-mesh/outrider/test/kit/netns"
	"github.com/outrider-mesh/outrider/test/page"
)

// binary is the program as it is shipped: static and stripped.
var binary string

// confineEnv makes the test binary drop its privileges and become the program.
const confineEnv = "OUTRIDER_TEST_CONFINE"

func TestMain(m *testing.M) {
	if caps := os.Getenv(confineEnv); caps != "" {
		fmt.Fprintln(os.Stderr, confine(caps, os.Args[1:]))
		os.Exit(99)
	}
	os.Exit(testMain(m))
}

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "outrider-init")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "outrider-init")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w -X main.version=v0.0.0-test", "-o", binary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build outrider-init: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// confine drops what a restricted pod does not have: all capabilities but
// NET_ADMIN (with caps "none" that too), new privileges, a writable root. With
// caps "no_netfilter" the kernel has no netfilter either, as in a sandbox.
func confine(caps string, args []string) error {
	keep := uint32(1 << unix.CAP_NET_ADMIN)
	if caps == "none" {
		keep = 0
	}
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	// Busy while a process writes through the mount, if only an access time.
	for try := 0; ; try++ {
		err := unix.Mount("", "/", "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, "")
		if err == nil {
			break
		}
		if err != unix.EBUSY || try == 100 {
			return fmt.Errorf("make the root read-only: %w", err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err := os.WriteFile("/outrider-test", nil, 0o600); err == nil {
		return fmt.Errorf("the root is still writable")
	}
	for c := range uintptr(unix.CAP_LAST_CAP + 1) {
		if keep&(1<<c) == 0 || c >= 32 {
			_ = unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0)
		}
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	if caps == "no_netfilter" {
		if err := withoutNetfilter(); err != nil {
			return err
		}
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	data := [2]unix.CapUserData{{Effective: keep, Permitted: keep}}
	if err := unix.Capset(&header, &data[0]); err != nil {
		return err
	}
	return syscall.Exec(os.Getenv("OUTRIDER_TEST_BINARY"), append([]string{"outrider-init"}, args...), nil)
}

// withoutNetfilter makes the kernel respond like one without netfilter's netlink.
func withoutNetfilter() error {
	const protocol = 16 + 2*8 // offset of the third argument in seccomp_data
	program := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_SOCKET, Jf: 3},
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: protocol},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.NETLINK_NETFILTER, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EPROTONOSUPPORT)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	filter := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	return unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&filter)), 0, 0)
}

// result is the result of one run of the program.
type result struct {
	code           int
	stdout, stderr string
}

// command is the program with the environment env and its output kept.
func command(env []string, args ...string) (*exec.Cmd, *bytes.Buffer, *bytes.Buffer) {
	cmd := exec.Command(binary, args...)
	cmd.Env = env
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	return cmd, &stdout, &stderr
}

func runIn(t testing.TB, n *netns.NS, env []string, args ...string) result {
	t.Helper()
	cmd, stdout, stderr := command(env, args...)
	return finish(t, n, cmd, stdout, stderr)
}

func finish(t testing.TB, n *netns.NS, cmd *exec.Cmd, stdout, stderr *bytes.Buffer) result {
	t.Helper()
	if err := n.Start(cmd); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

func (r result) want(t *testing.T, code int, stdout, stderr string) {
	t.Helper()
	if r.code != code || r.stdout != stdout || r.stderr != stderr {
		t.Errorf("exit %d, want %d\nstdout %q\n  want %q\nstderr %q\n  want %q", r.code, code, r.stdout, stdout, r.stderr, stderr)
	}
}

const everything = "outrider-init: captures to port 15001: IPv4 everything, IPv6 everything; " +
	"bypass: uid 1337, gid 1337, loopback, non-TCP; "

func TestInPod(t *testing.T) {
	pod := netns.NewPod(t)
	runIn(t, pod.NS, nil, "-i", "*").want(t, 0, everything+"7 rules verified, 4/4 test connections passed\n", "")

	// All arguments at once, as a template for istio-iptables passes them.
	runIn(t, pod.NS, nil, "istio-iptables", "-p", "15001", "-z", "15006", "-u", "1337", "-g", "1337", "-m", "REDIRECT",
		"-i", "10.4.0.0/14,10.7.240.0/20", "-x", "10.0.0.1/24", "-b", "", "-d", "", "-q", "8080,9090", "-o", "22", "-c", "eth1",
		"--log_output_level=default:info").want(t, 0,
		"outrider-init: captures to port 15001: IPv4 1 range (10.4.0.0/14), IPv6 no range, ports 8080,9090; "+
			"bypass: IPv4 1 range (10.0.0.0/24), ports 22, interfaces eth1, uid 1337, gid 1337, loopback, non-TCP; "+
			"11 rules verified, 5/5 test connections passed\n",
		"outrider-init: note: ignored (inbound capture is not supported): -z\n"+
			"outrider-init: note: -i has IPv4 ranges only: IPv6 connections bypass the proxy, except to ports in -q\n")

	// The environment is used where a flag is absent; an empty variable is not.
	runIn(t, pod.NS, []string{"ISTIO_SERVICE_CIDR=*", "ENVOY_PORT=16001", "PROXY_UID="}, "-p", "15001").want(t, 0,
		everything+"7 rules verified, 4/4 test connections passed\n", "")

	// What is excluded whole is not captured, whatever is included.
	runIn(t, pod.NS, nil, "-i", "*", "-x", "0.0.0.0/1,128.0.0.0/1").want(t, 0,
		"outrider-init: captures to port 15001: IPv4 nothing (all excluded), IPv6 everything; "+
			"bypass: IPv4 1 range (0.0.0.0/0), uid 1337, gid 1337, loopback, non-TCP; 8 rules verified, 3/3 test connections passed\n",
		"outrider-init: note: -x excludes every included IPv4 address: no IPv4 connection is captured\n")

	runIn(t, pod.NS, nil, "--cleanup").want(t, 0, "outrider-init: redirect rules removed\n", "")
	runIn(t, pod.NS, nil, "--cleanup").want(t, 0, "outrider-init: redirect rules removed\n", "")
	if rules := pod.Must(t, "", "nft", "list", "ruleset"); rules != "" {
		t.Errorf("after cleanup:\n%s", rules)
	}
}

// TestVerificationSkipped: while the proxy listens on its port, test connections
// to it are reported as skipped, and the rules stay.
func TestVerificationSkipped(t *testing.T) {
	pod := netns.NewPod(t)
	pod.Listen(t, "127.0.0.1:15001", func(net.Conn) string { return "proxy" })
	pod.Listen(t, "[::1]:15001", func(net.Conn) string { return "proxy" })
	runIn(t, pod.NS, nil, "-i", "*").want(t, 0, everything+"7 rules verified, 2/4 test connections passed"+
		"; skipped: IPv4 is captured (everything): port 15001 in use; is the proxy already running?"+
		"; skipped: IPv6 is captured (everything): port 15001 in use; is the proxy already running?\n", "")
	// A program that runs as the proxy's user cannot be captured itself.
	runIn(t, netns.NewPod(t).NS, nil, "-i", "*", "-u", "0").want(t, 0, "outrider-init: captures to port 15001: IPv4 everything, IPv6 everything; "+
		"bypass: uid 0, gid 0, loopback, non-TCP; 7 rules verified, 2/3 test connections passed"+
		"; skipped: connections are captured: no capturable connection can be made as uid 0, gid 0\n",
		"outrider-init: note: -u has uid 0: connections of containers that run as root bypass the proxy\n")
	// A network with loopback only, and without even that.
	runIn(t, netns.New(t), nil, "-i", "*").want(t, 0, everything+"7 rules verified, 0/4 test connections passed"+
		"; skipped: IPv4 is captured (everything): no route to 203.0.113.1: network is unreachable"+
		"; skipped: IPv6 is captured (everything): the pod has no loopback address of this family"+
		"; skipped: IPv4 loopback bypasses the proxy: connect to 127.0.0.1: network is unreachable"+
		"; skipped: IPv6 loopback bypasses the proxy: the pod has no loopback address of this family\n", "")
}

// TestVerificationFails: rules that are installed and do not work stop the pod.
func TestVerificationFails(t *testing.T) {
	pod := netns.NewPod(t)
	pod.Must(t, "table ip other { chain output { type nat hook output priority -150; tcp dport 9 dnat to 10.99.0.1:81; }; }", "nft", "-f", "-")
	runIn(t, pod.NS, nil, "-i", "*").want(t, 1, "", "outrider-init: rules installed but verification failed; "+
		"another component may have conflicting rules: failed: IPv4 to 192.0.2.1:9 is captured (everything): "+
		"connection went to 192.0.2.1:9 instead of the proxy\n")
	pod.Must(t, "flush ruleset; table inet other { chain output { type filter hook output priority 0; ip daddr 127.0.0.1 tcp dport 15001 drop; }; }", "nft", "-f", "-")
	r := runIn(t, pod.NS, nil, "-i", "*")
	if r.code != 1 || !strings.Contains(r.stderr, "connection did not arrive at 127.0.0.1:15001 within 2s") {
		t.Errorf("a dropped connection: exit %d, stderr %q", r.code, r.stderr)
	}
}

// TestConfined: uid 0 with NET_ADMIN only, read-only root, no new privileges;
// and without NET_ADMIN, where the old rules must stay.
func TestConfined(t *testing.T) {
	pod := netns.NewPod(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	confined := func(caps string) result {
		cmd, stdout, stderr := command([]string{confineEnv + "=" + caps, "OUTRIDER_TEST_BINARY=" + binary}, "-i", "*")
		cmd.Path = self
		return finish(t, pod.NS, cmd, stdout, stderr)
	}
	confined("net_admin").want(t, 0, everything+"7 rules verified, 4/4 test connections passed\n", "")
	before := pod.Must(t, "", "nft", "-s", "list", "ruleset")
	r := confined("none")
	if r.code != 1 || !strings.Contains(r.stderr, "the capability NET_ADMIN is missing: set runAsUser: 0") {
		t.Errorf("without NET_ADMIN: exit %d, stderr %q", r.code, r.stderr)
	}
	r = confined("no_netfilter")
	if r.code != 1 || !strings.Contains(r.stderr, "the kernel has no netfilter netlink (module nfnetlink): load it on the node") {
		t.Errorf("without netfilter: exit %d, stderr %q", r.code, r.stderr)
	}
	if after := pod.Must(t, "", "nft", "-s", "list", "ruleset"); after != before {
		t.Errorf("the rules changed:\n%s", after)
	}
}

func TestBinary(t *testing.T) {
	info, err := os.Stat(binary)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("outrider-init is %.1f MB", float64(info.Size())/1e6)
	if info.Size() > 5<<20 {
		t.Errorf("outrider-init is %d bytes, at most 5 MiB are allowed", info.Size())
	}
	deps, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	for dep := range strings.Lines(string(deps)) {
		if strings.HasPrefix(dep, "k8s.io/") || strings.HasPrefix(dep, "sigs.k8s.io/") || strings.HasPrefix(dep, "istio.io/") {
			t.Errorf("depends on %s", strings.TrimSpace(dep))
		}
	}
}

func TestRunWithoutKernel(t *testing.T) {
	run0 := func(args ...string) result {
		var stdout, stderr bytes.Buffer
		code := run(args, func(string) string { return "" }, &stdout, &stderr)
		return result{code, stdout.String(), stderr.String()}
	}
	if r := run0("--help"); r.code != 0 || !strings.HasPrefix(r.stdout, "Usage: outrider-init") {
		t.Errorf("--help: %+v", r)
	}
	if r := run0("--version"); r.code != 0 || !strings.HasPrefix(r.stdout, "outrider-init ") {
		t.Errorf("--version: %+v", r)
	}
	if r := run0("-i", "*", "--dry-run"); r.code != 0 || !strings.Contains(r.stdout, "counter goto to_proxy comment \"everything\"") {
		t.Errorf("--dry-run: %+v", r)
	}
	run0("-i", "10.0.0.0/08", "-p", "0", "--what").want(t, 2, "", "outrider-init: invalid arguments:\n"+
		"  --what: unknown flag; see --help\n"+
		"  -p: \"0\": port number must be in the range 1..65535\n"+
		"  -i: \"10.0.0.0/08\": leading zero in prefix length \"/08\"; use 10.0.0.0/8\n")
}

// TestDocs runs every command of docs/redirect.md in a pod and compares what
// it prints.
func TestDocs(t *testing.T) {
	pod := netns.NewPod(t)
	text, err := os.ReadFile("../../docs/redirect.md")
	if err != nil {
		t.Fatal(err)
	}
	var commands []page.Command
	for _, b := range page.Of(string(text), "console") {
		commands = append(commands, b.Commands()...)
	}
	if len(commands) != 3 {
		t.Errorf("%d commands in docs/redirect.md, want 3", len(commands))
	}
	for _, c := range commands {
		line, want := c.Line, c.Output+"\n"
		args := strings.Fields(strings.ReplaceAll(line, `"`, ""))
		if args[0] != "outrider-init" {
			t.Fatalf("docs/redirect.md runs %s", line)
		}
		runIn(t, pod.NS, nil, args[1:]...).want(t, 0, want, "")
	}
}
