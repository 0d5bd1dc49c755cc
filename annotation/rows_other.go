package annotation

// Reasons that several rows share.
const (
	whyInbound   = "inbound traffic is never captured, so every inbound port reaches the application directly; remove it"
	whyProbe     = "the probe is the same for all pods, by values global.proxy."
	whyStats     = "the statistics are fixed in the proxy's bootstrap; remove it"
	whyMetrics   = "metrics are not merged: Prometheus scrapes the application at its own port and the proxy at 15090; remove it"
	whyAmbient   = "only Istio's ambient mode reads this; remove it"
	whyVirtualIf = "traffic that arrives on a virtual interface is not redirected, so a virtual machine's egress would silently bypass the proxy; remove it, and run the workload without injection"
)

func isFalse(value string) bool {
	b, err := ParseBool(value)
	return err == nil && !b
}

var noEffectRows = []Row{
	{Name: IncludeInboundPorts, Support: NoEffect, Type: `port list or "*"`, Meaning: "Inbound ports to redirect", Why: whyInbound},
	{Name: ExcludeInboundPorts, Support: NoEffect, Type: "port list", Meaning: "Inbound ports not to redirect", Why: whyInbound},
	{Name: RewriteAppHTTPProbers, Support: NoEffect, Type: "boolean", Meaning: "Whether HTTP probes go through the agent", inert: isFalse,
		Why: "probes reach the application directly and need no rewriting; remove it"},
	{Name: StatusPort, Support: NoEffect, Type: "port", Meaning: "Port of the agent's status server",
		Why: "there is no agent; the proxy answers readiness on 15021 and metrics on 15090; remove it"},
	{Name: ReadinessInitialDelaySeconds, Support: NoEffect, Type: "whole number", Meaning: "Initial delay of the proxy's readiness probe", Why: whyProbe + "readinessInitialDelaySeconds; remove it"},
	{Name: ReadinessPeriodSeconds, Support: NoEffect, Type: "whole number", Meaning: "Period of the proxy's readiness probe", Why: whyProbe + "readinessPeriodSeconds; remove it"},
	{Name: ReadinessFailureThreshold, Support: NoEffect, Type: "whole number", Meaning: "Consecutive failures that make the proxy unready", Why: whyProbe + "readinessFailureThreshold; remove it"},
	{Name: AgentLogLevel, Support: NoEffect, Type: "scope:level list", Meaning: "Log level of Istio's agent",
		Why: "there is no agent; " + LogLevel + " sets the proxy's level; remove it"},
	{Name: ReadinessApplicationPorts, Support: NoEffect, Type: "port list", Meaning: "Ports the readiness probe waits for",
		Why: "the proxy is ready when its configuration is loaded; remove it"},
	{Name: BootstrapOverride, Support: NoEffect, Type: "ConfigMap name", Meaning: "Custom bootstrap for the proxy",
		Why: "the bootstrap is part of the template; use a custom template (" + InjectTemplates + ") instead"},
	{Name: CapNetBindService, Support: NoEffect, Type: "boolean", Meaning: "Whether the proxy may bind ports below 1024", inert: isFalse,
		Why: "the proxy binds no port below 1024; remove it"},
	{Name: DiscoveryAddress, Support: NoEffect, Type: "address", Meaning: "The xDS server (deprecated by Istio)",
		Why: "set discoveryAddress in " + ProxyConfig + " instead"},
	{Name: ExtraStatTags, Support: NoEffect, Type: "list", Meaning: "More tags of Istio's metrics (deprecated by Istio)", Why: whyStats},
	{Name: StatsInclusionPrefixes, Support: NoEffect, Type: "list", Meaning: "Statistics to keep, by prefix (deprecated by Istio)", Why: whyStats},
	{Name: StatsInclusionSuffixes, Support: NoEffect, Type: "list", Meaning: "Statistics to keep, by suffix (deprecated by Istio)", Why: whyStats},
	{Name: StatsInclusionRegexps, Support: NoEffect, Type: "list", Meaning: "Statistics to keep, by expression (deprecated by Istio)", Why: whyStats},
	{Name: StatsHistogramBuckets, Support: NoEffect, Type: "JSON", Meaning: "Histogram buckets by prefix", Why: whyStats},
	{Name: StatsHistogramBins, Support: NoEffect, Type: "whole number", Meaning: "Histogram bins by time series", Why: whyStats},
	{Name: StatsFlushInterval, Support: NoEffect, Type: "duration", Meaning: "How often statistics are pushed", Why: whyStats},
	{Name: StatsEvictionInterval, Support: NoEffect, Type: "duration", Meaning: "When unused statistics are dropped", Why: whyStats},
	{Name: StatsCompression, Support: NoEffect, Type: "brotli, gzip or zstd", Meaning: "Compression of the statistics page (deprecated by Istio)", Why: whyStats},
	{Name: PrometheusMergeMetrics, Support: NoEffect, Type: "boolean", Meaning: "Whether the agent merges the application's metrics", inert: isFalse, Why: whyMetrics},
	{Name: PrometheusScrapeTargets, Support: NoEffect, Type: "JSON", Meaning: "Several targets whose metrics the agent merges", Why: whyMetrics},
	{Name: PrometheusSecurePort, Support: NoEffect, Type: "port", Meaning: "TLS port of the merged metrics", Why: whyMetrics},
	{Name: AmbientRedirection, Support: NoEffect, Type: "enabled", Meaning: "State of ambient redirection", Why: whyAmbient},
	{Name: AmbientBypassInboundCapture, Support: NoEffect, Type: "boolean", Meaning: "Whether ambient mode captures outbound traffic only", inert: isFalse, Why: whyAmbient},
	{Name: AmbientDNSCapture, Support: NoEffect, Type: "boolean", Meaning: "Whether ambient mode captures DNS", inert: isFalse, Why: whyAmbient},
	{Name: AmbientWaypointBinding, Support: NoEffect, Type: "PROTOCOL/PORT", Meaning: "How traffic is sent to a waypoint", Why: whyAmbient},
	{Name: DataplaneMode, IsLabel: true, Support: NoEffect, Places: OnPod | OnNamespace, Type: "ambient or none", Meaning: "Istio's data plane mode",
		inert: func(v string) bool { return v == "none" }, Why: whyAmbient},
	{Name: UseWaypoint, IsLabel: true, Support: NoEffect, Places: OnPod | OnNamespace | OnService, Type: "name", Meaning: "The waypoint to use", Why: whyAmbient},
	{Name: UseWaypointNamespace, IsLabel: true, Support: NoEffect, Places: OnPod | OnNamespace | OnService, Type: "namespace", Meaning: "The namespace of the waypoint", Why: whyAmbient},
	{Name: NetworkingTunnel, IsLabel: true, Support: NoEffect, Type: "http", Meaning: "Tunnel protocol the pod accepts", Why: whyAmbient},
	{Name: SecurityTLSMode, IsLabel: true, Support: NoEffect, Type: "istio or disabled", Meaning: "Whether the pod accepts Istio's mutual TLS (deprecated by Istio)",
		inert: func(v string) bool { return v == "disabled" }, Why: "inbound traffic is never captured, so the pod accepts no mutual TLS of the mesh; remove it"},
}

var rejectedRows = []Row{
	{Name: RerouteVirtualInterfaces, Support: Rejected, Type: "interface names", Meaning: "Virtual interfaces whose inbound traffic counts as outbound", Why: whyVirtualIf},
	{Name: KubevirtInterfaces, Support: Rejected, Type: "interface names", Meaning: "Deprecated name of " + RerouteVirtualInterfaces, Why: whyVirtualIf},
}

var externalRows = []Row{
	{Name: Tag, IsLabel: true, Support: External, Places: OnWebhook, Type: "tag", Meaning: "The revision tag a webhook configuration belongs to"},
	{Name: TopologyNetwork, IsLabel: true, Support: External, Places: OnPod | OnNamespace | OnService, Type: "name", Meaning: "The network of the pod, for multi-network meshes"},
	{Name: TopologyCluster, IsLabel: true, Support: External, Type: "name", Meaning: "The cluster of the workload, for multi-cluster meshes"},
	{Name: TopologyLocality, IsLabel: true, Support: External, Type: "region/zone/subzone", Meaning: "The locality of the workload"},
	{Name: ServiceCanonicalName, IsLabel: true, Support: External, Type: "name", Meaning: "The canonical service of the workload"},
	{Name: ServiceCanonicalRevision, IsLabel: true, Support: External, Type: "name", Meaning: "The revision of the canonical service"},
	{Name: ServiceWorkloadName, IsLabel: true, Support: External, Type: "name", Meaning: "The workload's name for telemetry"},
	{Name: AnalyzeSuppress, Support: External, Places: OnPod | OnNamespace | OnWorkload | OnService, Type: "message codes", Meaning: "Messages that istioctl analyze suppresses"},
	{Name: PrometheusScrape, Support: External, Type: "boolean", Meaning: "Whether Prometheus scrapes the pod; never rewritten, as the application is reachable directly"},
	{Name: PrometheusPort, Support: External, Type: "port", Meaning: "The port Prometheus scrapes; never rewritten"},
	{Name: PrometheusPath, Support: External, Type: "path", Meaning: "The path Prometheus scrapes; never rewritten"},
	{Name: DefaultLogsContainer, Support: External, Type: "container name", Meaning: "Deprecated equivalent of " + DefaultContainer + " for kubectl logs, which reads both"},
	{Name: MultusNetworks, Support: External, Type: "networks", Meaning: "Additional networks of Multus; exclude their interfaces with " + ExcludeInterfaces},
	{Name: OpenTelemetryResource, Support: External, Type: "text", Meaning: "Attributes of OpenTelemetry's resource; a template reads them with otelResourceAttributes"},
	{Name: DatadogEnv, Support: External, Type: "JSON", Meaning: "Datadog's environment for the proxy's tracer"},
}
