package envoy

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	matcherv3 "github.com/cncf/xds/go/xds/type/matcher/v3"
	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	httpinspectorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/http_inspector/v3"
	originaldstv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/original_dst/v3"
	tlsinspectorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/tls_inspector/v3"
	inputv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/matching/common_inputs/network/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/outrider-mesh/outrider/egress"
)

// undeclaredDetection is how long a connection to a port without a listener is kept for
// the detection of its protocol. One that is not detected in time goes where it would go
// as TLS, so nothing is lost but the Host in the access log and the status of a response;
// and as a client sends its first bytes as soon as it is connected, the time is only spent
// where the server speaks first, or by a client without processor time.
const undeclaredDetection = 250 * time.Millisecond

func (b *builder) listeners() []*listenerv3.Listener {
	log := b.loggers(b.mesh.AccessLog)
	out := []*listenerv3.Listener{b.virtualOutbound(log)}
	for _, p := range b.view.Ports() {
		out = append(out, b.portListener(p, log))
	}
	return out
}

// listenerNamed is one of the listeners; nil if there is none of that name.
func (b *builder) listenerNamed(name string) *listenerv3.Listener {
	log := b.loggers(b.mesh.AccessLog)
	if name == virtualOutbound {
		return b.virtualOutbound(log)
	}
	for _, p := range b.view.Ports() {
		if portListenerName(p.Number) == name {
			return b.portListener(p, log)
		}
	}
	return nil
}

func portListenerName(port uint32) string { return fmt.Sprintf("0.0.0.0_%d", port) }

// virtualOutbound is the one listener that is bound to a port.
func (b *builder) virtualOutbound(log []*accesslogv3.AccessLog) *listenerv3.Listener {
	m := b.mesh
	detection := undeclaredDetection
	if m.DetectionTimeout > 0 {
		detection = min(detection, m.DetectionTimeout)
	}
	l := listen(virtualOutbound, m.ListenPort, detection)
	l.UseOriginalDst = wrapperspb.Bool(true)
	l.FilterChains = []*listenerv3.FilterChain{
		{Name: chainLoop, Filters: b.tcp(egress.BlackHoleCluster, log)},
		{Name: chainInCluster, Filters: b.inClusterTCP(b.logAs(egress.PassthroughCluster))},
		{Name: chainHTTP, Filters: b.http(catchAllRoute, log)},
		b.rest(),
	}
	// A connection to the sidecar's own port would be forwarded to itself.
	l.FilterChainMatcher = b.exactly(&inputv3.DestinationPortInput{},
		map[string]*matcherv3.Matcher_OnMatch{fmt.Sprint(m.ListenPort): b.chain(chainLoop)},
		b.inCluster(0, b.byProtocol(b.chain(chainRest), b.chain(chainHTTP), b.chain(chainRest)))).GetMatcher()
	// They also run for ports with a listener: connections are handed over after them.
	l.ListenerFilters = append(b.originalDst(), b.inspectors(egress.DetectedPorts())...)
	return l
}

// portListener handles the connections to one port. It is not bound:
// virtualOutbound hands them over.
func (b *builder) portListener(p egress.Port, log []*accesslogv3.AccessLog) *listenerv3.Listener {
	l := listen(portListenerName(p.Number), p.Number, b.mesh.DetectionTimeout)
	l.BindToPort = wrapperspb.Bool(false)
	l.FilterChains = []*listenerv3.FilterChain{{Name: chainInCluster, Filters: b.inClusterTCP(b.logAs(egress.PassthroughCluster))}, b.rest()}
	tcp, rest := b.tcpHosts(p, l, log)
	decide := rest
	if !p.OnlyTCP() {
		l.FilterChains = append(l.FilterChains,
			&listenerv3.FilterChain{Name: chainHTTP, Filters: b.http(fmt.Sprint(p.Number), log)},
			&listenerv3.FilterChain{Name: chainTLS, Filters: b.bySNIName(p.Number)},
			&listenerv3.FilterChain{Name: chainTLSListed, Filters: b.bySNICluster(p.Number, log)})
		decide = b.byProtocol(b.tlsHosts(p, l, log), b.chain(chainHTTP), rest)
		l.ListenerFilters = b.inspectors(nil)
	}
	decide = b.inCluster(p.Number, b.byAddress(tcp, decide))
	if decide.GetMatcher() == nil { // one chain for all, and a listener requires a matcher
		decide = b.exactly(&inputv3.DestinationPortInput{}, map[string]*matcherv3.Matcher_OnMatch{fmt.Sprint(p.Number): decide}, decide)
	}
	l.FilterChainMatcher = decide.GetMatcher()
	return l
}

// tcpHosts adds the chains of TCP hosts with addresses, and returns what gets
// the rest: a host without addresses where there is one.
func (b *builder) tcpHosts(p egress.Port, l *listenerv3.Listener, log []*accesslogv3.AccessLog) (tcp []addressChoice, rest *matcherv3.Matcher_OnMatch) {
	rest = b.chain(chainRest)
	for _, h := range p.Hosts {
		if h.Protocol != egress.ProtocolTCP || h.Shadowed {
			continue
		}
		to := b.splitChains(l, "tcp "+h.Name, b.hostBranches(h, log))
		if len(h.Addresses) == 0 {
			rest = to
		} else {
			tcp = append(tcp, addressChoice{h.Addresses, to})
		}
	}
	return tcp, rest
}

// tlsHosts matches declared names to their chains: almost all to one that is
// the same whatever is declared. Hosts that are resolved by another name or
// port, wildcards and routes have chains of their own.
func (b *builder) tlsHosts(p egress.Port, l *listenerv3.Listener, log []*accesslogv3.AccessLog) *matcherv3.Matcher_OnMatch {
	plain, listed := sniChoice{then: b.chain(chainTLS)}, sniChoice{then: b.chain(chainTLSListed)}
	choices, routed := b.tlsRoutes(p, l, log)
	for _, h := range p.Hosts {
		to, named := h.SingleName()
		switch {
		case !h.BySNI() || routed[h.Name]:
		case named && to.Address == h.Name && to.Port == h.Port:
			plain.names = append(plain.names, h.Name)
		case !named && !h.Wildcard() && !h.SeveralNames():
			listed.names = append(listed.names, h.Name)
		default:
			choices = append(choices, sniChoice{[]string{h.Name}, b.splitChains(l, "tls "+h.Name, b.hostBranches(h, log))})
		}
	}
	return b.bySNI(append([]sniChoice{plain, listed}, choices...), b.withoutSNI(p, l))
}

// withoutSNI matches the addresses of TLS hosts, for clients that send no SNI; an SNI
// that is not declared is not affected by them. Hosts without resolution share a
// chain, and so do the single addresses of hosts with endpoints: their clusters are
// named after the address. A range may have any number of addresses.
func (b *builder) withoutSNI(p egress.Port, l *listenerv3.Listener) *matcherv3.Matcher_OnMatch {
	kept, listed := addressChoice{then: b.chain(chainAddress)}, addressChoice{then: b.chain(chainAddressListed)}
	var choices []addressChoice
	for _, h := range p.Hosts {
		if h.Protocol != egress.ProtocolTLS || len(h.Addresses) == 0 {
			continue
		}
		if h.Unresolved {
			kept.prefixes = append(kept.prefixes, h.Addresses...)
			continue
		}
		own := h.Addresses
		if h.Static() {
			own = slices.DeleteFunc(slices.Clone(own), netip.Prefix.IsSingleIP)
			listed.prefixes = append(listed.prefixes, slices.DeleteFunc(slices.Clone(h.Addresses), func(a netip.Prefix) bool { return !a.IsSingleIP() })...)
		}
		if len(own) > 0 {
			choices = append(choices, addressChoice{own, b.splitChains(l, "address "+h.Name, b.addressBranches(h))})
		}
	}
	rest := b.chain(chainRest)
	if len(kept.prefixes) > 0 {
		l.FilterChains = append(l.FilterChains, &listenerv3.FilterChain{Name: chainAddress, Filters: b.inClusterTCP(b.logAs(addressCluster(p.Number)))})
		choices = append(choices, kept)
	}
	if len(listed.prefixes) > 0 {
		l.FilterChains = append(l.FilterChains, &listenerv3.FilterChain{Name: chainAddressListed, Filters: b.byNamedCluster(p.Number, egress.AddressClusterName(p.Number, originalAddress), b.logAs(addressCluster(p.Number)))})
		choices = append(choices, listed)
	}
	if len(choices) == 0 {
		return rest
	}
	return b.ifSNI(rest, b.byAddress(choices, rest))
}

// tlsRoutes adds a chain for each route by SNI, and returns the names they
// match.
func (b *builder) tlsRoutes(p egress.Port, l *listenerv3.Listener, log []*accesslogv3.AccessLog) (choices []sniChoice, routed map[string]bool) {
	routed = map[string]bool{}
	for _, s := range b.view.SNIRoutes(p.Number) {
		name := fmt.Sprintf("route %s/%s %s", s.By.Namespace, s.By.Name, s.Route.Path)
		choices = append(choices, sniChoice{s.Names, b.splitChains(l, name, b.routeBranches(s, log))})
		for _, n := range s.Names {
			routed[n] = true
		}
	}
	return choices, routed
}

// rest is the chain of connections to what is not declared. Their access log has the code of
// requests to such hosts.
func (b *builder) rest() *listenerv3.FilterChain {
	code := egress.RouteAllowAny
	if b.mesh.RegistryOnly {
		code = egress.RouteBlockAll
	}
	return &listenerv3.FilterChain{Name: chainRest, Filters: b.undeclared(b.loggers(withRoute(b.mesh.AccessLog, code)))}
}

// listen is a listener on all addresses of both families.
func listen(name string, port uint32, detection time.Duration) *listenerv3.Listener {
	return &listenerv3.Listener{
		Name: name, Address: socket("0.0.0.0", port),
		AdditionalAddresses:              []*listenerv3.AdditionalAddress{{Address: socket("::", port)}},
		TrafficDirection:                 corev3.TrafficDirection_OUTBOUND,
		ListenerFiltersTimeout:           durationpb.New(detection),
		ContinueOnListenerFiltersTimeout: true,
	}
}

func (b *builder) originalDst() []*listenerv3.ListenerFilter {
	return []*listenerv3.ListenerFilter{b.listenerFilter("envoy.filters.listener.original_dst", &originaldstv3.OriginalDst{}, nil)}
}

// inspectors detect TLS and HTTP, on some ports only or on all.
func (b *builder) inspectors(only []egress.PortRange) []*listenerv3.ListenerFilter {
	var disabled *listenerv3.ListenerFilterChainMatchPredicate
	if len(only) > 0 {
		disabled = &listenerv3.ListenerFilterChainMatchPredicate{Rule: &listenerv3.ListenerFilterChainMatchPredicate_NotMatch{NotMatch: portsIn(only)}}
	}
	return []*listenerv3.ListenerFilter{
		b.listenerFilter("envoy.filters.listener.tls_inspector", &tlsinspectorv3.TlsInspector{}, disabled),
		b.listenerFilter("envoy.filters.listener.http_inspector", &httpinspectorv3.HttpInspector{}, disabled),
	}
}

func portsIn(ranges []egress.PortRange) *listenerv3.ListenerFilterChainMatchPredicate {
	set := &listenerv3.ListenerFilterChainMatchPredicate_MatchSet{}
	for _, r := range ranges {
		set.Rules = append(set.Rules, &listenerv3.ListenerFilterChainMatchPredicate{
			Rule: &listenerv3.ListenerFilterChainMatchPredicate_DestinationPortRange{
				DestinationPortRange: &typev3.Int32Range{Start: int32(r.First), End: int32(r.Last) + 1},
			},
		})
	}
	return &listenerv3.ListenerFilterChainMatchPredicate{Rule: &listenerv3.ListenerFilterChainMatchPredicate_OrMatch{OrMatch: set}}
}

func (b *builder) listenerFilter(name string, config proto.Message, disabled *listenerv3.ListenerFilterChainMatchPredicate) *listenerv3.ListenerFilter {
	return &listenerv3.ListenerFilter{
		Name: name, FilterDisabled: disabled,
		ConfigType: &listenerv3.ListenerFilter_TypedConfig{TypedConfig: b.pack(config)},
	}
}
