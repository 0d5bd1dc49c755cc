package envoy

import (
	"fmt"
	"testing"

	matcherv3 "github.com/cncf/xds/go/xds/type/matcher/v3"
	hashingv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/matching/input_matchers/consistent_hashing/v3"
)

// TestSplitByWeight counts, over all values of the hash, what each branch gets.
func TestSplitByWeight(t *testing.T) {
	for _, c := range []struct {
		weights []float64
		want    string // of a million
	}{
		{[]float64{1, 1}, "[500000 500000]"},
		{[]float64{90, 10}, "[900000 100000]"},
		{[]float64{3, 1, 1, 1, 2}, "[375000 125000 125000 125000 250000]"},
		{[]float64{1, 1, 1}, "[333333 333333 333334]"},
		{[]float64{1, 4294967294}, "[1 999999]"}, // any weight gets something
		{[]float64{4294967294, 1}, "[999999 1]"},
	} {
		b := &builder{}
		var branches []branch
		var chains []*matcherv3.Matcher_OnMatch
		for i, w := range c.weights {
			branches, chains = append(branches, branch{weight: w}), append(chains, b.chain(fmt.Sprint(i)))
		}
		got := make([]int, len(branches))
		thresholds := thresholdsOf(t, b.splitByWeight(branches, chains))
		for hash := range uint32(hashValues) {
			i := 0
			for i < len(thresholds) && hash < thresholds[i] {
				i++
			}
			got[i]++
		}
		if fmt.Sprint(got) != c.want {
			t.Errorf("%v: %v, want %s", c.weights, got, c.want)
		}
	}
}

func thresholdsOf(t *testing.T, m *matcherv3.Matcher_OnMatch) (out []uint32) {
	t.Helper()
	for _, m := range m.GetMatcher().GetMatcherList().GetMatchers() {
		h := &hashingv3.ConsistentHashing{}
		if err := m.GetPredicate().GetSinglePredicate().GetCustomMatch().GetTypedConfig().UnmarshalTo(h); err != nil {
			t.Fatal(err)
		}
		if h.Modulo != hashValues {
			t.Errorf("modulo %d", h.Modulo)
		}
		out = append(out, h.Threshold)
	}
	return out
}
