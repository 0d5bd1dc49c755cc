package attack

import (
	"fmt"
	"testing"
)

// manyStreams: pods of several namespaces open streams with their own tokens, and
// subscribe to as many and as long names as they can; they do not acknowledge, and make
// the server look at all of their names again and again.
func manyStreams(t *testing.T, b *battery) {
	var all []string
	for i := range 4 {
		all = append(all, fmt.Sprintf("streams-%d", i))
		b.namespace(t, all[i], false)
	}
	to := b.targets(t, 15012)
	a := b.attack(t, all, "streams names "+to, "streams name "+to, "streams streams "+to, "streams versions "+to, "streams churn "+to)
	b.neighbor.goesOn(t, 8)
	a.stop(t)
	t.Logf("%v streams over a limit", b.metric(t, "outrider_xds_limit_exceeded_total"))
}
