package cidr

import (
	"errors"
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

// second is the other operand for every seed.
const second = "10.64.0.0/10,11.0.0.0/8,fd00::/9,1.2.3.4"

// The seeds reach lists and the algebra, so that fuzzing starts at the core.
func TestSeedsReachTheCore(t *testing.T) {
	o := Options{AllowWildcard: true, AllowNames: true}
	b, err := Parse(second, o)
	if err != nil {
		t.Fatal(err)
	}
	valid, overlapping, rejected := 0, 0, 0
	for _, s := range seeds {
		a, err := Parse(s, o)
		switch ranges := FromPrefixes(a.Prefixes()...); {
		case err != nil:
			rejected++
		case !ranges.Subtract(b).Equal(ranges) && !a.IsWildcard():
			overlapping++
			checkAlgebra(t, a, b)
			fallthrough
		default:
			valid++
		}
	}
	if valid < 5 || overlapping < 2 || rejected < 5 {
		t.Errorf("%d seeds are valid, %d of them overlap with the second list, %d are rejected", valid, overlapping, rejected)
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
			var list problem.List
			if !errors.As(err, &list) || len(list) == 0 || len(err.Error()) > 8000 {
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

// checkAlgebra compares every operation with the addresses at the edges of the
// prefixes of both lists, which are looked up in the prefixes one by one.
func checkAlgebra(t *testing.T, a, b List) {
	t.Helper()
	in := func(l List, x netip.Addr) bool {
		return slices.ContainsFunc(l.Prefixes(), func(p netip.Prefix) bool { return p.Contains(x) })
	}
	union, minus := a.Union(b), a.Subtract(b)
	subset := true
	for _, p := range append(a.Prefixes(), b.Prefixes()...) {
		first, last := p.Addr(), netipx.PrefixLastIP(p)
		for _, x := range []netip.Addr{first.Prev(), first, last, last.Next()} {
			if !x.IsValid() || x.Is4In6() { // mapped addresses are never left over
				continue
			}
			inA, inB := in(a, x), in(b, x)
			if a.Contains(x) != inA || b.Contains(x) != inB || union.Contains(x) != (inA || inB) || minus.Contains(x) != (inA && !inB) {
				t.Fatalf("%q and %q at %s: union %q, difference %q", a, b, x, union, minus)
			}
			subset = subset && (!inA || inB)
		}
		covered := slices.ContainsFunc(b.Prefixes(), func(q netip.Prefix) bool { return q.Bits() <= p.Bits() && q.Contains(p.Addr()) })
		if b.ContainsPrefix(p) != covered {
			t.Fatalf("%q contains %s: %t", b, p, !covered)
		}
	}
	if b.ContainsList(a) && !subset || b.ContainsList(a) != (len(minus.Prefixes()) == 0) && !a.IsWildcard() {
		t.Fatalf("%q contains %q: %t", b, a, b.ContainsList(a))
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
