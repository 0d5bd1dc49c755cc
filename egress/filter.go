package egress

import (
	"fmt"
	"time"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	filterstatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/common/set_filter_state/v3"
	httpdfpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/dynamic_forward_proxy/v3"
	ondemandv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/on_demand/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	setstatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/set_filter_state/v3"
	snidfpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/sni_dynamic_forward_proxy/v3"
	tcpproxyv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// onDemandTimeout bounds the wait for a cluster that is fetched on first use: a
// client whose control plane is away gets its answer soon.
const onDemandTimeout = 2 * time.Second

// fromADS names the stream that the configuration itself came by.
func fromADS(timeout time.Duration) *corev3.ConfigSource {
	return &corev3.ConfigSource{
		ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}},
		InitialFetchTimeout:   durationpb.New(timeout),
		ResourceApiVersion:    corev3.ApiVersion_V3,
	}
}

// tcp passes bytes on to a cluster that is always there.
func (b *builder) tcp(cluster string, log []*accesslogv3.AccessLog) []*listenerv3.Filter {
	return []*listenerv3.Filter{b.tcpProxy(&tcpproxyv3.TcpProxy{
		StatPrefix: cluster, AccessLog: log, ClusterSpecifier: &tcpproxyv3.TcpProxy_Cluster{Cluster: cluster},
	})}
}

// onDemandTCP passes bytes on to a cluster that is fetched on first use.
func (b *builder) onDemandTCP(cluster string, log []*accesslogv3.AccessLog) []*listenerv3.Filter {
	return []*listenerv3.Filter{b.tcpProxy(&tcpproxyv3.TcpProxy{
		StatPrefix: cluster, AccessLog: log, ClusterSpecifier: &tcpproxyv3.TcpProxy_Cluster{Cluster: cluster},
		OnDemand: &tcpproxyv3.TcpProxy_OnDemand{OdcdsConfig: fromADS(onDemandTimeout), Timeout: durationpb.New(onDemandTimeout)},
	})}
}

// bySNICluster passes bytes on to the cluster that is named after the SNI. The
// chain is the same whatever is declared, so no entry disturbs the connections
// to another's host; only declared names come here.
func (b *builder) bySNICluster(port uint32, log []*accesslogv3.AccessLog) []*listenerv3.Filter {
	name := &setstatev3.Config{OnNewConnection: []*filterstatev3.FilterStateValue{{
		Key: &filterstatev3.FilterStateValue_ObjectKey{ObjectKey: "envoy.tcp_proxy.cluster"},
		Value: &filterstatev3.FilterStateValue_FormatString{FormatString: &corev3.SubstitutionFormatString{
			Format: &corev3.SubstitutionFormatString_TextFormatSource{TextFormatSource: inline(clusterName(port, "%REQUESTED_SERVER_NAME%"))},
		}},
	}}}
	proxy := &tcpproxyv3.TcpProxy{
		StatPrefix: fmt.Sprintf("outbound_%d_tls", port), AccessLog: log,
		ClusterSpecifier: &tcpproxyv3.TcpProxy_Cluster{Cluster: BlackHoleCluster},
		OnDemand:         &tcpproxyv3.TcpProxy_OnDemand{OdcdsConfig: fromADS(onDemandTimeout), Timeout: durationpb.New(onDemandTimeout)},
	}
	return []*listenerv3.Filter{b.filter("envoy.filters.network.set_filter_state", name), b.tcpProxy(proxy)}
}

// bySNIForward resolves the SNI itself, for names under a wildcard.
func (b *builder) bySNIForward(port uint32) []*listenerv3.Filter {
	return []*listenerv3.Filter{b.filter("envoy.filters.network.sni_dynamic_forward_proxy", &snidfpv3.FilterConfig{
		DnsCacheConfig: b.dnsCache(), PortSpecifier: &snidfpv3.FilterConfig_PortValue{PortValue: port},
	})}
}

// http decides by Host. The filters are all there from the start: one that came
// with the first entry to need it would end every connection of the port.
func (b *builder) http(route string, log []*accesslogv3.AccessLog) []*listenerv3.Filter {
	filters := []*hcmv3.HttpFilter{
		b.httpFilter("envoy.filters.http.on_demand", &ondemandv3.OnDemand{
			Odcds: &ondemandv3.OnDemandCds{Source: fromADS(onDemandTimeout), Timeout: durationpb.New(onDemandTimeout)},
		}),
		b.httpFilter("envoy.filters.http.dynamic_forward_proxy", &httpdfpv3.FilterConfig{
			ImplementationSpecifier: &httpdfpv3.FilterConfig_DnsCacheConfig{DnsCacheConfig: b.dnsCache()},
		}),
		b.httpFilter("envoy.filters.http.router", &routerv3.Router{}),
	}
	if route == catchAllRoute {
		filters = filters[2:] // it leads to no declared host
	}
	return []*listenerv3.Filter{b.filter("envoy.filters.network.http_connection_manager", &hcmv3.HttpConnectionManager{
		StatPrefix: "outbound_" + route,
		RouteSpecifier: &hcmv3.HttpConnectionManager_Rds{Rds: &hcmv3.Rds{
			ConfigSource: fromADS(0), RouteConfigName: route,
		}},
		HttpFilters: filters, AccessLog: log,
		// Without it Envoy adds no X-Envoy-Decorator-Operation.
		Tracing:           &hcmv3.HttpConnectionManager_Tracing{},
		StreamIdleTimeout: durationpb.New(0),
		UseRemoteAddress:  wrapperspb.Bool(false),
		NormalizePath:     wrapperspb.Bool(true),
		UpgradeConfigs:    []*hcmv3.HttpConnectionManager_UpgradeConfig{{UpgradeType: "websocket"}},
	})}
}

func (b *builder) tcpProxy(p *tcpproxyv3.TcpProxy) *listenerv3.Filter {
	return b.filter("envoy.filters.network.tcp_proxy", p)
}

func (b *builder) filter(name string, config proto.Message) *listenerv3.Filter {
	return &listenerv3.Filter{Name: name, ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: b.pack(config)}}
}

func (b *builder) httpFilter(name string, config proto.Message) *hcmv3.HttpFilter {
	return &hcmv3.HttpFilter{Name: name, ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: b.pack(config)}}
}
