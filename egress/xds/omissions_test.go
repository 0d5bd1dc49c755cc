package xds

import (
	"fmt"
	"testing"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/test/kit"
)

// TestOmissionsAreCharged has sidecars that each reject another object, so that each
// gets another configuration. Their namespace pays for these, and nobody else.
func TestOmissionsAreCharged(t *testing.T) {
	const liars, limit = 12, 256 << 10
	s := serveWith(t, Limits{StreamsPerPod: 10, StreamsPerMinute: 1000, StreamsPerNamespace: 1000, Streams: 1000,
		NamespaceBytes: limit, Bytes: 10 * limit, ConnectionsPerSource: 1000, Connections: 1000})
	var objects []string
	for i := range 20 * liars {
		objects = append(objects, fmt.Sprintf("shop/entry-%d", i))
	}
	s.Publish(declares(t, objects...))
	neighbor := s.simulate(t, "bank/app")
	for i := range liars {
		s.simulate(t, fmt.Sprintf("evil/liar-%d", i), fmt.Sprintf("entry-%d.shop.test", 10+10*i))
	}
	kit.EventuallyTrue(t, "the liars reach the limit", func() bool { return s.count(limitBytes) > 0 })
	s.Server.mu.Lock()
	evil := s.namespaces["evil"]
	if len(evil.held) == 0 || evil.bytes > limit || s.bytes < evil.bytes {
		t.Errorf("%d views, %d bytes of %d in all: the limit is %d", len(evil.held), evil.bytes, s.bytes, limit)
	}
	s.Server.mu.Unlock()
	kit.EventuallyTrue(t, "the neighbor has all", func() bool { return neighbor.routes("entry-10.shop.test") && neighbor.routes("entry-20.shop.test") })
	objects = append(objects, "bank/new")
	s.Publish(declares(t, objects...))
	kit.EventuallyTrue(t, "the neighbor gets its edit", func() bool { return neighbor.routes("new.bank.test") })
}

// TestOmissionsAreReleased: nothing is charged for sidecars that are gone, nor for
// objects that are.
func TestOmissionsAreReleased(t *testing.T) {
	s := serve(t)
	s.Publish(declares(t, "shop/a", "shop/b", "shop/c"))
	var all []*simulated
	for i := range 3 {
		all = append(all, s.simulate(t, fmt.Sprintf("evil/liar-%d", i), "a.shop.test"))
	}
	charged := func(views int) func() bool {
		return func() bool {
			s.Server.mu.Lock()
			defer s.Server.mu.Unlock()
			u := s.namespaces["evil"]
			return u != nil && len(u.held) == views
		}
	}
	kit.EventuallyTrue(t, "three sidecars have one view", charged(1))
	s.Publish(declares(t, "shop/b", "shop/c"))
	kit.EventuallyTrue(t, "the object is gone", charged(0))
	s.Publish(declares(t, "shop/a", "shop/b"))
	kit.EventuallyTrue(t, "it is there again", charged(1))
	for _, c := range all {
		c.stop()
	}
	kit.EventuallyTrue(t, "the sidecars are gone", func() bool {
		s.Server.mu.Lock()
		defer s.Server.mu.Unlock()
		return len(s.namespaces) == 0 && s.bytes == 0
	})
}

// TestVotesAreBounded: the sidecars of a namespace have votes about a number of
// objects, and again about others when these have changed.
func TestVotesAreBounded(t *testing.T) {
	v := verdicts{votes: map[egress.Object]map[string]vote{}, settled: map[string]settled{}, objects: map[string]map[egress.Object]bool{}}
	object := func(i int) egress.Object {
		return egress.Object{Kind: egress.KindServiceEntry, Meta: egress.Meta{Namespace: "shop", Name: fmt.Sprint(i)}}
	}
	for i := range 3 * namespaceObjects {
		v.reject(object(i), Identity{Namespace: "evil", Pod: "a"}, 1, "no")
		v.reject(object(i), Identity{Namespace: "evil", Pod: "b"}, 1, "no")
	}
	v.reject(object(1000), Identity{Namespace: "bank", Pod: "a"}, 1, "no")
	if n := len(v.votes); n != namespaceObjects+1 || len(v.votes[object(0)]) != 2 || len(v.votes[object(1000)]) != 1 {
		t.Errorf("votes about %d objects, %v, %v", n, v.votes[object(0)], v.votes[object(1000)])
	}
	v.keep(map[egress.Object]bool{object(5): true, object(1000): true})
	v.reject(object(2*namespaceObjects), Identity{Namespace: "evil", Pod: "a"}, 1, "no")
	if len(v.votes) != 3 {
		t.Errorf("votes about %d objects after a change", len(v.votes))
	}
}

// TestTrialsAreBounded: what sidecars are asked about is not kept for ever.
func TestTrialsAreBounded(t *testing.T) {
	s := New(nil, Observer{}, Limits{})
	var objects []string
	for i := range 2000 {
		objects = append(objects, fmt.Sprintf("shop/entry-%d", i))
	}
	s.Publish(declares(t, objects...))
	g := s.current.Load()
	all := g.model.Objects("bank")
	most, total := 0, 0
	for i := range 500 {
		e, err := g.trial(egress.Workload{Namespace: "bank"}, resourceKey{"type.googleapis.com/envoy.config.route.v3.RouteConfiguration", "80"}, map[egress.Object]bool{all[i+1]: true})
		kit.Must(t, err)
		total += len(e.wire)
		most = max(most, g.trialled)
	}
	if most > trialBytes || total <= trialBytes || len(g.trials) == 0 {
		t.Errorf("%d bytes were kept of %d, %d trials: the limit is %d", most, total, len(g.trials), trialBytes)
	}
}
