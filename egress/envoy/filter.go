package envoy

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	mutationv3 "github.com/envoyproxy/go-control-plane/envoy/config/common/mutation_rules/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	filterstatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/common/set_filter_state/v3"
	corsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/cors/v3"
	httpdfpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/dynamic_forward_proxy/v3"
	faultv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/fault/v3"
	ondemandv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/on_demand/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	httpstatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/set_filter_state/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	setstatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/set_filter_state/v3"
	snidfpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/sni_dynamic_forward_proxy/v3"
	tcpproxyv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	earlyv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/http/early_header_mutation/header_mutation/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/outrider-mesh/outrider/egress"
)

// onDemandTimeout bounds the wait for a cluster that is fetched on first use:
// while the control plane is unavailable, clients get an answer soon.
const onDemandTimeout = 2 * time.Second

// fromADS is the stream that delivers the configuration.
func fromADS(timeout time.Duration) *corev3.ConfigSource {
	return &corev3.ConfigSource{
		ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}},
		InitialFetchTimeout:   durationpb.New(timeout),
		ResourceApiVersion:    corev3.ApiVersion_V3,
	}
}

// tcp forwards a connection to a cluster that always exists.
func (b *builder) tcp(cluster string, log []*accesslogv3.AccessLog) []*listenerv3.Filter {
	return []*listenerv3.Filter{b.tcpProxy(&tcpproxyv3.TcpProxy{
		StatPrefix: cluster, AccessLog: log, ClusterSpecifier: &tcpproxyv3.TcpProxy_Cluster{Cluster: cluster},
	})}
}

// undeclared forwards a connection to a destination that is not declared, or closes it.
func (b *builder) undeclared(log []*accesslogv3.AccessLog) []*listenerv3.Filter {
	cluster := egress.PassthroughCluster
	if b.mesh.RegistryOnly {
		cluster = egress.BlackHoleCluster
	}
	p := &tcpproxyv3.TcpProxy{StatPrefix: cluster, AccessLog: log, ClusterSpecifier: &tcpproxyv3.TcpProxy_Cluster{Cluster: cluster}}
	b.undeclaredTCP(p)
	return []*listenerv3.Filter{b.tcpProxy(p)}
}

// toNames forwards a connection to the name that it was resolved by. In the access log and
// in counts it has the name of a cluster.
func (b *builder) toNames(cluster string) []*listenerv3.Filter {
	p := &tcpproxyv3.TcpProxy{StatPrefix: namesCluster, AccessLog: b.logAs(cluster), ClusterSpecifier: &tcpproxyv3.TcpProxy_Cluster{Cluster: namesCluster}}
	switch {
	case !b.mesh.Reports:
	case strings.Contains(cluster, "%"):
		b.count(cluster, p)
	default: // Envoy counts by this prefix anyway
		p.StatPrefix = egress.CountedNames + cluster
	}
	return []*listenerv3.Filter{b.tcpProxy(p)}
}

// inClusterTCP forwards a connection to its original destination, whatever
// outboundTrafficPolicy is. In statistics and access logs it is
// egress.PassthroughCluster, as in Istio.
func (b *builder) inClusterTCP(log []*accesslogv3.AccessLog) []*listenerv3.Filter {
	p := &tcpproxyv3.TcpProxy{
		StatPrefix: egress.PassthroughCluster, AccessLog: log, ClusterSpecifier: &tcpproxyv3.TcpProxy_Cluster{Cluster: inClusterCluster},
	}
	b.count("outbound|%DOWNSTREAM_LOCAL_PORT%||"+originalAddress, p)
	return []*listenerv3.Filter{b.tcpProxy(p)}
}

// onDemandTCP forwards a connection to a cluster that is fetched on first use.
func (b *builder) onDemandTCP(cluster string, log []*accesslogv3.AccessLog) []*listenerv3.Filter {
	return []*listenerv3.Filter{b.tcpProxy(&tcpproxyv3.TcpProxy{
		StatPrefix: cluster, AccessLog: log, ClusterSpecifier: &tcpproxyv3.TcpProxy_Cluster{Cluster: cluster},
		OnDemand: &tcpproxyv3.TcpProxy_OnDemand{OdcdsConfig: fromADS(onDemandTimeout), Timeout: durationpb.New(onDemandTimeout)},
	})}
}

// bySNICluster forwards a connection to the cluster that is named after the
// SNI. The chain is the same whatever is declared, so no ServiceEntry disturbs
// connections to the hosts of another; only declared names get here.
func (b *builder) bySNICluster(port uint32, log []*accesslogv3.AccessLog) []*listenerv3.Filter {
	return b.byNamedCluster(port, egress.ClusterName(port, "%REQUESTED_SERVER_NAME%"), log)
}

// byNamedCluster forwards a connection to the cluster whose name is a format
// string.
func (b *builder) byNamedCluster(port uint32, name string, log []*accesslogv3.AccessLog) []*listenerv3.Filter {
	proxy := &tcpproxyv3.TcpProxy{
		StatPrefix: fmt.Sprintf("outbound_%d_tls", port), AccessLog: log,
		ClusterSpecifier: &tcpproxyv3.TcpProxy_Cluster{Cluster: egress.BlackHoleCluster},
		OnDemand:         &tcpproxyv3.TcpProxy_OnDemand{OdcdsConfig: fromADS(onDemandTimeout), Timeout: durationpb.New(onDemandTimeout)},
	}
	return []*listenerv3.Filter{b.state(map[string]string{stateCluster: name}), b.tcpProxy(proxy)}
}

// bySNIName resolves the SNI and forwards the connection. This chain, too, is
// the same whatever is declared.
func (b *builder) bySNIName(port uint32) []*listenerv3.Filter {
	return append(b.resolveSNI(port), b.toNames(egress.ClusterName(port, "%REQUESTED_SERVER_NAME%"))...)
}

// state sets filter state objects of a connection to format strings.
func (b *builder) state(objects map[string]string) *listenerv3.Filter {
	return b.filter("envoy.filters.network.set_filter_state", &setstatev3.Config{OnNewConnection: stateValues(objects)})
}

func stateValues(objects map[string]string) []*filterstatev3.FilterStateValue {
	var out []*filterstatev3.FilterStateValue
	for _, key := range slices.Sorted(maps.Keys(objects)) {
		out = append(out, &filterstatev3.FilterStateValue{
			Key: &filterstatev3.FilterStateValue_ObjectKey{ObjectKey: key},
			Value: &filterstatev3.FilterStateValue_FormatString{FormatString: &corev3.SubstitutionFormatString{
				Format:          &corev3.SubstitutionFormatString_TextFormatSource{TextFormatSource: inline(objects[key])},
				OmitEmptyValues: true,
			}},
			SkipIfEmpty: true,
		})
	}
	return out
}

// resolveSNI resolves the SNI.
func (b *builder) resolveSNI(port uint32) []*listenerv3.Filter {
	return []*listenerv3.Filter{b.filter("envoy.filters.network.sni_dynamic_forward_proxy", &snidfpv3.FilterConfig{
		DnsCacheConfig: b.dnsCache(cacheNames), PortSpecifier: &snidfpv3.FilterConfig_PortValue{PortValue: port},
	})}
}

// resolve resolves one name for all connections.
func (b *builder) resolve(to egress.Endpoint) []*listenerv3.Filter {
	return append([]*listenerv3.Filter{b.state(map[string]string{stateHost: to.Address})}, b.resolveSNI(to.Port)...)
}

// toHost forwards a connection to a declared host.
func (b *builder) toHost(h egress.Host, log []*accesslogv3.AccessLog) []*listenerv3.Filter {
	if to, ok := h.SingleName(); ok {
		return b.toName(to, h.ClusterName())
	}
	if len(h.Endpoints) == 0 && !h.Passthrough {
		return append(b.resolveSNI(h.TargetPort), b.toNames(h.ClusterName())...)
	}
	return b.onDemandTCP(h.ClusterName(), log)
}

// toName forwards a connection to one name or address. In the access log it has
// the name of a cluster.
func (b *builder) toName(to egress.Endpoint, cluster string) []*listenerv3.Filter {
	if strings.Contains(to.Address, ":") { // which a cache of names reads as the start of a port
		to.Address = "[" + to.Address + "]"
	}
	return append(b.resolve(to), b.toNames(cluster)...)
}

// logAs are the loggers of a chain, with another cluster name.
func (b *builder) logAs(cluster string) []*accesslogv3.AccessLog {
	return b.loggers(withCluster(b.mesh.AccessLog, cluster))
}

// http routes requests by Host. All filters are present from the start: adding
// one with the first ServiceEntry that needs it would close all connections of
// the port.
func (b *builder) http(route string, log []*accesslogv3.AccessLog) []*listenerv3.Filter {
	return []*listenerv3.Filter{b.managerFilter(b.manager(route, log))}
}

func (b *builder) managerFilter(m *hcmv3.HttpConnectionManager) *listenerv3.Filter {
	return b.filter("envoy.filters.network.http_connection_manager", m)
}

func (b *builder) manager(route string, log []*accesslogv3.AccessLog) *hcmv3.HttpConnectionManager {
	filters := []*hcmv3.HttpFilter{b.httpFilter("envoy.filters.http.router", &routerv3.Router{SuppressEnvoyHeaders: b.mesh.Headers.NoDebug})}
	var early []*corev3.TypedExtensionConfig
	declared := route != catchAllRoute
	if declared {
		filters = append(b.hostFilters(), filters...)
		if b.mesh.Reports {
			filters = append([]*hcmv3.HttpFilter{b.markUndeclared()}, filters...)
		}
		early = b.nameCluster(route)
	}
	m := &hcmv3.HttpConnectionManager{
		StatPrefix: "outbound_" + route,
		RouteSpecifier: &hcmv3.HttpConnectionManager_Rds{Rds: &hcmv3.Rds{
			ConfigSource: fromADS(0), RouteConfigName: route,
		}},
		EarlyHeaderMutationExtensions: early, HttpFilters: filters, AccessLog: b.undeclaredHTTP(route, log),
		StreamIdleTimeout: durationpb.New(0),
		UseRemoteAddress:  wrapperspb.Bool(false),
		NormalizePath:     wrapperspb.Bool(true),
		// The fully qualified form of a declared name is the same name.
		StripTrailingHostDot: declared,
		UpgradeConfigs:       []*hcmv3.HttpConnectionManager_UpgradeConfig{{UpgradeType: "websocket"}},
	}
	if declared || b.mesh.RegistryOnly {
		b.explains(m)
	}
	b.ownHeaders(m)
	return m
}

// ownHeaders are the settings of the headers that Envoy itself adds.
func (b *builder) ownHeaders(m *hcmv3.HttpConnectionManager) {
	h := b.mesh.Headers
	if h.NoRequestID {
		m.GenerateRequestId = wrapperspb.Bool(false)
	}
	if !h.NoDebug { // without it Envoy adds no X-Envoy-Decorator-Operation
		m.Tracing = &hcmv3.HttpConnectionManager_Tracing{}
	}
	m.ServerName = h.ServerName
	if h.KeepServer {
		m.ServerName, m.ServerHeaderTransformation = "", hcmv3.HttpConnectionManager_PASS_THROUGH
	}
}

// hostFilters are the filters of requests to declared hosts. The cluster is
// fetched first: a request that waits for it passes the filters before twice.
func (b *builder) hostFilters() []*hcmv3.HttpFilter {
	return []*hcmv3.HttpFilter{
		b.httpFilter("envoy.filters.http.on_demand", &ondemandv3.OnDemand{
			Odcds: &ondemandv3.OnDemandCds{Source: fromADS(onDemandTimeout), Timeout: durationpb.New(onDemandTimeout)},
		}),
		b.httpFilter(corsFilter, &corsv3.Cors{}),
		b.httpFilter(faultFilter, &faultv3.HTTPFault{}),
		b.httpFilter(stateFilter, &httpstatev3.Config{OnRequestHeaders: stateValues(map[string]string{
			statePort: fmt.Sprintf("%%METADATA(CLUSTER:%s:%s)%%", metadataNamespace, metadataPort),
		})}),
		b.httpFilter("envoy.filters.http.dynamic_forward_proxy", &httpdfpv3.FilterConfig{
			ImplementationSpecifier:         &httpdfpv3.FilterConfig_DnsCacheConfig{DnsCacheConfig: b.dnsCache(cacheWildcards)},
			AllowDynamicHostFromFilterState: true,
		}),
	}
}

func (b *builder) tcpProxy(p *tcpproxyv3.TcpProxy) *listenerv3.Filter {
	return b.filter("envoy.filters.network.tcp_proxy", p)
}

// nameCluster sets egress.ClusterHeader before a route is selected.
func (b *builder) nameCluster(port string) []*corev3.TypedExtensionConfig {
	return []*corev3.TypedExtensionConfig{{Name: "envoy.http.early_header_mutation.header_mutation", TypedConfig: b.pack(&earlyv3.HeaderMutation{
		Mutations: []*mutationv3.HeaderMutation{{Action: &mutationv3.HeaderMutation_Append{Append: headerOption(
			egress.ClusterHeader, fmt.Sprintf("outbound|%s||%%REQ(:AUTHORITY)%%", port), corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD)}}},
	})}}
}
