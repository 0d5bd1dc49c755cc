package cidr

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/outrider-mesh/outrider/internal/problem"
)

func mustParse(t testing.TB, value string) List {
	t.Helper()
	l, err := Parse(value, Options{AllowWildcard: true, AllowNames: true})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestMeasuredValues reads every row of the measured table: its last column
// is the normal form to reach, or REJECT.
func TestMeasuredValues(t *testing.T) {
	data, err := os.ReadFile("testdata/range-values.tsv")
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for _, line := range strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")[2:] {
		cols := strings.Split(line, "\t")
		if len(cols) != 7 {
			t.Fatalf("%d columns in %q", len(cols), line)
		}
		value, err := strconv.Unquote(cols[0])
		if err != nil {
			t.Fatalf("%s: %v", cols[0], err)
		}
		rows++
		got := "REJECT"
		if l, err := Parse(value, Options{AllowWildcard: true}); err == nil {
			got = l.String()
		}
		if want := strings.TrimSuffix(cols[6], " (* mixed with ranges)"); got != want {
			t.Errorf("Parse(%q) = %q, want %q", value, got, want)
		}
	}
	if rows != 33 {
		t.Errorf("%d rows, want 33: has the table changed?", rows)
	}
}

func TestParse(t *testing.T) {
	names := Options{AllowWildcard: true, AllowNames: true}
	for _, c := range []struct {
		value, want string
		o           Options
	}{
		{" , ,\t\n", "", Options{}},
		{"*,", "*", names},
		{"10.0.0.0/8\n10.1.0.0/16\r\n", "10.0.0.0/8", Options{}},
		{"10.0.0.0/9,10.128.0.0/9,::1", "10.0.0.0/8,::1/128", Options{}},
		{"::1,10.0.0.1", "10.0.0.1/32,::1/128", Options{}},
		{"::ffff:10.1.2.3", "10.1.2.3/32", Options{}},
		{"::ffff:0:0/96", "0.0.0.0/0", Options{}},
		{"nodes,10.0.0.0/8,cluster,nodes", "cluster,nodes,10.0.0.0/8", names},
		{"255.255.255.255,255.255.255.254", "255.255.255.254/31", Options{}},
		{"::/1,8000::/1", "::/0", Options{}},
	} {
		l, err := Parse(c.value, c.o)
		if err != nil || l.String() != c.want {
			t.Errorf("Parse(%q) = %q, %v; want %q", c.value, l, err, c.want)
		}
	}
}

func TestProblems(t *testing.T) {
	for _, c := range []struct{ value, rule, fix string }{
		{"10.0.0.0/08", `leading zero in prefix length "/08"`, "use 10.0.0.0/8"},
		{"010.0.0.0/8", `leading zero in "010" (some programs read it as octal)`, "use 10.0.0.0/8"},
		{"010.0.00.0/08", `leading zero in "010" (some programs read it as octal); leading zero in "00" (some programs read it as octal); leading zero in prefix length "/08"`, "use 10.0.0.0/8"},
		{"10.0.0.0/33", "prefix length 33 exceeds 32 for IPv4", "use a prefix length from 0 to 32"},
		{"fd00::/129", "prefix length 129 exceeds 128 for IPv6", "use a prefix length from 0 to 128"},
		{"10.0.0.0/", `prefix length is missing after "/"`, "use 10.0.0.0/32"},
		{"10.0.0.0/-1", `invalid prefix length "-1"`, "use a prefix length from 0 to 32"},
		{"10.0.0.0/255.0.0.0", `netmask "255.0.0.0" is not supported`, "use 10.0.0.0/8"},
		{"10.0.0.0/255.0.255.0", `netmask "255.0.255.0" is not supported`, "use a prefix length, such as 10.0.0.0/8"},
		{"fe80::1%eth0/64", `zone "%eth0" is not supported`, "use fe80::/64"},
		{"fe80::1%eth0", `zone "%eth0" is not supported`, "use fe80::1/128"},
		{`10.4.0.0/14\`, `backslash (the escape "\," is for helm and istioctl command lines only)`, "separate ranges with a comma"},
		{"{10.4.0.0/14", "brackets are not supported", "use one string with ranges separated by commas"},
		{`"10.4.0.0/14"`, "quotes are not supported", "use 10.4.0.0/14"},
		{"!10.4.0.0/14", "negation is not supported", "use the exclude list"},
		{"10.0.0.1-10.0.0.4", `"-" between addresses is not supported`, "use 10.0.0.1/32,10.0.0.2/31,10.0.0.4/32"},
		{"10.0.0.1-10.255.0.4", `"-" between addresses is not supported`, "use the prefixes that cover the range"},
		{"10.0.0.0/8;10.1.0.0/16", `invalid separator ";"`, "separate ranges with a comma"},
		{"10.0.0.1:80", "port in an address range", "use 10.0.0.1/32; ports are configured separately"},
		{"10.0/16", "incomplete IPv4 address", "use 10.0.0.0/16"},
		{"10.0.0.0.0/16", "more than 4 numbers in an IPv4 address", plainFix},
		{"::ffff:10.0.0.0/90", "IPv4-mapped prefix length 90 is below 96 and covers more than IPv4", "use the IPv4 range, such as 10.0.0.0/8"},
		{"cluster", "names are not allowed here, only CIDR ranges", plainFix},
		{"example.com", "host names are not supported", plainFix},
		{"300.1.1.1", "not a CIDR range", plainFix},
		{"*", `wildcard is not allowed here`, ""},
	} {
		_, err := Parse(c.value, Options{})
		want := problem.List{problem.Invalid("element 1", c.value, c.rule, c.fix)}
		var got problem.List
		if !errors.As(err, &got) || !slices.Equal(got, want) {
			t.Errorf("Parse(%q):\n got %+v\nwant %+v", c.value, err, want)
		}
	}
}

func TestAllProblemsInInputOrder(t *testing.T) {
	_, err := Parse("10.0.0.0/08, *, 10.0.0.0/8 fe80::1%a", Options{AllowWildcard: true})
	want := `element 1: "10.0.0.0/08": leading zero in prefix length "/08"; use 10.0.0.0/8
element 2: "*": cannot be combined with ranges; use "*" alone, or only the ranges
element 4: "fe80::1%a": zone "%a" is not supported; use fe80::1/128`
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	_, err = Parse(strings.Repeat("1.2.3.4/99,", 90_000), Options{})
	if n := len(err.Error()); n > 2000 {
		t.Errorf("a message of %d bytes for 90,000 problems", n)
	}
	if !strings.HasSuffix(err.Error(), "89990 more invalid elements") {
		t.Errorf("message ends in %q", err.Error()[len(err.Error())-40:])
	}
}

// A caller may set the fix for a name and for "*".
func TestCustomFixes(t *testing.T) {
	_, err := Parse("*,cluster", Options{NameFix: "resolve it", WildcardFix: "list them"})
	want := `element 1: "*": wildcard is not allowed here; list them
element 2: "cluster": names are not allowed here, only CIDR ranges; resolve it`
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestAlgebra(t *testing.T) {
	for _, c := range []struct{ a, b, union, minus string }{
		{"10.0.0.0/8", "10.0.0.0/9", "10.0.0.0/8", "10.128.0.0/9"},
		{"10.0.0.0/9", "10.0.0.0/8,::1", "10.0.0.0/8,::1/128", ""},
		{"10.0.0.0/8", "11.0.0.0/8", "10.0.0.0/7", "10.0.0.0/8"},
		{"*", "fd00::/8", "*", "0.0.0.0/0,::/1,8000::/2,c000::/3,e000::/4,f000::/5,f800::/6,fc00::/8,fe00::/7"},
		{"fd00::/8", "*", "*", ""},
		{"*", "*", "*", ""},
		{"", "10.0.0.0/8", "10.0.0.0/8", ""},
		{"*", "", "*", "*"},
		// What is left would be the mapped block, which reads back as IPv4.
		{"::fffe:0:0/95", "::fffe:0:0/96", "::fffe:0:0/95", ""},
	} {
		a, b := mustParse(t, c.a), mustParse(t, c.b)
		for _, r := range []struct {
			op   string
			got  List
			want string
		}{{"union", a.Union(b), c.union}, {"minus", a.Subtract(b), c.minus}} {
			if r.got.String() != r.want || !r.got.Equal(mustParse(t, r.want)) {
				t.Errorf("%q %s %q = %q, want %q", c.a, r.op, c.b, r.got, r.want)
			}
		}
	}
}

func TestContains(t *testing.T) {
	l := mustParse(t, "10.0.0.0/8,192.168.1.0/24,fd00::/8")
	for a, want := range map[string]bool{
		"10.255.255.255": true, "11.0.0.0": false, "9.255.255.255": false, "192.168.1.7": true,
		"::ffff:10.0.0.1": true, "fd00::1": true, "fd00::1%eth0": true, "fe00::": false, "::": false,
	} {
		if got := l.Contains(netip.MustParseAddr(a)); got != want {
			t.Errorf("Contains(%s) = %t", a, got)
		}
	}
	for p, want := range map[string]bool{
		"10.0.0.0/8": true, "10.1.0.0/16": true, "10.0.0.0/7": false, "::ffff:10.0.0.0/112": true, "fd00::/7": false,
	} {
		if got := l.ContainsPrefix(netip.MustParsePrefix(p)); got != want {
			t.Errorf("ContainsPrefix(%s) = %t", p, got)
		}
	}
	for inner, want := range map[string]bool{"": true, "10.1.0.0/16,fd00::1": true, "10.0.0.0/8,11.0.0.0/8": false, "*": false} {
		if got := l.ContainsList(mustParse(t, inner)); got != want {
			t.Errorf("ContainsList(%s) = %t", inner, got)
		}
	}
	if got := l.OnlyV4().String() + " " + l.OnlyV6().String() + " " + Wildcard().OnlyV6().String(); got != "10.0.0.0/8,192.168.1.0/24 fd00::/8 ::/0" {
		t.Errorf("families apart: %s", got)
	}
	if l.Contains(netip.Addr{}) || Wildcard().Contains(netip.Addr{}) || Wildcard().ContainsPrefix(netip.Prefix{}) {
		t.Error("the zero address or prefix is contained")
	}
}

func TestMissingFamily(t *testing.T) {
	for value, want := range map[string]string{
		"": " false", "*": " false", "10.0.0.0/8": "IPv4 IPv6 true", "::1": "IPv6 IPv4 true",
		"10.0.0.0/8,::1": " false", "cluster,10.0.0.0/8": " false",
	} {
		have, missing, ok := mustParse(t, value).MissingFamily()
		if got := strings.TrimPrefix(fmt.Sprint(have, " ", missing, " ", ok), " "); got != want {
			t.Errorf("MissingFamily(%q) = %q, want %q", value, got, want)
		}
	}
}

func TestResolve(t *testing.T) {
	l := mustParse(t, "cluster,nodes,10.0.0.0/8")
	known := map[string]string{"cluster": "10.96.0.0/12,11.0.0.0/8", "nodes": "fd00::/64", "loop": "cluster"}
	f := func(name string) (List, error) {
		v, ok := known[name]
		if !ok {
			return List{}, errors.New("unknown name")
		}
		return Parse(v, Options{AllowNames: true})
	}
	got, err := l.Resolve(f)
	if err != nil || got.String() != "10.0.0.0/7,fd00::/64" {
		t.Errorf("Resolve = %q, %v", got, err)
	}
	_, err = mustParse(t, "what,loop").Resolve(f)
	want := "resolve address range name \"loop\": names must not be nested: cluster\n" +
		"resolve address range name \"what\": unknown name"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestImmutable(t *testing.T) {
	l := mustParse(t, "cluster,10.0.0.0/8,fd00::/8")
	other := netip.MustParsePrefix("192.0.2.0/24")
	l.V4()[0], l.V6()[0], l.Names()[0] = other, other, "x"
	_ = append(l.V4(), other)
	_ = l.Union(Wildcard())
	if l.String() != "cluster,10.0.0.0/8,fd00::/8" {
		t.Errorf("the list changed to %s", l)
	}
}

func TestPorts(t *testing.T) {
	for value, want := range map[string]string{
		"": "", "443, 80,80,": "80,443", " 15090 ": "15090", "*": "*", "65535 0": "0,65535", "080": "80",
	} {
		p, err := ParsePorts(value, true)
		if err != nil || p.String() != want {
			t.Errorf("ParsePorts(%q) = %q, %v; want %q", value, p, err, want)
		}
	}
	for value, want := range map[string]string{
		"80-83":    `element 1: "80-83": port ranges are not supported; use 80,81,82,83`,
		"1-65535":  `element 1: "1-65535": port ranges are not supported; list every port, separated by commas`,
		"80:81":    `element 1: "80:81": port ranges are not supported; use 80,81`,
		"65536":    `element 1: "65536": port number must be in the range 1..65535`,
		"80/tcp":   `element 1: "80/tcp": protocols are not supported; use port numbers separated by commas, such as 80,443`,
		"-1,*,8x":  `element 1: "-1": not a port number; use port numbers separated by commas, such as 80,443` + "\n" + `element 2: "*": cannot be combined with ports; use "*" alone, or only the ports` + "\n" + `element 3: "8x": not a port number; use port numbers separated by commas, such as 80,443`,
		`80\,443`:  `element 1: "80\\": backslash (the escape "\," is for helm and istioctl command lines only); use port numbers separated by commas, such as 80,443`,
		"[80 443]": `element 1: "[80": brackets are not supported; use port numbers separated by commas, such as 80,443` + "\n" + `element 2: "443]": brackets are not supported; use port numbers separated by commas, such as 80,443`,
	} {
		_, err := ParsePorts(value, true)
		if err == nil || err.Error() != want {
			t.Errorf("ParsePorts(%q):\n got %v\nwant %s", value, err, want)
		}
	}
	if _, err := ParsePorts("*", false); err == nil {
		t.Error(`"*" was accepted where it is not allowed`)
	}
	p, _ := ParsePorts("80,443", false)
	if !p.Contains(80) || p.Contains(81) || !slices.Equal(p.Ports(), []uint16{80, 443}) || !p.Equal(PortsOf(443, 80)) {
		t.Errorf("ports %v", p)
	}
}
