package cidr

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"go4.org/netipx"

	"github.com/outrider-mesh/outrider/internal/problem"
)

var seeds = []string{"*", "", "10.0.0.1/24,::ffff:1.2.3.4", "cluster, fd00::/8", "10.0.0.0/08,fe80::%e/64",
	"1.2.3.4-1.2.3.9", "::fffe:0:0/95", "10.0.0.0/255.0.0.0", `{a\,b}`, "1.2.3.4:5,[::1]:5", "10/8",
	"10.0.0.0/9,10.128.0.0/10,fd00::/7"}

// second goes with every seed: the list that the algebra takes it against.
const second = "10.64.0.0/10,11.0.0.0/8,fd00::/9,1.2.3.4"

// Seeds get through to lists and to the algebra, so that fuzzing starts at the core.
func TestSeedsReachTheCore(t *testing.T) {
	o := Options{AllowWildcard: true, AllowNames: true}
	b, err := Parse(second, o)
	if err != nil {
		t.Fatal(err)
	}
	read, overlap, refused := 0, 0, 0
	for _, s := range seeds {
		a, err := Parse(s, o)
		switch {
		case err != nil:
			refused++
		case a.Overlaps(b) && !a.IsWildcard():
			overlap++
			checkAlgebra(t, a, b)
			fallthrough
		default:
			read++
		}
	}
	if read < 5 || overlap < 2 || refused < 5 {
		t.Errorf("%d seeds are read, %d of them overlap with the second list, %d are refused", read, overlap, refused)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range seeds {
		f.Add(s, second, true, true)
	}
	f.Fuzz(func(t *testing.T, s, s2 string, wildcard, names bool) {
		o := Options{AllowWildcard: wildcard, AllowNames: names}
		a, err := Parse(s, o)
		if err != nil {
			list, ok := err.(problem.List)
			if !ok || len(list) == 0 || len(err.Error()) > 8000 {
				t.Fatalf("error %T %v", err, err)
			}
			for _, p := range list {
				more := strings.HasSuffix(p.Rule, "more invalid elements")
				if p.Rule == "" || !more && (p.Path == "" || p.Value == "") {
					t.Fatalf("incomplete problem %+v", p)
				}
			}
			return
		}
		again, err := Parse(a.String(), o)
		if err != nil || !again.Equal(a) || again.String() != a.String() {
			t.Fatalf("%q reads back as %q, %v", a, again, err)
		}
		if b, err := Parse(s2, o); err == nil {
			checkAlgebra(t, a, b)
		}
		_, _ = ParsePorts(s, wildcard)
	})
}

// checkAlgebra compares every operation with netipx on the same prefixes.
func checkAlgebra(t *testing.T, a, b List) {
	t.Helper()
	set := func(edit func(*netipx.IPSetBuilder)) string {
		var s netipx.IPSetBuilder
		edit(&s)
		r, err := s.IPSet()
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(r.Prefixes())
	}
	add := func(s *netipx.IPSetBuilder, ps []netip.Prefix) {
		for _, p := range ps {
			s.AddPrefix(p)
		}
	}
	bSet := func() *netipx.IPSet {
		var s netipx.IPSetBuilder
		add(&s, b.Prefixes())
		r, _ := s.IPSet()
		return r
	}()
	check := func(op string, got List, want string) {
		t.Helper()
		// The one difference on purpose: mapped addresses are never left over.
		if fmt.Sprint(got.Prefixes()) != want && !strings.Contains(want, "::ffff:") {
			t.Fatalf("%q %s %q = %v, netipx says %s", a, op, b, got.Prefixes(), want)
		}
	}
	check("union", a.Union(b), set(func(s *netipx.IPSetBuilder) { add(s, a.Prefixes()); add(s, b.Prefixes()) }))
	check("subtract", a.Subtract(b), set(func(s *netipx.IPSetBuilder) { add(s, a.Prefixes()); s.RemoveSet(bSet) }))
	both := set(func(s *netipx.IPSetBuilder) { add(s, a.Prefixes()); s.Intersect(bSet) })
	check("intersect", a.Intersect(b), both)
	if a.Overlaps(b) != (both != "[]") {
		t.Fatalf("%q overlaps %q: %t, netipx intersection %s", a, b, a.Overlaps(b), both)
	}
	// Of addresses: every range of both families holds what "*" does.
	inside := slices.Equal(b.Union(a).Prefixes(), b.Union(List{}).Prefixes())
	if len(a.Names()) == 0 && b.ContainsList(a) != inside {
		t.Fatalf("%q contains %q: %t", b, a, b.ContainsList(a))
	}
	for _, p := range a.Prefixes() {
		if b.ContainsPrefix(p) != bSet.ContainsPrefix(p) || b.Contains(p.Addr()) != bSet.Contains(p.Addr()) {
			t.Fatalf("%q contains %s: not as netipx says", b, p)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	for _, n := range []int{2, 100, 50_000} {
		var s strings.Builder
		for i := range n {
			fmt.Fprintf(&s, "%d.%d.%d.0/25,", 11+i>>16, i>>8&255, i&255)
		}
		value := s.String()
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Parse(value, Options{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
