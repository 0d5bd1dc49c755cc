package egress

import (
	"fmt"

	matcherv3 "github.com/cncf/xds/go/xds/type/matcher/v3"
	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	inputv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/matching/common_inputs/network/v3"
	hashingv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/matching/input_matchers/consistent_hashing/v3"
)

// part is one of several ways for connections that are passed on as bytes.
type part struct {
	weight  float64 // of the sum of all
	filters []*listenerv3.Filter
}

// share adds a chain for each part, and gives the choice among them. A chain
// resolves one name, before the one place that filters answers; a cluster that
// resolves several has no such place.
func (b *builder) share(l *listenerv3.Listener, name string, parts []part) *matcherv3.Matcher_OnMatch {
	if len(parts) == 1 {
		l.FilterChains = append(l.FilterChains, &listenerv3.FilterChain{Name: name, Filters: parts[0].filters})
		return b.chain(name)
	}
	chains := make([]*matcherv3.Matcher_OnMatch, 0, len(parts))
	for i, p := range parts {
		n := fmt.Sprintf("%s #%d", name, i+1)
		l.FilterChains = append(l.FilterChains, &listenerv3.FilterChain{Name: n, Filters: p.filters})
		chains = append(chains, b.chain(n))
	}
	return b.byChance(parts, chains)
}

// hashes is the number of values that connections are shared out by.
const hashes = 1_000_000

// byChance chooses by a hash of the client's port, which no two connections of a
// pod have in common while both are open.
func (b *builder) byChance(parts []part, chains []*matcherv3.Matcher_OnMatch) *matcherv3.Matcher_OnMatch {
	all, upTo := 0.0, 0.0
	for _, p := range parts {
		all += p.weight
	}
	list := &matcherv3.Matcher_MatcherList{}
	last := len(parts) - 1
	for i, p := range parts[:last] {
		upTo += p.weight
		list.Matchers = append(list.Matchers, &matcherv3.Matcher_MatcherList_FieldMatcher{
			OnMatch: chains[i],
			Predicate: &matcherv3.Matcher_MatcherList_Predicate{MatchType: &matcherv3.Matcher_MatcherList_Predicate_SinglePredicate_{
				SinglePredicate: &matcherv3.Matcher_MatcherList_Predicate_SinglePredicate{
					Input: b.typed("input", &inputv3.SourcePortInput{}),
					Matcher: &matcherv3.Matcher_MatcherList_Predicate_SinglePredicate_CustomMatch{
						CustomMatch: b.typed("envoy.matching.matchers.consistent_hashing", &hashingv3.ConsistentHashing{
							Threshold: hashes - max(1, uint32(hashes*upTo/all)), Modulo: hashes,
						}),
					},
				},
			}},
		})
	}
	return &matcherv3.Matcher_OnMatch{OnMatch: &matcherv3.Matcher_OnMatch_Matcher{Matcher: &matcherv3.Matcher{
		MatcherType: &matcherv3.Matcher_MatcherList_{MatcherList: list}, OnNoMatch: chains[last],
	}}}
}

// partsOf are the ways to a declared host: its endpoints, where a name among
// them has to be resolved, and else the host as a whole.
func (b *builder) partsOf(h host, log []*accesslogv3.AccessLog) []part {
	if !h.mixed() {
		return []part{{1, b.toHost(h, log)}}
	}
	var out []part
	for _, e := range h.endpoints {
		out = append(out, part{float64(max(e.weight, 1)), b.toName(e, h.cluster())})
	}
	return out
}

// partsOfRoute are the ways that a route by SNI has, by weight.
func (b *builder) partsOfRoute(s sniRoute, log []*accesslogv3.AccessLog) []part {
	var out []part
	for i, l := range b.view.leads(s) {
		t := s.route.to[i]
		if t.weight == 0 {
			continue
		}
		parts := b.partsOfLead(l, log)
		all := 0.0
		for _, p := range parts {
			all += p.weight
		}
		for _, p := range parts {
			out = append(out, part{float64(t.weight) * p.weight / all, p.filters})
		}
	}
	return out
}

func (b *builder) partsOfLead(l lead, log []*accesslogv3.AccessLog) []part {
	if l.fault != "" {
		return []part{{1, b.tcp(BlackHoleCluster, log)}}
	}
	if to, ok := l.resolved(); ok {
		return []part{{1, b.toName(to, l.cluster())}}
	}
	return b.partsOf(l.host, log)
}
