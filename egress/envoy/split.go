package envoy

import (
	"fmt"

	matcherv3 "github.com/cncf/xds/go/xds/type/matcher/v3"
	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	inputv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/matching/common_inputs/network/v3"
	hashingv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/matching/input_matchers/consistent_hashing/v3"

	"github.com/outrider-mesh/outrider/egress"
)

// branch is one of several filter chains that connections are split among.
type branch struct {
	weight  float64 // of the sum of all
	filters []*listenerv3.Filter
}

// splitChains adds a chain for each branch, and returns the choice among them.
// A chain resolves one name, with a filter of its answers; a cluster that
// resolves several names cannot filter.
func (b *builder) splitChains(l *listenerv3.Listener, name string, branches []branch) *matcherv3.Matcher_OnMatch {
	if len(branches) == 1 {
		l.FilterChains = append(l.FilterChains, &listenerv3.FilterChain{Name: name, Filters: branches[0].filters})
		return b.chain(name)
	}
	chains := make([]*matcherv3.Matcher_OnMatch, 0, len(branches))
	for i, p := range branches {
		n := fmt.Sprintf("%s #%d", name, i+1)
		l.FilterChains = append(l.FilterChains, &listenerv3.FilterChain{Name: n, Filters: p.filters})
		chains = append(chains, b.chain(n))
	}
	return b.splitByWeight(branches, chains)
}

// hashValues is the number of values of the hash that connections are split by.
const hashValues = 1_000_000

// splitByWeight chooses by a hash of the client's port, which no two open
// connections of a pod have in common.
func (b *builder) splitByWeight(branches []branch, chains []*matcherv3.Matcher_OnMatch) *matcherv3.Matcher_OnMatch {
	all, upTo := 0.0, 0.0
	for _, p := range branches {
		all += p.weight
	}
	list := &matcherv3.Matcher_MatcherList{}
	last := len(branches) - 1
	for i, p := range branches[:last] {
		upTo += p.weight
		list.Matchers = append(list.Matchers, &matcherv3.Matcher_MatcherList_FieldMatcher{
			OnMatch: chains[i],
			Predicate: &matcherv3.Matcher_MatcherList_Predicate{MatchType: &matcherv3.Matcher_MatcherList_Predicate_SinglePredicate_{
				SinglePredicate: &matcherv3.Matcher_MatcherList_Predicate_SinglePredicate{
					Input: b.typed("input", &inputv3.SourcePortInput{}),
					Matcher: &matcherv3.Matcher_MatcherList_Predicate_SinglePredicate_CustomMatch{
						CustomMatch: b.typed("envoy.matching.matchers.consistent_hashing", &hashingv3.ConsistentHashing{
							Threshold: hashValues - max(1, uint32(hashValues*upTo/all)), Modulo: hashValues,
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

// hostBranches are the branches of a declared host: its endpoints where there
// are DNS names among several, and else the host as a whole.
func (b *builder) hostBranches(h egress.Host, log []*accesslogv3.AccessLog) []branch {
	if !h.SeveralNames() {
		return []branch{{1, b.toHost(h, log)}}
	}
	var out []branch
	for _, e := range h.Endpoints {
		out = append(out, branch{float64(max(e.Weight, 1)), b.toName(e, h.ClusterName())})
	}
	return out
}

// addressBranches are the branches of connections to the addresses of a host. In
// the access log they have the address.
func (b *builder) addressBranches(h egress.Host) []branch {
	if h.Static() {
		return []branch{{1, b.onDemandTCP(h.ClusterName(), b.logAs(addressCluster(h.Port)))}}
	}
	var out []branch
	for _, e := range h.Endpoints {
		out = append(out, branch{float64(max(e.Weight, 1)), b.toName(e, addressCluster(h.Port))})
	}
	return out
}

// routeBranches are the branches of a route by SNI, by weight.
func (b *builder) routeBranches(s egress.SNIRoute, log []*accesslogv3.AccessLog) []branch {
	var out []branch
	for i, d := range b.view.SNIDestinations(s) {
		t := s.Route.Destinations[i]
		if t.Weight == 0 {
			continue
		}
		branches := b.destinationBranches(d, log)
		all := 0.0
		for _, p := range branches {
			all += p.weight
		}
		for _, p := range branches {
			out = append(out, branch{float64(t.Weight) * p.weight / all, p.filters})
		}
	}
	return out
}

func (b *builder) destinationBranches(d egress.Destination, log []*accesslogv3.AccessLog) []branch {
	if d.Problem != nil {
		return []branch{{1, b.tcp(egress.BlackHoleCluster, log)}}
	}
	if to, ok := d.ResolvedName(); ok {
		return []branch{{1, b.toName(to, d.ClusterName())}}
	}
	return b.hostBranches(d.Host, log)
}
