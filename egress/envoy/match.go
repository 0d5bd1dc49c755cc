package envoy

import (
	"fmt"
	"net/netip"
	"slices"

	matcherv3 "github.com/cncf/xds/go/xds/type/matcher/v3"
	inputv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/matching/common_inputs/network/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// The matchers below choose a filter chain by its name. Each has an action for
// where it does not match: without one in an inner matcher, Envoy continues
// with the outer matcher.

// chain is the action that chooses a filter chain.
func (b *builder) chain(name string) *matcherv3.Matcher_OnMatch {
	return &matcherv3.Matcher_OnMatch{OnMatch: &matcherv3.Matcher_OnMatch_Action{Action: b.typed(name, wrapperspb.String(name))}}
}

// exactly chooses by the text of an input.
func (b *builder) exactly(input proto.Message, choices map[string]*matcherv3.Matcher_OnMatch, otherwise *matcherv3.Matcher_OnMatch) *matcherv3.Matcher_OnMatch {
	return tree(&matcherv3.Matcher_MatcherTree{
		Input:    b.typed("input", input),
		TreeType: &matcherv3.Matcher_MatcherTree_ExactMatchMap{ExactMatchMap: &matcherv3.Matcher_MatcherTree_MatchMap{Map: choices}},
	}, otherwise)
}

// addressChoice is an action for addresses.
type addressChoice struct {
	prefixes []netip.Prefix
	then     *matcherv3.Matcher_OnMatch
}

// byAddress chooses by the original destination address.
func (b *builder) byAddress(choices []addressChoice, otherwise *matcherv3.Matcher_OnMatch) *matcherv3.Matcher_OnMatch {
	m := &matcherv3.IPMatcher{}
	for _, c := range choices {
		r := &matcherv3.IPMatcher_IPRangeMatcher{OnMatch: c.then}
		for _, p := range c.prefixes {
			r.Ranges = append(r.Ranges, xdsRange(p))
		}
		m.RangeMatchers = append(m.RangeMatchers, r)
	}
	if len(m.RangeMatchers) == 0 {
		return otherwise
	}
	return b.custom(&inputv3.DestinationIPInput{}, "envoy.matching.custom_matchers.trie_matcher", m, otherwise)
}

// sniChoice is an action for names of TLS hosts.
type sniChoice struct {
	names []string
	then  *matcherv3.Matcher_OnMatch
}

// bySNI chooses by SNI. Some clients send the final dot of a fully qualified name,
// which Envoy compares as it is.
func (b *builder) bySNI(choices []sniChoice, otherwise *matcherv3.Matcher_OnMatch) *matcherv3.Matcher_OnMatch {
	m := &matcherv3.ServerNameMatcher{}
	for _, c := range choices {
		if len(c.names) > 0 {
			domains := make([]string, 0, 2*len(c.names))
			for _, name := range c.names {
				domains = append(domains, name, name+".")
			}
			m.DomainMatchers = append(m.DomainMatchers, &matcherv3.ServerNameMatcher_DomainMatcher{Domains: domains, OnMatch: c.then})
		}
	}
	if len(m.DomainMatchers) == 0 {
		return otherwise
	}
	return b.custom(&inputv3.ServerNameInput{}, "envoy.matching.custom_matchers.domain_matcher", m, otherwise)
}

// ifSNI chooses by whether there is an SNI.
func (b *builder) ifSNI(then, otherwise *matcherv3.Matcher_OnMatch) *matcherv3.Matcher_OnMatch {
	any := &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_SafeRegex{SafeRegex: &matcherv3.RegexMatcher{
		Regex: ".+", EngineType: &matcherv3.RegexMatcher_GoogleRe2{GoogleRe2: &matcherv3.RegexMatcher_GoogleRE2{}},
	}}}
	return &matcherv3.Matcher_OnMatch{OnMatch: &matcherv3.Matcher_OnMatch_Matcher{Matcher: &matcherv3.Matcher{
		MatcherType: &matcherv3.Matcher_MatcherList_{MatcherList: &matcherv3.Matcher_MatcherList{Matchers: []*matcherv3.Matcher_MatcherList_FieldMatcher{{
			OnMatch: then,
			Predicate: &matcherv3.Matcher_MatcherList_Predicate{MatchType: &matcherv3.Matcher_MatcherList_Predicate_SinglePredicate_{
				SinglePredicate: &matcherv3.Matcher_MatcherList_Predicate_SinglePredicate{
					Input:   b.typed("input", &inputv3.ServerNameInput{}),
					Matcher: &matcherv3.Matcher_MatcherList_Predicate_SinglePredicate_ValueMatch{ValueMatch: any},
				},
			}},
		}}}},
		OnNoMatch: otherwise,
	}}}
}

// custom chooses by an input with one of Envoy's custom matchers.
func (b *builder) custom(input proto.Message, name string, matcher proto.Message, otherwise *matcherv3.Matcher_OnMatch) *matcherv3.Matcher_OnMatch {
	return tree(&matcherv3.Matcher_MatcherTree{
		Input:    b.typed("input", input),
		TreeType: &matcherv3.Matcher_MatcherTree_CustomMatch{CustomMatch: b.typed(name, matcher)},
	}, otherwise)
}

func tree(t *matcherv3.Matcher_MatcherTree, otherwise *matcherv3.Matcher_OnMatch) *matcherv3.Matcher_OnMatch {
	return &matcherv3.Matcher_OnMatch{OnMatch: &matcherv3.Matcher_OnMatch_Matcher{Matcher: &matcherv3.Matcher{
		MatcherType: &matcherv3.Matcher_MatcherTree_{MatcherTree: t}, OnNoMatch: otherwise,
	}}}
}

// inCluster forwards traffic to addresses of the cluster before all other
// matchers. On the listener of a port it has the addresses with that port; port
// 0 is the listener of all other ports, which matches the port within the
// address.
func (b *builder) inCluster(port uint32, otherwise *matcherv3.Matcher_OnMatch) *matcherv3.Matcher_OnMatch {
	groups, byPorts := []addressChoice(nil), map[string]int{}
	for _, d := range b.view.InCluster() {
		if port != 0 && len(d.Ports) > 0 && !slices.Contains(d.Ports, uint16(port)) {
			continue
		}
		key := ""
		if port == 0 {
			key = fmt.Sprint(d.Ports)
		}
		i, known := byPorts[key]
		if !known {
			i = len(groups)
			byPorts[key] = i
			groups = append(groups, addressChoice{then: b.onPorts(port, d.Ports, otherwise)})
		}
		groups[i].prefixes = append(groups[i].prefixes, netip.PrefixFrom(d.Address, d.Address.BitLen()))
	}
	return b.byAddress(groups, otherwise)
}

func (b *builder) onPorts(port uint32, ports []uint16, otherwise *matcherv3.Matcher_OnMatch) *matcherv3.Matcher_OnMatch {
	if port != 0 || len(ports) == 0 {
		return b.chain(chainInCluster)
	}
	choices := map[string]*matcherv3.Matcher_OnMatch{}
	for _, p := range ports {
		choices[fmt.Sprint(p)] = b.chain(chainInCluster)
	}
	return b.exactly(&inputv3.DestinationPortInput{}, choices, otherwise)
}

// byProtocol chooses by TLS and HTTP. TLS comes first: an HTTPS client may
// offer http/1.1 by ALPN, which the matcher cannot distinguish from plain HTTP.
func (b *builder) byProtocol(tls, http, otherwise *matcherv3.Matcher_OnMatch) *matcherv3.Matcher_OnMatch {
	plain := map[string]*matcherv3.Matcher_OnMatch{}
	for _, p := range []string{"http/1.0", "http/1.1", "h2c"} {
		plain["'"+p+"'"] = http
	}
	isHTTP := b.exactly(&inputv3.ApplicationProtocolInput{}, plain, otherwise)
	return b.exactly(&inputv3.TransportProtocolInput{}, map[string]*matcherv3.Matcher_OnMatch{"tls": tls}, isHTTP)
}
