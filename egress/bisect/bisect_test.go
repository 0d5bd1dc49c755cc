package bisect

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// sidecar is a simulated sidecar: whether it accepts a set of objects.
type sidecar func(has func(int) bool) bool

// rejects rejects any of some objects.
func rejects(bad ...int) sidecar {
	return func(has func(int) bool) bool { return !slices.ContainsFunc(bad, has) }
}

// search asks a sidecar until the search is done.
func search(t *testing.T, s *Search, accepts sidecar) (trials int) {
	t.Helper()
	for {
		n, ok := s.Trial()
		if !ok {
			return trials
		}
		if trials++; trials > 10_000 {
			t.Fatal("the search does not end")
		}
		s.Answer(accepts(func(i int) bool { return i < n && !s.Out(i) }))
	}
}

// owners are n objects, of which every namespace has ten.
func owners(n int) (out []string) {
	for i := range n {
		out = append(out, fmt.Sprint("namespace ", i/10))
	}
	return out
}

func TestSearch(t *testing.T) {
	whole := owners(1000)
	hostile := slices.Repeat([]string{"evil"}, 1000)
	every := func(n int) (out []int) {
		for i := range n {
			out = append(out, i)
		}
		return out
	}
	for name, c := range map[string]struct {
		owners   []string
		suspects int
		sidecar  sidecar
		found    []int
		fault    Fault
		trials   int // at most
	}{
		"one of one":                    {owners(1), 0, rejects(0), []int{0}, None, 3},
		"the first":                     {whole, 0, rejects(0), []int{0}, None, 13},
		"the last":                      {whole, 0, rejects(999), []int{999}, None, 12},
		"a suspect":                     {whole, 999, rejects(999), []int{999}, None, 3},
		"a wrong suspect":               {whole, 999, rejects(5), []int{5}, None, 13},
		"several":                       {whole, 0, rejects(3, 4, 700), []int{3, 4, 700}, None, 35},
		"two together":                  {whole, 0, func(has func(int) bool) bool { return !has(7) || !has(70) }, []int{70}, None, 12},
		"everything of one namespace":   {hostile, 0, rejects(every(1000)...), every(1000), None, 60},
		"a namespace and a neighbor":    {append(slices.Clone(hostile), "shop"), 0, rejects(every(1000)...), every(1000), None, 60},
		"no object":                     {whole, 0, func(func(int) bool) bool { return false }, nil, Base, 12},
		"no object, and there are none": {nil, 0, func(func(int) bool) bool { return false }, nil, Base, 1},
		"not again":                     {whole, 0, func(func(int) bool) bool { return true }, nil, Reproduced, 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := New(c.owners, 4, c.suspects)
			trials := search(t, s, c.sidecar)
			if !slices.Equal(s.Found(), c.found) || s.Fault() != c.fault || trials > c.trials {
				t.Errorf("found %d, fault %d, after %d trials; want %d, %d, at most %d", s.Found(), s.Fault(), trials, c.found, c.fault, c.trials)
			}
		})
	}
}

// TestSearch_Random finds exactly what sidecars reject, whatever it is, and blames no
// neighbor of an owner whose objects are all rejected.
func TestSearch_Random(t *testing.T) {
	for seed := range uint64(2000) {
		random := rand.New(rand.NewPCG(seed, 1))
		n := 1 + random.IntN(60)
		bad := random.Perm(n)[:random.IntN(min(n, 5)+1)]
		slices.Sort(bad)
		s := New(owners(n), 100, random.IntN(n+1))
		search(t, s, rejects(bad...))
		if !slices.Equal(s.Found(), bad) && len(bad) > 0 {
			t.Fatalf("seed %d: found %d, want %d", seed, s.Found(), bad)
		}
	}
}

// TestSearch_Contradiction ends where a sidecar rejects what it has accepted.
func TestSearch_Contradiction(t *testing.T) {
	s := New(owners(30), 3, 0)
	search(t, s, func(has func(int) bool) bool { return !has(29) && s.Found() == nil })
	if !slices.Equal(s.Found(), []int{29}) {
		t.Errorf("found %d", s.Found())
	}
}

// TestSearch_Lies: whatever a sidecar answers, a search ends soon.
func TestSearch_Lies(t *testing.T) {
	for seed := range uint64(500) {
		random := rand.New(rand.NewPCG(seed, 2))
		if trials := search(t, New(owners(300), 3, 0), func(func(int) bool) bool { return random.IntN(2) == 0 }); trials > 3*30*12 {
			t.Fatalf("seed %d: %d trials", seed, trials)
		}
	}
}
