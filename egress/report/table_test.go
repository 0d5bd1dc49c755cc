package report

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func at(seconds int) Counts {
	t := start.Add(time.Duration(seconds) * time.Second)
	return Counts{First: t, Last: t, Connections: 1}
}

func tls(host string) Destination {
	return Destination{Host: host, Port: 443, Protocol: TLS, Verdict: Blocked, Rule: "block_all"}
}

var sleep, crawler = Workload{"Deployment", "sleep"}, Workload{"Deployment", "crawler"}

// total are the connections of a table to undeclared hosts, listed or not.
func total(t *Table) uint64 {
	n := t.beyond.counts.Connections
	for _, of := range t.workloads {
		n += of.overflow.counts.Connections
		for d, c := range of.of {
			if d.Verdict != Allowed {
				n += c.Connections
			}
		}
	}
	return n
}

func text(t testing.TB, table *Table) string {
	t.Helper()
	out, err := json.MarshalIndent(table.Content(), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// TestMillionNames has a workload that connects to 10^6 names, beside one that connects
// to few: the memory is that of the limit, and the neighbor has all of its names.
func TestMillionNames(t *testing.T) {
	const names = 1_000_000
	table := NewTable(DefaultLimits)
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	table.Observe(sleep, tls("before.example.com"), at(0))
	before := heap()
	for i := range names {
		table.Observe(crawler, tls(fmt.Sprintf("host-%d.example.com", i)), at(i))
	}
	if grown := int64(heap()) - int64(before); grown > 1<<20 {
		t.Errorf("the heap has grown by %d bytes", grown)
	}
	for i := range 100 {
		if !table.Observe(sleep, tls(fmt.Sprintf("after-%d.example.com", i)), at(names)) {
			t.Errorf("the neighbor's name %d is not listed", i)
		}
	}
	c := table.Content()
	if n := len(c.Workloads[0].Destinations); n != DefaultLimits.Destinations {
		t.Errorf("%d names are listed, want %d", n, DefaultLimits.Destinations)
	}
	more := c.Workloads[0].More
	if more == nil || more.Connections != names-uint64(DefaultLimits.Destinations) {
		t.Fatalf("more: %+v", more)
	}
	if more.Number < names*8/10 || more.Number > names*12/10 {
		t.Errorf("and %d more names, want about %d", more.Number, names)
	}
	if got := total(table); got != names+101 {
		t.Errorf("%d connections, want %d", got, names+101)
	}
	size := len(text(t, table))
	t.Logf("%d bytes, at most %d reserved, and %d more", size, table.Bytes(), more.Number)
}

// TestFull fills a namespace with one workload after another: all have a part.
func TestFull(t *testing.T) {
	table := NewTable(Limits{Destinations: 500, Workloads: 20, Bytes: 64 << 10})
	n := 0
	for w := range 30 {
		for i := range 400 {
			table.Observe(Workload{"Deployment", fmt.Sprint("w", w)}, tls(fmt.Sprintf("host-%d.example.com", i)), at(n))
			n++
		}
	}
	c := table.Content()
	if len(c.Workloads) != 20 || c.MoreWorkloads == nil || c.MoreWorkloads.Number != 10 || c.MoreWorkloads.Connections != 4000 {
		t.Errorf("%d workloads, and %+v", len(c.Workloads), c.MoreWorkloads)
	}
	least, most := 500, 0
	for _, w := range c.Workloads {
		least, most = min(least, len(w.Destinations)), max(most, len(w.Destinations))
		for _, d := range w.Destinations { // those seen first are kept
			var i int
			if _, err := fmt.Sscanf(d.Host, "host-%d.", &i); err != nil || i > 40 {
				t.Errorf("%s is listed", d.Host)
			}
		}
	}
	if least == 0 || most > 2*least {
		t.Errorf("workloads have %d to %d destinations", least, most)
	}
	if got := total(table); got != uint64(n) {
		t.Errorf("%d connections, want %d", got, n)
	}
	if table.Bytes() > 64<<10 {
		t.Errorf("%d bytes", table.Bytes())
	}
	t.Logf("%d bytes of %d, %d to %d destinations each", len(text(t, table)), 64<<10, least, most)
}

// TestSize compares the reserved bytes with those of an object with the longest texts
// and numbers.
func TestSize(t *testing.T) {
	table := NewTable(DefaultLimits)
	label := strings.Repeat("a", 60)
	huge := Counts{start, start, maxCount, maxCount, maxCount, maxCount}
	for w := range 1100 {
		for i := range 10 {
			host := fmt.Sprintf("%04d%s.%s.%s.%s", i, label, label, label, label)
			d := Destination{Host: host[:min(len(host), maxHost)], Port: 65535, Protocol: HTTP, Verdict: Passthrough, Rule: strings.Repeat("r", maxHost)}
			table.Observe(Workload{strings.Repeat("K", 63), fmt.Sprintf("%04d%s", w, strings.Repeat("n", 249))}, d, huge)
		}
	}
	c := table.Content()
	c.LastWrite = strings.Repeat("w", 100)
	data, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	if len(data) > table.Bytes() || table.Bytes() > DefaultLimits.Bytes {
		t.Errorf("the object has %d bytes, %d are reserved of %d", len(data), table.Bytes(), DefaultLimits.Bytes)
	}
	if len(data) < table.Bytes()*8/10 {
		t.Errorf("the object has %d bytes, and %d are reserved", len(data), table.Bytes())
	}
}

// random is a table with random observations.
func random(r *rand.Rand, l Limits, most int) *Table {
	t := NewTable(l)
	for range r.IntN(most) {
		c := at(r.IntN(1000))
		c.Requests, c.BytesSent = uint64(r.IntN(3)), uint64(r.IntN(1000))
		t.Observe(Workload{"Deployment", fmt.Sprint("w", r.IntN(4))}, Destination{
			Host: fmt.Sprintf("host-%d.example.com", r.IntN(20)), Port: uint16(1 + r.IntN(2)),
			Protocol: []Protocol{HTTP, TLS, TCP}[r.IntN(3)], Verdict: Verdicts()[r.IntN(3)],
		}, c)
	}
	return t
}

// TestMerge merges reports of replicas: the order has no effect within the limits, no
// count is lost, and an object keeps all of a table.
func TestMerge(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		small := Limits{Destinations: 1 + r.IntN(20), Workloads: 1 + r.IntN(4), Bytes: 2000 + r.IntN(20_000)}
		for _, l := range []Limits{DefaultLimits, small} {
			a, b, c := random(r, l, 200), random(r, l, 200), random(r, l, 200)
			want := total(a) + total(b) + total(c)
			one, other := NewTable(l), NewTable(l)
			for _, x := range []*Table{a, b, c} {
				one.Merge(x)
			}
			for _, x := range []*Table{c, a, b} {
				other.Merge(x.Content().Table(l, start.Add(time.Hour)))
			}
			if total(one) != want || total(other) != want {
				t.Fatalf("%d and %d connections, want %d", total(one), total(other), want)
			}
			if one.Bytes() > l.Bytes || other.Bytes() > l.Bytes {
				t.Fatalf("%d and %d bytes of %d", one.Bytes(), other.Bytes(), l.Bytes)
			}
			if one, other := text(t, one), text(t, other); l == DefaultLimits && one != other {
				t.Fatalf("the order has an effect:\n%s\n%s", one, other)
			}
			again := one.Content().Table(l, start.Add(time.Hour))
			if again.Bytes() != one.Bytes() || text(t, again) != text(t, one) {
				t.Fatalf("read again:\n%s\n%s", text(t, again), text(t, one))
			}
		}
	}
}

func TestExpire(t *testing.T) {
	l := Limits{Destinations: 2, Workloads: 2, Bytes: 1 << 20}
	table := NewTable(l)
	empty := table.Bytes()
	for i, host := range []string{"a.test", "b.test", "c.test"} {
		table.Observe(sleep, tls(host), at(i))
		table.Observe(crawler, tls(host), at(10*i))
		table.Observe(Workload{"Job", host}, tls(host), at(i))
	}
	if got := table.Oldest(); !got.Equal(start) {
		t.Errorf("oldest %s", got)
	}
	table.Expire(start.Add(5 * time.Second))
	c := table.Content()
	if len(c.Workloads) != 1 || len(c.Workloads[0].Destinations) != 1 || c.Workloads[0].Destinations[0].Host != "b.test" || c.Workloads[0].More == nil || c.MoreWorkloads != nil {
		t.Errorf("%s", text(t, table))
	}
	if !table.Has(crawler, tls("b.test")) || table.Has(sleep, tls("b.test")) {
		t.Error("Has")
	}
	table.Expire(start.Add(time.Hour))
	if !table.Empty() || table.Bytes() != empty {
		t.Errorf("%d bytes, and when it was new %d:\n%s", table.Bytes(), empty, text(t, table))
	}
}

// TestClaims has objects that another client has written.
func TestClaims(t *testing.T) {
	later := start.Add(24 * time.Hour).Format(time.RFC3339)
	for name, tt := range map[string]struct{ text, want string }{
		"of the future": {`{"workloads":[{"kind":"Deployment","name":"sleep","destinations":[{"host":"a.test","port":443,"protocol":"TLS","verdict":"blocked","firstSeen":"` + later + `","lastSeen":"` + later + `","connections":1}]}]}`,
			start.Format(time.RFC3339)},
		"another verdict":  {`{"workloads":[{"kind":"Deployment","name":"sleep","destinations":[{"host":"a.test","port":443,"protocol":"TLS","verdict":"fine"}]}]}`, ""},
		"another protocol": {`{"workloads":[{"kind":"Deployment","name":"sleep","destinations":[{"host":"a.test","port":443,"protocol":"UDP","verdict":"blocked"}]}]}`, ""},
		"no port":          {`{"workloads":[{"kind":"Deployment","name":"sleep","destinations":[{"host":"a.test","protocol":"TLS","verdict":"blocked"}]}]}`, ""},
		"no host":          {`{"workloads":[{"kind":"Deployment","name":"sleep","destinations":[{"host":"a b","port":1,"protocol":"TLS","verdict":"blocked"}]}]}`, ""},
		"no workload":      {`{"workloads":[{"destinations":[{"host":"a.test","port":1,"protocol":"TLS","verdict":"blocked"}]}]}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := Read([]byte(tt.text))
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			for _, w := range c.Table(DefaultLimits, start).Content().Workloads {
				for _, d := range w.Destinations {
					got += d.Last.Format(time.RFC3339)
				}
			}
			if got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
	if _, err := Read([]byte(`{"workloads":[{"more":{"sketch":"AAAA"}}]}`)); err == nil || !strings.Contains(err.Error(), "must be 256 bytes") {
		t.Errorf("a short sketch: %v", err)
	}
}

func TestCleanHost(t *testing.T) {
	for in, want := range map[string]string{
		"httpbin.org": "httpbin.org", "HTTPBin.ORG.": "httpbin.org", "httpbin.org:8080": "httpbin.org", "a_b.test": "a_b.test",
		"192.0.2.1": "192.0.2.1", "192.0.2.1:80": "192.0.2.1", "[2001:db8::1]:80": "2001:db8::1", "[2001:db8::1]": "2001:db8::1", "2001:DB8::1": "2001:db8::1",
		"::ffff:192.0.2.1": "192.0.2.1", "fe80::1%eth0": "fe80::1",
		"": "", ".": "", "a..b": "", "-a.test": "", "a-.test": "", "a b": "", "a\nb": "", "a:b": "", "a:123456": "", "*.test": "", `a"b`: "", "é.test": "",
		strings.Repeat("a", 64) + ".test":           "",
		strings.Repeat("a.", 200):                   "",
		strings.Repeat("abcdefg.", 31) + "abcde":    strings.Repeat("abcdefg.", 31) + "abcde",
		strings.Repeat("abcdefg.", 31) + "abcdefgh": "",
	} {
		if got := CleanHost(in); got != want {
			t.Errorf("CleanHost(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestSketch(t *testing.T) {
	for _, n := range []int{0, 1, 10, 300, 1000, 100_000} {
		var a, b Sketch
		for i := range n {
			for _, s := range []*Sketch{&a, &b}[i%2 : i%2+1] {
				s.add(fmt.Sprintf("host-%d.example.com", i))
				s.add(fmt.Sprintf("host-%d.example.com", i))
			}
		}
		a.merge(&b)
		got := int(a.estimate())
		if got < n*85/100 || got > n*115/100 {
			t.Errorf("%d names are estimated as %d", n, got)
		}
		text, err := a.MarshalText()
		var again Sketch
		if err != nil || again.UnmarshalText(text) != nil || again != a {
			t.Errorf("%s is read as another one", text)
		}
	}
}

func TestSort(t *testing.T) {
	all := []Host{{"shop", sleep, DestinationReport{tls("a.test"), at(1)}}, {"shop", sleep, DestinationReport{tls("b.test"), at(2)}}, {"shop", sleep, DestinationReport{tls("c.test"), at(0)}}}
	all[2].Requests = 5
	names := func() (out string) {
		for _, d := range all {
			out += d.Host[:1]
		}
		return out
	}
	if Sort(all, false); names() != "bac" {
		t.Errorf("newest first: %s", names())
	}
	if Sort(all, true); names() != "cba" {
		t.Errorf("busiest first: %s", names())
	}
}

func FuzzRead(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 5 {
		text, err := json.Marshal(random(r, DefaultLimits, 10).Content())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(`{"workloads":[{"kind":"a","name":"b","more":{"number":1,"sketch":"` + strings.Repeat("/", 341) + `w=="}}],"moreWorkloads":{}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Read(data)
		if err != nil {
			return
		}
		l := Limits{Destinations: 5, Workloads: 3, Bytes: 8 << 10}
		table := c.Table(l, start)
		content := table.Content()
		text, err := json.Marshal(content)
		if err != nil {
			t.Fatal(err)
		}
		if len(text) > l.Bytes || table.Bytes() > l.Bytes {
			t.Fatalf("%d bytes, %d reserved, of %d", len(text), table.Bytes(), l.Bytes)
		}
		again, err := Read(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := again.Table(l, start).Content(); !reflect.DeepEqual(got, content) {
			t.Fatalf("read again:\n%+v\n%+v", got, content)
		}
	})
}

func FuzzCleanHost(f *testing.F) {
	for _, s := range []string{"httpbin.org", "[::1]:80", "a:1", "1.2.3.4", "A."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		host := CleanHost(s)
		if len(host) > maxHost || CleanHost(host) != host || strings.ContainsAny(host, "\"\\\n\r\x00 ") {
			t.Errorf("CleanHost(%q) = %q, and again %q", s, host, CleanHost(host))
		}
	})
}

func BenchmarkObserve(b *testing.B) {
	table, d := NewTable(DefaultLimits), tls("host.example.com")
	b.ReportAllocs()
	for b.Loop() {
		table.Observe(sleep, d, at(1))
	}
}
