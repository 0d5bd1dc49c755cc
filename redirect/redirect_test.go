package redirect

import (
	"errors"
	stdflag "flag"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/outrider-mesh/outrider/cidr"
	"github.com/outrider-mesh/outrider/internal/problem"
)

var update = stdflag.Bool("update", false, "write the golden files")

func environment(pairs ...string) func(string) string {
	return func(name string) string {
		for _, p := range pairs {
			if v, ok := strings.CutPrefix(p, name+"="); ok {
				return v
			}
		}
		return ""
	}
}

func mustArgs(t testing.TB, args ...string) Config {
	t.Helper()
	c, _, err := ParseArgs(args, environment())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// show is a configuration in one line, without the defaults.
func show(c Config) string {
	var b strings.Builder
	add := func(name string, v any, absent string) {
		if s := fmt.Sprint(v); s != absent {
			fmt.Fprintf(&b, "%s=%s ", name, s)
		}
	}
	add("action", int(c.Action), "0")
	add("mode", c.Mode, "REDIRECT")
	add("port", c.ProxyPort, "15001")
	add("uids", c.ProxyUIDs, "[1337]")
	add("gids", c.ProxyGIDs, "[1337]")
	add("include", c.Include, "")
	add("exclude", c.Exclude, "")
	add("includePorts", c.IncludePorts, "")
	add("excludePorts", c.ExcludePorts, "")
	add("interfaces", c.ExcludeInterfaces, "[]")
	add("loopback", c.CaptureLoopback, "false")
	add("wait", c.WaitForProxy, "false")
	return strings.TrimSpace(b.String())
}

func TestParseArgs(t *testing.T) {
	for _, c := range []struct {
		args []string
		env  []string
		want string
	}{
		{},
		{args: []string{"istio-iptables"}},
		{args: []string{"istio-iptables", "-p", "15001", "-z", "15006", "-u", "1337", "-m", "REDIRECT", "-i", "*", "-x", "", "-b", "*",
			"-d", "15090,15021,15020", "-q", "", "-o", "", "-c", "", "--log_output_level=default:info"}, want: "include=*"},
		{args: []string{"-p16000", "-i*", "-o=22", "-x=10.0.0.0/8"}, want: "port=16000 include=* exclude=10.0.0.0/8 excludePorts=22"},
		{args: []string{"-i", "10.4.0.0/14, 10.7.240.0/20,"}, want: "include=10.4.0.0/14"},
		{args: []string{"-x", "10.0.0.0/9", "-x", "10.128.0.0/9", "-q", "80", "-q", "443,80"}, want: "exclude=10.0.0.0/8 includePorts=80,443"},
		{args: []string{"-p", "1", "-p", "1"}, want: "port=1"},
		{args: []string{"-u", "1337,4000"}, want: "uids=[1337 4000] gids=[1337 4000]"},
		{args: []string{"-u", "4000", "-g", "0"}, want: "uids=[4000] gids=[0]"},
		{args: []string{"-u", " , "}},
		{args: []string{"-u", "4000", "-g", ""}, want: "uids=[4000] gids=[]"},
		{args: []string{"-g", " , "}, want: "gids=[]"},
		{args: []string{"-g", "", "-g", "0"}, want: "gids=[0]"},
		{args: []string{"--proxy-gid="}, want: "gids=[]"},
		{env: []string{"PROXY_GID="}},
		{args: []string{"-c", "eth1, net+,eth1"}, want: "interfaces=[eth1 net+]"},
		{args: []string{"-i", "127.0.0.0/8,126.0.0.0/8"}, want: "include=126.0.0.0/7 loopback=true"},
		{args: []string{"-i", "::1"}, want: "include=::1/128 loopback=true"},
		{args: []string{"-i", "::ffff:127.0.0.1"}, want: "include=127.0.0.1/32 loopback=true"},
		{args: []string{"-i", "0.0.0.0/0"}, want: "include=0.0.0.0/0"},
		{args: []string{"-m", "none"}, want: "mode=NONE"},
		{args: []string{"-i", "*", "--wait-for-proxy"}, want: "include=* wait=true"},
		{args: []string{"--wait-for-proxy=false"}},
		{args: []string{"-n"}, want: "action=1"},
		{args: []string{"-nf"}, want: "action=1"},
		{args: []string{"--dry-run=false"}},
		{args: []string{"--cleanup"}, want: "action=2"},
		{args: []string{"--cleanup-only=true"}, want: "action=2"},
		{args: []string{"--version"}, want: "action=3"},
		{args: []string{"-h"}, want: "action=4"},
		{args: []string{"--log_as_json", "--log_output_level", "all:debug", "-p", "7"}, want: "port=7"},
		{args: []string{"--redirect-dns=false", "-k", "", "--iptables-trace-logging=f"}},
		{env: []string{"ENVOY_PORT=16001", "ISTIO_SERVICE_CIDR=10.0.0.0/8", "ISTIO_SERVICE_EXCLUDE_CIDR=10.1.0.0/16",
			"ISTIO_OUTBOUND_PORTS=80", "ISTIO_LOCAL_OUTBOUND_PORTS_EXCLUDE=22", "ISTIO_EXCLUDE_INTERFACES=eth1", "PROXY_UID=7"},
			want: "port=16001 uids=[7] gids=[7] include=10.0.0.0/8 exclude=10.1.0.0/16 includePorts=80 excludePorts=22 interfaces=[eth1]"},
		{args: []string{"-p", "15001", "-i", ""}, env: []string{"ENVOY_PORT=16001", "ISTIO_SERVICE_CIDR=*"}},
		{env: []string{"ISTIO_OUTBOUND_OWNER_GROUPS=*", "ISTIO_META_DNS_CAPTURE=false", "DRY_RUN=true"}, want: "action=1"},
	} {
		got, _, err := ParseArgs(c.args, environment(c.env...))
		if err != nil || show(got) != c.want {
			t.Errorf("%q %q\n got %s, %v\nwant %s", c.args, c.env, show(got), err, c.want)
		}
	}
}

func TestParseArgs_Rejects(t *testing.T) {
	names := "names are not allowed here, only CIDR ranges; names are resolved at admission: recreate the pod through the webhook, or pass the ranges"
	ids := "not a numeric ID; use a number in the range 0..4294967294; names are not resolved"
	wildcard := `wildcard is not allowed here; use -i "*" to capture everything, -m NONE to capture nothing`
	for _, c := range []struct {
		args, env []string
		want      []string
	}{
		{args: []string{"-m", "TPROXY"}, want: []string{`-m: "TPROXY": not supported: TPROXY is a mode of inbound capture; use REDIRECT`}},
		{args: []string{"-m", "x"}, want: []string{`-m: "x": invalid mode; use REDIRECT or NONE`}},
		{args: []string{"--wat", "-Y", "stray"}, want: []string{"--wat: unknown flag; see --help", "-Y: unknown flag; see --help",
			`argument: "stray": not a flag; pass each value after its flag; see --help`}},
		{args: []string{"--"}, want: []string{`argument: "--": not a flag; pass each value after its flag; see --help`}},
		{args: []string{"-x"}, want: []string{`-x: missing value; pass one, or "" for an empty one`}},
		{args: []string{"-p", "1", "--envoy-port", "2"}, want: []string{`--envoy-port: "2": specified more than once (first: "1"); specify it once`}},
		{args: []string{"-p", "65536", "-u", "root,-1,4294967295", "-c", "a/b,0123456789abcdef,+"}, want: []string{
			`-p: "65536": port number must be in the range 1..65535`,
			`-c: "a/b": invalid interface name; use the name that "ip link" shows; a final + matches any suffix`,
			`-c: "0123456789abcdef": 16 bytes exceed the maximum length of 15; use the name that "ip link" shows`,
			`-c: "+": excludes every interface; use -m NONE to capture nothing`,
			`-u: "root": ` + ids, `-u: "-1": ` + ids, `-u: "4294967295": ` + ids}},
		{args: []string{"-i", "cluster,10.0.0.0/08", "-x", "*", "-q", "*", "-o", "80-81"}, want: []string{
			`-i: "cluster": ` + names,
			`-i: "10.0.0.0/08": leading zero in prefix length "/08"; use 10.0.0.0/8`,
			`-x: "*": ` + wildcard,
			`-q: "*": ` + wildcard,
			`-o: "80-81": port ranges are not supported; use 80,81`}},
		{args: []string{"-i", "*,10.0.0.0/8"}, want: []string{`-i: "*": cannot be combined with ranges; use "*" alone, or only the ranges`}},
		{args: []string{"-i", "*", "-i", "10.0.0.0/8"}, want: []string{`-i: "*": cannot be combined with ranges; use "*" alone, or only the ranges`}},
		{args: []string{"--redirect-dns", "-k", "eth7", "--dry-run=maybe"}, want: []string{
			`-k: "eth7": not supported: traffic of virtual machines behind an interface is not captured; remove it`,
			`--redirect-dns: "true": not supported: DNS is not captured; remove it`,
			`--dry-run: "maybe": not a boolean; use true or false`}},
		{args: []string{"--cleanup", "-n"}, want: []string{"--cleanup: cannot be combined with --dry-run; specify only one"}},
		{env: []string{"ISTIO_META_DNS_CAPTURE=true", "ISTIO_OUTBOUND_OWNER_GROUPS=java", "ISTIO_SERVICE_CIDR=x y"}, want: []string{
			`environment variable ISTIO_META_DNS_CAPTURE: "true": not supported: DNS is not captured; remove it`,
			`environment variable ISTIO_OUTBOUND_OWNER_GROUPS: "java": not supported: capture by owner group is not supported; remove it`,
			`environment variable ISTIO_SERVICE_CIDR: "x": ` + names,
			`environment variable ISTIO_SERVICE_CIDR: "y": ` + names}},
	} {
		got, _, err := ParseArgs(c.args, environment(c.env...))
		want := strings.Join(c.want, "\n")
		if err == nil || err.Error() != want {
			t.Errorf("%q %q:\n got %v\nwant %s", c.args, c.env, err, want)
		}
		if show(got) != show(Config{}) {
			t.Errorf("%q: a configuration beside the error: %s", c.args, show(got))
		}
	}
}

// What istio-iptables reads from its environment and this program does not is
// listed, unless it requests what happens anyway.
func TestIgnoredVariables(t *testing.T) {
	for _, c := range []struct {
		args []string
		env  map[string]string
		want string
	}{
		{args: []string{"--native-nftables"}, want: "ignored: --native-nftables (rules are always nftables)"},
		{args: []string{"--native-nftables=false"}},
		{env: map[string]string{"NATIVE_NFTABLES": "true"}, want: "ignored: environment variable NATIVE_NFTABLES (rules are always nftables)"},
		{env: map[string]string{"DUAL_STACK": "true"}, want: "ignored: environment variable DUAL_STACK (both address families always have rules)"},
		{env: map[string]string{"ISTIO_DUAL_STACK": "true"}, want: "ignored: environment variable ISTIO_DUAL_STACK (both address families always have rules)"},
		{env: map[string]string{"FORCE_APPLY": "1", "RECONCILE": "true", "PROBE_TIMEOUT": "5s"},
			want: "ignored: environment variable FORCE_APPLY (rules are always replaced as a whole), environment variable RECONCILE (rules are always replaced as a whole), environment variable PROBE_TIMEOUT (verification has a fixed timeout)"},
		{env: map[string]string{"ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR": "127.0.0.0/8"}, want: "ignored: environment variable ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR (127.0.0.1 and ::1 are never captured)"},
		{env: map[string]string{"ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR": "127.0.0.1/32", "INBOUND_INTERCEPTION_MODE": "REDIRECT", "DROP_INVALID": "false", "REDIRECT_DNS": "0"}},
		{env: map[string]string{"REDIRECT_DNS": "true", "SKIP_RULE_APPLY": "true"}, want: "ignored: environment variable REDIRECT_DNS (DNS is not captured), environment variable SKIP_RULE_APPLY (rules are always installed)"},
		{env: map[string]string{"INVALID_DROP": "true", "INBOUND_CAPTURE_PORT": "15006"}, want: "ignored (inbound capture is not supported): environment variable INBOUND_CAPTURE_PORT, environment variable INVALID_DROP"},
		{env: map[string]string{"PATH": "/bin", "HOME": "/"}},
	} {
		_, notes, err := ParseArgs(append([]string{"-i", "*"}, c.args...), func(name string) string { return c.env[name] })
		if err != nil || len(notes) > 1 || len(notes) == 1 != (c.want != "") || len(notes) == 1 && string(notes[0]) != c.want {
			t.Errorf("%v %v: %q, %v; want %q", c.args, c.env, notes, err, c.want)
		}
	}
}

func TestNotes(t *testing.T) {
	for _, c := range []struct {
		args []string
		want []Note
	}{
		{[]string{"-i", "*"}, nil},
		{[]string{"-i", "*", "-z", "15006", "-b", "*", "-d", "", "--drop-invalid"},
			[]Note{"ignored (inbound capture is not supported): -z, -b, --drop-invalid"}},
		{[]string{"-i", "*", "--run-validation", "--dual-stack=false", "-f=false"},
			[]Note{"ignored: --run-validation (rules are always verified)"}},
		{[]string{"-i", "10.0.0.0/8"}, []Note{"-i has IPv4 ranges only: IPv6 connections bypass the proxy, except to ports in -q"}},
		{nil, []Note{"-i and -q are empty: nothing is captured"}},
		{[]string{"-q", "80"}, nil},
		{[]string{"-i", "10.0.0.0/8,::/0", "-x", "0.0.0.0/0,::/0"}, []Note{"-x excludes everything that -i includes: nothing is captured"}},
		{[]string{"-i", "*", "-x", "0.0.0.0/0"}, []Note{"-x excludes every included IPv4 address: no IPv4 connection is captured"}},
		{[]string{"-i", "*", "-x", "::/1,8000::/1"}, []Note{"-x excludes every included IPv6 address: no IPv6 connection is captured"}},
		{[]string{"-i", "*", "-x", "0.0.0.0/1,128.0.0.0/1,::/0"}, []Note{"-x excludes everything that -i includes: nothing is captured"}},
		{[]string{"-i", "*", "-x", "0.0.0.0/1,128.0.0.0/2,192.0.0.0/3"}, []Note{"-x excludes every included IPv4 address: no IPv4 connection is captured"}},
		{[]string{"-i", "10.0.0.0/8", "-x", "10.0.0.0/8", "-q", "80"}, []Note{"-i has IPv4 ranges only: IPv6 connections bypass the proxy, except to ports in -q"}},
		{[]string{"-q", "80", "-o", "80"}, []Note{"-x and -o exclude everything that -i and -q include: nothing is captured"}},
		{[]string{"-i", "*", "-u", "0"}, []Note{"-u has uid 0: connections of containers that run as root bypass the proxy"}},
		{[]string{"-m", "NONE"}, []Note{"mode NONE: no rules are installed, nothing is captured"}},
		{[]string{"--cleanup"}, nil},
	} {
		_, notes, err := ParseArgs(c.args, environment())
		if err != nil || fmt.Sprintf("%q", notes) != fmt.Sprintf("%q", c.want) {
			t.Errorf("%q: notes %q, %v; want %q", c.args, notes, err, c.want)
		}
	}
}

// TestErrorIsBounded: a log or a termination message has limits.
func TestErrorIsBounded(t *testing.T) {
	_, _, err := ParseArgs([]string{"-u", strings.Repeat("1.2.3.4/99,", 50_000)}, environment())
	if n := len(err.Error()); n > 4000 || !strings.HasSuffix(err.Error(), "and 49980 more") {
		t.Errorf("an error of %d bytes, ending in %q", n, err.Error()[n-30:])
	}
	var list problem.List
	if !errors.As(err, &list) || len(list) != 50_000 {
		t.Errorf("%T with %d problems", err, len(list))
	}
}

func TestScript(t *testing.T) {
	c := mustArgs(t, "-i", "10.4.0.0/14,10.7.240.0/20,fd00::/8,::1,192.168.0.0/24,192.168.2.0/24,192.168.4.0/24,192.168.6.0/24,192.168.8.0/24,192.168.10.0/24",
		"-x", "10.4.1.0/24,fd00:1::/32", "-q", "80,443", "-o", "22,15090", "-c", "eth1,net+", "-u", "1337,1338", "-g", "7", "-p", "16001")
	for name, p := range map[string]Plan{
		"every-rule.nft": NewPlan(c, Inet),
		"ipv4-only.nft":  NewPlan(c, IPv4Only),
		"everything.nft": NewPlan(mustArgs(t, "-i", "*"), Inet),
		"waits.nft":      NewPlan(mustArgs(t, "-i", "*", "--wait-for-proxy"), Inet),
		"none.nft":       NewPlan(mustArgs(t, "-m", "NONE"), Inet),
	} {
		path := "testdata/" + name
		if *update {
			if err := os.WriteFile(path, []byte(p.Script()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if p.Script() != string(want) {
			t.Errorf("%s: run with -update and look at the difference; got\n%s", name, p.Script())
		}
	}
}

func TestDecide(t *testing.T) {
	c := mustArgs(t, "-i", "10.0.0.0/8,fd00::/8", "-x", "10.1.0.0/16", "-q", "443", "-o", "22", "-c", "net+")
	for _, x := range []struct {
		conn Connection
		want string
	}{
		{Connection{Destination: netip.MustParseAddrPort("10.2.3.4:80")}, "captured to 127.0.0.1:15001: its address is in the included range 10.0.0.0/8"},
		{Connection{Destination: netip.MustParseAddrPort("[fd00::1%eth0]:80")}, "captured to [::1]:15001: its address is in the included range fd00::/8"},
		{Connection{Destination: netip.MustParseAddrPort("[::ffff:10.2.3.4]:80")}, "captured to 127.0.0.1:15001: its address is in the included range 10.0.0.0/8"},
		{Connection{Destination: netip.MustParseAddrPort("10.1.3.4:443")}, "bypasses the proxy: its address is in the excluded range 10.1.0.0/16"},
		{Connection{Destination: netip.MustParseAddrPort("11.1.3.4:443")}, "captured to 127.0.0.1:15001: port 443 is included"},
		{Connection{Destination: netip.MustParseAddrPort("11.1.3.4:80")}, "bypasses the proxy: neither its address nor its port is included"},
		{Connection{Destination: netip.MustParseAddrPort("10.2.3.4:22")}, "bypasses the proxy: port 22 is excluded"},
		{Connection{Destination: netip.MustParseAddrPort("10.2.3.4:80"), UID: 1337}, "bypasses the proxy: its owner is the proxy's user 1337"},
		{Connection{Destination: netip.MustParseAddrPort("10.2.3.4:80"), GID: 1337}, "bypasses the proxy: its owner is in the proxy's group 1337"},
		{Connection{Destination: netip.MustParseAddrPort("10.2.3.4:80"), Interface: "net1"}, "bypasses the proxy: its outbound interface net1 is excluded"},
		{Connection{Destination: netip.MustParseAddrPort("10.2.3.4:80"), Interface: "lo"}, "bypasses the proxy: it stays inside the pod, on interface lo"},
		{Connection{Destination: netip.MustParseAddrPort("127.0.0.1:443")}, "bypasses the proxy: it stays inside the pod, on interface lo"},
		{Connection{Destination: netip.MustParseAddrPort("10.2.3.4:53"), Protocol: "udp"}, "bypasses the proxy: only TCP is captured, not udp"},
	} {
		if got := Decide(c, x.conn).String(); got != x.want {
			t.Errorf("%+v: %s\nwant %s", x.conn, got, x.want)
		}
	}
	if got := Decide(mustArgs(t, "-m", "NONE"), Connection{Destination: netip.MustParseAddrPort("1.1.1.1:80")}).String(); got != "bypasses the proxy: the pod has no rules (mode NONE)" {
		t.Error(got)
	}
	d := Decide(mustArgs(t, "-i", "::1,127.0.0.0/8"), Connection{Destination: netip.MustParseAddrPort("[::1]:80")})
	if d.Reason != ReasonLoopbackAddress || d.String() != "bypasses the proxy: ::1 is the pod's own address" {
		t.Error(d)
	}
}

func TestTargets(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"-i", "*"}, "everything 192.0.2.1:9, everything [2001:db8::1]:9"},
		{[]string{"-i", "*", "-o", "9,80"}, "everything 192.0.2.1:443, everything [2001:db8::1]:443"},
		{[]string{"-i", "10.0.0.0/8"}, "included-range 10.0.0.1:9"},
		{[]string{"-q", "9090"}, "included-port 192.0.2.1:9090, included-port [2001:db8::1]:9090"},
		{[]string{"-i", "*", "-q", "80"}, "included-port 192.0.2.1:80, everything 192.0.2.1:9, included-port [2001:db8::1]:80, everything [2001:db8::1]:9"},
		{[]string{"-i", "10.0.0.0/8", "-x", "10.0.0.0/9,10.192.0.0/10"}, "included-range 10.128.0.0:9"},
		{[]string{"-i", "224.0.0.0/4,fe80::/10,127.0.0.0/8,0.0.0.0/8"}, ""},
		{[]string{"-i", ""}, ""},
		{[]string{"-i", "*", "-u", "0"}, ""},
		{[]string{"-m", "NONE"}, ""},
	} {
		cfg := mustArgs(t, c.args...)
		var got []string
		for _, target := range NewPlan(cfg, Inet).Targets(cfg, 0, 0) {
			got = append(got, fmt.Sprintf("%s %s", target.Reason, target.Candidates[0]))
		}
		if strings.Join(got, ", ") != c.want {
			t.Errorf("%q: %q, want %q", c.args, got, c.want)
		}
	}
}

func TestSummary(t *testing.T) {
	for _, c := range []struct {
		args []string
		f    Family
		want string
	}{
		{[]string{"-i", "*", "-x", "10.4.0.0/14,10.7.240.0/20,11.0.0.0/8,12.0.0.0/16,13.0.0.0/8,fd00::/8", "-o", "22,23", "-c", "eth1"}, Inet,
			"captures to port 15001: IPv4 everything, IPv6 everything; bypass: IPv4 4 ranges (10.4.0.0/14, 11.0.0.0/8, 12.0.0.0/16, …), " +
				"IPv6 1 range (fd00::/8), ports 22,23, interfaces eth1, uid 1337, gid 1337, loopback, non-TCP"},
		{[]string{"-i", "127.0.0.0/8", "-q", "80"}, Inet,
			"captures to port 15001: IPv4 1 range (127.0.0.0/8), IPv6 no range, ports 80; bypass: uid 1337, gid 1337, 127.0.0.1 and ::1, non-TCP"},
		{[]string{"-i", "*", "-x", "fd00::/8"}, IPv4Only,
			"captures to port 15001: IPv4 everything, no IPv6 in this kernel; bypass: uid 1337, gid 1337, loopback, non-TCP"},
		{[]string{"-i", "*", "-x", "0.0.0.0/1,128.0.0.0/1"}, Inet,
			"captures to port 15001: IPv4 nothing (all excluded), IPv6 everything; bypass: IPv4 1 range (0.0.0.0/0), uid 1337, gid 1337, loopback, non-TCP"},
		{[]string{"-i", "*", "-x", "0.0.0.0/0,::/0", "-q", "80"}, Inet,
			"captures nothing: IPv4 nothing (all excluded), IPv6 nothing (all excluded); bypass: IPv4 1 range (0.0.0.0/0), IPv6 1 range (::/0), uid 1337, gid 1337, loopback, non-TCP"},
		{[]string{"-i", "*", "-x", "0.0.0.0/0"}, IPv4Only,
			"captures nothing: IPv4 nothing (all excluded), no IPv6 in this kernel; bypass: IPv4 1 range (0.0.0.0/0), uid 1337, gid 1337, loopback, non-TCP"},
		{[]string{"-i", "10.0.0.0/8,12.0.0.0/8", "-x", "10.0.0.0/7", "-q", "80,81", "-o", "81"}, Inet,
			"captures to port 15001: IPv4 1 range (12.0.0.0/8), IPv6 no range, ports 80; bypass: IPv4 1 range (10.0.0.0/7), ports 81, uid 1337, gid 1337, loopback, non-TCP"},
		{[]string{"-i", "10.0.0.0/8", "-x", "10.0.0.0/8", "-q", "80"}, Inet,
			"captures to port 15001: IPv4 nothing (all excluded), IPv6 no range, ports 80; bypass: IPv4 1 range (10.0.0.0/8), uid 1337, gid 1337, loopback, non-TCP"},
		{[]string{"-i", ""}, Inet,
			"captures nothing: IPv4 no range, IPv6 no range; bypass: uid 1337, gid 1337, loopback, non-TCP"},
		{[]string{"-m", "NONE"}, Inet, "captures nothing: no rules in mode NONE"},
	} {
		if got := Summary(mustArgs(t, c.args...), c.f); got != c.want {
			t.Errorf("%q\n got %s\nwant %s", c.args, got, c.want)
		}
	}
}

// FuzzParseArgs: any arguments give a configuration or a complete error; and an
// accepted configuration has a plan, a script, a summary and a decision.
func FuzzParseArgs(f *testing.F) {
	f.Add("-i\x00*\x00-x\x0010.0.0.1/24,::1", "10.0.0.1:80", uint32(0))
	f.Add("istio-iptables\x00-p15001\x00-nf\x00--log_x\x00y\x00-c\x00eth+", "[::1]:1", uint32(1337))
	f.Add("-q\x0080-90\x00--\x00-\x00--=\x00-=\x00-\xff", "[fe80::1%a]:1", uint32(1))
	f.Fuzz(func(t *testing.T, line, to string, uid uint32) {
		args := strings.Split(line, "\x00")
		c, _, err := ParseArgs(args, environment("PROXY_UID="+to))
		if err != nil {
			var list problem.List
			if !errors.As(err, &list) || len(list) == 0 {
				t.Fatalf("%T %v", err, err)
			}
			for _, p := range list {
				if p.Path == "" || p.Rule == "" {
					t.Fatalf("incomplete problem %+v", p)
				}
			}
			return
		}
		dest, err := netip.ParseAddrPort(to)
		if err != nil {
			return
		}
		for _, family := range []Family{Inet, IPv4Only} {
			p := NewPlan(c, family)
			d := p.Decide(Connection{Destination: dest, UID: uid})
			if d.Reason == "" || d.String() == "" || p.Script() == "" || Summary(c, family) == "" {
				t.Fatalf("%q: no answer: %+v", args, d)
			}
			if d.Captured && c.Exclude.Contains(dest.Addr()) {
				t.Fatalf("%q: %s is excluded and captured", args, dest)
			}
			for _, target := range p.Targets(c, uid, 0) {
				for _, a := range target.Candidates {
					if !c.Include.Contains(a.Addr()) && !c.IncludePorts.Contains(a.Port()) {
						t.Fatalf("%q: a test connection would go to %s", args, a)
					}
				}
			}
		}
	})
}

func BenchmarkDecide(b *testing.B) {
	var list strings.Builder
	for i := range 50_000 {
		fmt.Fprintf(&list, "%d.%d.%d.0/25,", 20+i>>16, i>>8&255, i&255)
	}
	p := NewPlan(mustArgs(b, "-i", "*", "-x", list.String()), Inet)
	conn := Connection{Destination: netip.MustParseAddrPort("20.195.79.1:80")}
	b.ReportAllocs()
	for b.Loop() {
		if p.Decide(conn).Captured {
			b.Fatal("captured")
		}
	}
}

// TestLargeListsAreSplit: many ranges are in several sets, which together
// decide as one would.
func TestLargeListsAreSplit(t *testing.T) {
	var all []netip.Prefix
	for n := range 2*maxSet + 5 { // every other address, so that none merge
		all = append(all, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(n >> 15), byte(n >> 7), byte(n << 1)}), 32))
	}
	p := NewPlan(Config{Mode: ModeRedirect, ProxyPort: 15001, Include: cidr.Wildcard(), Exclude: cidr.FromPrefixes(all...)}, Inet)
	var names []string
	total := 0
	for _, s := range p.Sets {
		names = append(names, s.Name)
		if n := len(s.Ranges.Prefixes()); n > maxSet {
			t.Errorf("%s has %d ranges", s.Name, n)
		} else {
			total += n
		}
	}
	if got := strings.Join(names, " "); got != "exclude4_1 exclude4_2 exclude4_3" || total != len(all) {
		t.Errorf("sets %s with %d ranges", got, total)
	}
	for n, in := range all {
		if n%997 != 0 && n != len(all)-1 {
			continue
		}
		for addr, want := range map[netip.Addr]Reason{in.Addr(): ReasonExcludedRange, in.Addr().Next(): ReasonEverything} {
			if got := p.Decide(Connection{Destination: netip.AddrPortFrom(addr, 80), UID: 5, GID: 5}); got.Reason != want {
				t.Errorf("%s: %s, want %s", addr, got.Reason, want)
			}
		}
	}
}
