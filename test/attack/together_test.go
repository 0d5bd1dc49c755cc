package attack

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

// together: for two minutes several attackers do all at once that is done in the files
// before; they have one of the cores. Every pod of the neighbor is created, and once
// the attack is over all is as before within ten seconds.
func together(t *testing.T, b *battery) {
	const long, after = 2 * time.Minute, 10 * time.Second
	var all []string
	for i := range 5 {
		all = append(all, fmt.Sprintf("together-%d", i))
		b.namespace(t, all[i], false)
	}
	xds, webhook := b.targets(t, 15012), b.webhook(t)
	began := time.Now()
	a := b.attackAs(t, all, [][]string{
		{"reviews all " + webhook, "reviews slow " + webhook, "reviews headers " + webhook},
		{"tokens all " + xds, "idle tls " + xds, "idle bytes " + xds, "frames all " + xds},
		{"streams names " + xds, "streams streams " + xds},
		{"streams name " + xds, "streams versions " + xds},
		{"streams churn " + xds},
	})
	for i := range 7 {
		ports := each(3000, fmt.Sprintf(`{"number":%%d,"name":"p%%d","protocol":"TCP"}`))
		_ = b.object(entries, all[0], fmt.Sprint("ports-", i), fmt.Sprintf(`{"hosts":["p%d.example.net"],"resolution":"DNS","ports":[%s]}`, i, ports))
	}
	var created []time.Duration
	failed := 0
	for round := 0; time.Since(began) < long; round++ {
		took, err := b.neighbor.create()
		if err != nil {
			failed++
			t.Errorf("a pod of the neighbor: %v", err)
		}
		created = append(created, took)
		if round%50 == 0 {
			b.neighbor.work(t, 1)
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Logf("%d pods created in %s, %d failed: %s", len(created), time.Since(began).Round(time.Second), failed, spread(created))
	if p99 := created[len(created)*99/100]; p99 > 3*time.Second { // sorted by spread
		t.Errorf("the 99th percentile of pod creations is %s", p99)
	}
	b.memory(t)
	a.stop(t)
	over := time.Now()
	eventually(t, "all is as before", func() error {
		for range 5 {
			if took, err := b.neighbor.create(); err != nil {
				return err
			} else if took > 300*time.Millisecond {
				return fmt.Errorf("a pod is created in %s", took)
			}
		}
		if b.metric(t, "outrider_xds_connected") > 20 {
			return errors.New("streams of the attackers are still there")
		}
		return nil
	})
	if took := time.Since(over); took > after {
		t.Errorf("all is as before after %s", took)
	} else {
		t.Logf("all is as before %s after the attack", took.Round(time.Millisecond))
	}
	b.neighbor.goesOn(t, 2)
}
