package envoy

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	mutationv3 "github.com/envoyproxy/go-control-plane/envoy/config/common/mutation_rules/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	commondnsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/clusters/common/dns/v3"
	dnsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/clusters/dns/v3"
	dfpclusterv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/clusters/dynamic_forward_proxy/v3"
	dnscachev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/common/dynamic_forward_proxy/v3"
	headermutationv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/header_mutation/v3"
	rbacfilterv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	codecv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/upstream_codec/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	caresv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/network/dns_resolver/cares/v3"
	upstreamipv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/rbac/matchers/upstream_ip_port/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/outrider-mesh/outrider/egress"
)

// Limits of name resolution.
const (
	dnsRetry    = time.Second      // after a first failure
	dnsRetryMax = 10 * time.Second // after many
	// nameTTL is how long an unused name is kept.
	nameTTL = 5 * time.Minute
	// mirrorTTL keeps the one name of a mirror's cluster: once removed, no
	// request would add it again.
	mirrorTTL = 10 * 365 * 24 * time.Hour
	// namesLimit bounds the names that one sidecar keeps: twice the 5,000 hosts
	// that a mesh is tested with.
	namesLimit = 10000
)

// ipv4First resolves to IPv6 only where there is no IPv4 address, as clusters
// with only IPv4 require.
const ipv4First = clusterv3.Cluster_V4_PREFERRED

func (b *builder) standingClusters() []*clusterv3.Cluster {
	timeout := durationpb.New(b.mesh.ConnectTimeout)
	out := []*clusterv3.Cluster{
		{Name: egress.BlackHoleCluster, ClusterDiscoveryType: ofType(clusterv3.Cluster_STATIC), ConnectTimeout: timeout},
		b.policyCluster(),
		b.originalDestination(inClusterCluster),
	}
	out = append(out, b.ofCache(namesCluster, b.dnsCache(cacheNames), egress.ProtocolTCP))
	for _, d := range b.view.Mirrors() {
		out = append(out, b.mirrorCluster(d))
	}
	return out
}

// policyCluster is outboundTrafficPolicy. Listeners and routes, which have what
// tenants write, only decide how a connection or request that is not declared is
// closed or answered: under REGISTRY_ONLY this cluster forwards nothing, so that a
// sidecar that rejects the new listeners or routes does not forward it either.
func (b *builder) policyCluster() *clusterv3.Cluster {
	if b.mesh.RegistryOnly {
		return &clusterv3.Cluster{
			Name: egress.PassthroughCluster, ClusterDiscoveryType: ofType(clusterv3.Cluster_STATIC), ConnectTimeout: durationpb.New(b.mesh.ConnectTimeout),
		}
	}
	return b.originalDestination(egress.PassthroughCluster)
}

// mirrorCluster receives mirrored requests. They pass no filter that resolves a
// name, so it has a cache of its own that resolves it in advance.
func (b *builder) mirrorCluster(d egress.Destination) *clusterv3.Cluster {
	h := d.Host
	to, named := d.ResolvedName()
	if !named {
		c := b.onDemandCluster(h)
		c.Name, c.LoadAssignment.ClusterName = d.MirrorClusterName(), d.MirrorClusterName()
		c.TypedExtensionProtocolOptions = b.mirrorUpstream(upstreamProtocol(h))
		return c
	}
	// Envoy rejects changes to a cache that a cluster uses, so all of its
	// settings are in its name.
	cache := b.dnsCache(d.MirrorClusterName() + " " + joinPort(to.Address, to.Port))
	cache.HostTtl = durationpb.New(mirrorTTL)
	cache.PreresolveHostnames = []*corev3.SocketAddress{socket(to.Address, to.Port).GetSocketAddress()}
	c := b.ofCache(d.MirrorClusterName(), cache, h.Protocol)
	c.TypedExtensionProtocolOptions = b.mirrorUpstream(h.Protocol)
	return c
}

// mirrorUpstream takes from a mirrored request what Envoy adds to it: the pod's
// address in X-Forwarded-For, X-Envoy-Internal, and the time in which a response is
// expected, for which nobody waits.
func (b *builder) mirrorUpstream(p egress.Protocol) map[string]*anypb.Any {
	return b.upstream(p,
		b.httpFilter("envoy.filters.http.header_mutation", &headermutationv3.HeaderMutation{Mutations: &headermutationv3.Mutations{RequestMutations: []*mutationv3.HeaderMutation{
			removed("x-envoy-internal"), removed("x-envoy-expected-rq-timeout-ms"), removed(forwardedFor),
			appended(forwardedFor, "%REQ("+mirroredFor+")%"), removed(mirroredFor),
		}}}),
		b.httpFilter("envoy.filters.http.upstream_codec", &codecv3.UpstreamCodec{}))
}

// ofCache is a cluster that connects to the names in a cache.
func (b *builder) ofCache(name string, cache *dnscachev3.DnsCacheConfig, p egress.Protocol) *clusterv3.Cluster {
	return &clusterv3.Cluster{
		Name: name, LbPolicy: clusterv3.Cluster_CLUSTER_PROVIDED,
		ConnectTimeout: durationpb.New(b.mesh.ConnectTimeout), CircuitBreakers: unbroken(),
		ClusterDiscoveryType: b.extension("envoy.clusters.dynamic_forward_proxy", &dfpclusterv3.ClusterConfig{
			ClusterImplementationSpecifier: &dfpclusterv3.ClusterConfig_DnsCacheConfig{DnsCacheConfig: cache},
			// Without it Envoy requires TLS options for a cluster that
			// originates TLS; this one forwards what it receives.
			AllowInsecureClusterOptions: true,
		}),
		TypedExtensionProtocolOptions: b.upstream(p),
	}
}

// originalDestination is a cluster that connects to the original destination.
func (b *builder) originalDestination(name string) *clusterv3.Cluster {
	return &clusterv3.Cluster{
		Name: name, ClusterDiscoveryType: ofType(clusterv3.Cluster_ORIGINAL_DST), LbPolicy: clusterv3.Cluster_CLUSTER_PROVIDED,
		ConnectTimeout:                durationpb.New(b.mesh.ConnectTimeout),
		CircuitBreakers:               unbroken(),
		TypedExtensionProtocolOptions: b.upstream(egress.ProtocolHTTP),
	}
}

// unbroken lifts Envoy's limit of 1,024 connections and requests for a cluster,
// as Istio does: how many connections an application opens is its own business.
func unbroken() *clusterv3.CircuitBreakers {
	most := wrapperspb.UInt32(math.MaxUint32)
	return &clusterv3.CircuitBreakers{Thresholds: []*clusterv3.CircuitBreakers_Thresholds{{
		MaxConnections: most, MaxPendingRequests: most, MaxRequests: most, MaxRetries: most,
	}}}
}

// hasCluster reports whether the host has a cluster of its own. Connections to
// the DNS names of other hosts use namesCluster.
func hasCluster(h egress.Host) bool { return h.ByHost() || h.Passthrough || h.Static() }

// upstreamProtocol is the protocol that requests to a host are sent with.
func upstreamProtocol(h egress.Host) egress.Protocol {
	if h.AnyAddress { // for requests that are detected on its port
		return egress.ProtocolHTTP
	}
	return h.Protocol
}

func (b *builder) onDemandCluster(h egress.Host) *clusterv3.Cluster {
	switch {
	case h.Passthrough:
		return b.originalDestination(h.ClusterName())
	case h.Static():
		return b.listedCluster(h, nil, b.upstream(upstreamProtocol(h)))
	case len(h.Endpoints) == 0:
		return b.wildcardCluster(h)
	}
	// This type of cluster balances over all answers and cannot filter them: a
	// request to a local address is rejected at the connection.
	return b.listedCluster(h, b.strictDNS(), b.guardedUpstream(upstreamProtocol(h)))
}

// strictDNS is the type of clusters that resolve their endpoints.
func (b *builder) strictDNS() *clusterv3.Cluster_ClusterType {
	return b.extension("envoy.clusters.strict_dns", &dnsv3.DnsCluster{
		RespectDnsTtl: true,
		// A first failed query is repeated soon: by default Envoy waits for the
		// refresh rate of a successful one.
		DnsFailureRefreshRate:  &dnsv3.DnsCluster_RefreshRate{BaseInterval: durationpb.New(dnsRetry), MaxInterval: durationpb.New(dnsRetryMax)},
		TypedDnsResolverConfig: b.resolver(),
		DnsLookupFamily:        commondnsv3.DnsLookupFamily_V4_PREFERRED,
	})
}

func metadata(key, value string) *corev3.Metadata {
	return &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{metadataNamespace: {
		Fields: map[string]*structpb.Value{key: structpb.NewStringValue(value)},
	}}}
}

// wildcardCluster connects each request to its own Host.
func (b *builder) wildcardCluster(h egress.Host) *clusterv3.Cluster {
	c := b.ofCache(h.ClusterName(), b.dnsCache(cacheWildcards), h.Protocol)
	c.Metadata = metadata(metadataPort, fmt.Sprint(h.TargetPort))
	return c
}

// dnsCache is a cache of names. Envoy requires the same text at each place that
// refers to it.
func (b *builder) dnsCache(name string) *dnscachev3.DnsCacheConfig {
	c := &dnscachev3.DnsCacheConfig{
		DnsLookupFamily: ipv4First, HostTtl: durationpb.New(nameTTL),
		MaxHosts:               wrapperspb.UInt32(namesLimit),
		DnsFailureRefreshRate:  &clusterv3.Cluster_RefreshRate{BaseInterval: durationpb.New(dnsRetry), MaxInterval: durationpb.New(dnsRetryMax)},
		TypedDnsResolverConfig: b.resolver(),
		ResolvedAddressFilter:  resolvedAddressFilter(),
	}
	if b.cacheHash == "" {
		b.cacheHash = settingsHash(c)
	}
	c.Name = name + "-" + b.cacheHash
	return c
}

// settingsHash is a part of the name of a cache. Envoy keeps a cache by its name, and
// rejects a listener or a cluster that has other settings for it: a control plane of
// another version could not configure running sidecars.
func settingsHash(m proto.Message) string {
	text, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		panic("egress/envoy: settings of a cache cannot be encoded: " + err.Error()) // they are constants
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:4])
}

// resolver queries names as they are: with the pod's search list, a Service
// httpbin in a namespace org would answer for httpbin.org.
func (b *builder) resolver() *corev3.TypedExtensionConfig {
	return &corev3.TypedExtensionConfig{
		Name: "envoy.network.dns_resolver.cares",
		TypedConfig: b.pack(&caresv3.CaresDnsResolverConfig{
			DnsResolverOptions: &corev3.DnsResolverOptions{NoDefaultSearchDomain: true},
		}),
	}
}

// upstream are the HTTP options of a cluster: it uses the protocol of the
// client, but always HTTP/2 on a port declared so.
func (b *builder) upstream(p egress.Protocol, filters ...*hcmv3.HttpFilter) map[string]*anypb.Any {
	o := &httpv3.HttpProtocolOptions{HttpFilters: filters}
	switch p {
	case egress.ProtocolHTTP:
		o.UpstreamProtocolOptions = &httpv3.HttpProtocolOptions_UseDownstreamProtocolConfig{
			UseDownstreamProtocolConfig: &httpv3.HttpProtocolOptions_UseDownstreamHttpConfig{
				HttpProtocolOptions: &corev3.Http1ProtocolOptions{}, Http2ProtocolOptions: &corev3.Http2ProtocolOptions{},
			},
		}
	case egress.ProtocolHTTP2:
		o.UpstreamProtocolOptions = &httpv3.HttpProtocolOptions_ExplicitHttpConfig_{
			ExplicitHttpConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig{
				ProtocolConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{Http2ProtocolOptions: &corev3.Http2ProtocolOptions{}},
			},
		}
	default:
		return nil
	}
	return map[string]*anypb.Any{httpOptions: b.pack(o)}
}

// guardedUpstream rejects requests whose connection has a local address.
func (b *builder) guardedUpstream(p egress.Protocol) map[string]*anypb.Any {
	policy := &rbacv3.Policy{Principals: []*rbacv3.Principal{{Identifier: &rbacv3.Principal_Any{Any: true}}}}
	for _, r := range egress.LocalRanges() {
		policy.Permissions = append(policy.Permissions, &rbacv3.Permission{Rule: &rbacv3.Permission_Matcher{Matcher: &corev3.TypedExtensionConfig{
			Name: "envoy.rbac.matchers.upstream_ip_port", TypedConfig: b.pack(&upstreamipv3.UpstreamIpPortMatcher{UpstreamIp: coreRange(r)}),
		}}})
	}
	return b.upstream(p,
		b.httpFilter("envoy.filters.http.upstream_rbac", &rbacfilterv3.RBAC{Rules: &rbacv3.RBAC{
			Action: rbacv3.RBAC_DENY, Policies: map[string]*rbacv3.Policy{"refused-address": policy},
		}}),
		b.httpFilter("envoy.filters.http.upstream_codec", &codecv3.UpstreamCodec{}))
}

// listedCluster balances over a host's endpoints: addresses, or names that the
// cluster type resolves.
func (b *builder) listedCluster(h egress.Host, dynamic *clusterv3.Cluster_ClusterType, options map[string]*anypb.Any) *clusterv3.Cluster {
	c := &clusterv3.Cluster{
		Name: h.ClusterName(), LbPolicy: clusterv3.Cluster_LEAST_REQUEST,
		ConnectTimeout: durationpb.New(b.mesh.ConnectTimeout), CircuitBreakers: unbroken(),
		LoadAssignment: assignment(h), TypedExtensionProtocolOptions: options,
	}
	if dynamic != nil {
		c.ClusterDiscoveryType = dynamic
	} else {
		c.ClusterDiscoveryType = ofType(clusterv3.Cluster_STATIC)
	}
	if h.ByHost() {
		c.Metadata = metadata(metadataOperation, operationOf(h.Name, h.Port))
	}
	return c
}

func assignment(h egress.Host) *endpointv3.ClusterLoadAssignment {
	group := &endpointv3.LocalityLbEndpoints{}
	for _, e := range h.Endpoints {
		to := &endpointv3.LbEndpoint{HostIdentifier: &endpointv3.LbEndpoint_Endpoint{
			Endpoint: &endpointv3.Endpoint{Address: socket(e.Address, e.Port)},
		}}
		if e.Weight > 0 {
			to.LoadBalancingWeight = wrapperspb.UInt32(e.Weight)
		}
		group.LbEndpoints = append(group.LbEndpoints, to)
	}
	return &endpointv3.ClusterLoadAssignment{ClusterName: h.ClusterName(), Endpoints: []*endpointv3.LocalityLbEndpoints{group}}
}

func ofType(t clusterv3.Cluster_DiscoveryType) *clusterv3.Cluster_Type {
	return &clusterv3.Cluster_Type{Type: t}
}

// extension is a cluster type of Envoy's extensions.
func (b *builder) extension(name string, config proto.Message) *clusterv3.Cluster_ClusterType {
	return &clusterv3.Cluster_ClusterType{ClusterType: &clusterv3.Cluster_CustomClusterType{Name: name, TypedConfig: b.pack(config)}}
}
