package mesh

import (
	"maps"
	"testing"
)

func TestCounters(t *testing.T) {
	const listing = `{"nftables": [{"metainfo": {"version": "1.0.6"}},
 {"table": {"family": "inet", "name": "outrider"}},
 {"rule": {"chain": "output", "comment": "not-tcp", "expr": [{"match": {"op": "!="}}, {"counter": {"packets": 3, "bytes": 9}}, {"return": null}]}},
 {"rule": {"chain": "output", "comment": "everything", "expr": [{"counter": {"packets": 2, "bytes": 9}}]}},
 {"rule": {"chain": "output", "comment": "everything", "expr": [{"counter": {"packets": 5, "bytes": 9}}]}}]}`
	got, err := counters([]byte(listing))
	if want := map[string]int{"not-tcp": 3, "everything": 7}; err != nil || !maps.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"", `{"nftables": []}`, `{"nftables": [{"rule": {"comment": "a", "expr": []}}]}`} {
		if got, err := counters([]byte(bad)); err == nil {
			t.Errorf("%q: %v, no error", bad, got)
		}
	}
}
