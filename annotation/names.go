package annotation

// The names of Outrider's own objects, and of others' objects that it reads.
const (
	ManagedBy         = "app.kubernetes.io/managed-by" // label
	AppComponent      = "app.kubernetes.io/component"  // label
	NamespaceName     = "kubernetes.io/metadata.name"  // label that the API server sets on every namespace
	ServingCA         = "outrider/serving-authority"   // annotation on a replica's lease: the CA of its certificate
	ConfigHash        = "outrider/config-hash"         // annotation on a replica's lease: its active configuration
	ConfigSource      = "outrider/config-source"       // annotation on a replica's lease: where that comes from
	ConfigReason      = "outrider/config-not-applied"  // annotation on a replica's lease: why the ConfigMaps are not applied
	ReplicaVersion    = "outrider/version"             // annotation on a replica's lease: that of its program
	ReplicaComponents = "outrider/components"          // annotation on a replica's lease: what it runs
	ReplicaSidecars   = "outrider/sidecars"            // annotation on a replica's lease: the sidecars that are connected to it
	CheckRun          = "outrider/check-run"           // label on what "outrider check --traffic" creates: the run
	CheckUntil        = "outrider/check-until"         // annotation beside it: when the run has ended, at the latest
)

// The names of the table, grouped by their prefix.
const (
	Inject            = "sidecar.istio.io/inject" // label, or annotation (deprecated there)
	SidecarStatus     = "sidecar.istio.io/status"
	NativeSidecar     = "sidecar.istio.io/nativeSidecar"
	InterceptionMode  = "sidecar.istio.io/interceptionMode"
	ProxyImage        = "sidecar.istio.io/proxyImage"
	ProxyImageType    = "sidecar.istio.io/proxyImageType"
	ProxyCPU          = "sidecar.istio.io/proxyCPU"
	ProxyCPULimit     = "sidecar.istio.io/proxyCPULimit"
	ProxyMemory       = "sidecar.istio.io/proxyMemory"
	ProxyMemoryLimit  = "sidecar.istio.io/proxyMemoryLimit"
	LogLevel          = "sidecar.istio.io/logLevel"
	ComponentLogLevel = "sidecar.istio.io/componentLogLevel"
	AgentLogLevel     = "sidecar.istio.io/agentLogLevel"
	UserVolume        = "sidecar.istio.io/userVolume"
	UserVolumeMount   = "sidecar.istio.io/userVolumeMount"

	RewriteAppHTTPProbers  = "sidecar.istio.io/rewriteAppHTTPProbers"
	BootstrapOverride      = "sidecar.istio.io/bootstrapOverride"
	CapNetBindService      = "sidecar.istio.io/capNetBindService"
	DiscoveryAddress       = "sidecar.istio.io/discoveryAddress"
	ExtraStatTags          = "sidecar.istio.io/extraStatTags"
	StatsInclusionPrefixes = "sidecar.istio.io/statsInclusionPrefixes"
	StatsInclusionSuffixes = "sidecar.istio.io/statsInclusionSuffixes"
	StatsInclusionRegexps  = "sidecar.istio.io/statsInclusionRegexps"
	StatsHistogramBuckets  = "sidecar.istio.io/statsHistogramBuckets"
	StatsHistogramBins     = "sidecar.istio.io/statsHistogramBins"
	StatsFlushInterval     = "sidecar.istio.io/statsFlushInterval"
	StatsEvictionInterval  = "sidecar.istio.io/statsEvictionInterval"
	StatsCompression       = "sidecar.istio.io/statsCompression"

	IncludeOutboundIPRanges = "traffic.sidecar.istio.io/includeOutboundIPRanges"
	ExcludeOutboundIPRanges = "traffic.sidecar.istio.io/excludeOutboundIPRanges"
	IncludeOutboundPorts    = "traffic.sidecar.istio.io/includeOutboundPorts"
	ExcludeOutboundPorts    = "traffic.sidecar.istio.io/excludeOutboundPorts"
	IncludeInboundPorts     = "traffic.sidecar.istio.io/includeInboundPorts"
	ExcludeInboundPorts     = "traffic.sidecar.istio.io/excludeInboundPorts"
	ExcludeInterfaces       = "traffic.sidecar.istio.io/excludeInterfaces"
	KubevirtInterfaces      = "traffic.sidecar.istio.io/kubevirtInterfaces"

	StatusPort                   = "status.sidecar.istio.io/port"
	ReadinessInitialDelaySeconds = "readiness.status.sidecar.istio.io/initialDelaySeconds"
	ReadinessPeriodSeconds       = "readiness.status.sidecar.istio.io/periodSeconds"
	ReadinessFailureThreshold    = "readiness.status.sidecar.istio.io/failureThreshold"
	ReadinessApplicationPorts    = "readiness.status.sidecar.istio.io/applicationPorts"

	ProxyConfig     = "proxy.istio.io/config"
	ProxyOverrides  = "proxy.istio.io/overrides"
	InjectTemplates = "inject.istio.io/templates"

	Rev                      = "istio.io/rev" // label on pod and namespace; annotation written by the injector
	RerouteVirtualInterfaces = "istio.io/reroute-virtual-interfaces"
	DataplaneMode            = "istio.io/dataplane-mode" // label
	Tag                      = "istio.io/tag"            // label
	UseWaypoint              = "istio.io/use-waypoint"   // label
	UseWaypointNamespace     = "istio.io/use-waypoint-namespace"
	Injection                = "istio-injection" // namespace label

	PrometheusMergeMetrics  = "prometheus.istio.io/merge-metrics"
	PrometheusScrapeTargets = "prometheus.istio.io/scrape-targets"
	PrometheusSecurePort    = "prometheus.istio.io/secure-port"
	PrometheusScrape        = "prometheus.io/scrape"
	PrometheusPort          = "prometheus.io/port"
	PrometheusPath          = "prometheus.io/path"

	AnalyzeSuppress = "galley.istio.io/analyze-suppress"

	AmbientRedirection          = "ambient.istio.io/redirection"
	AmbientBypassInboundCapture = "ambient.istio.io/bypass-inbound-capture"
	AmbientDNSCapture           = "ambient.istio.io/dns-capture"
	AmbientWaypointBinding      = "ambient.istio.io/waypoint-inbound-binding"

	TopologyNetwork          = "topology.istio.io/network"
	TopologyCluster          = "topology.istio.io/cluster"
	TopologyLocality         = "topology.istio.io/locality"
	SecurityTLSMode          = "security.istio.io/tlsMode"
	ExportTo                 = "networking.istio.io/exportTo" // on Services
	NetworkingTunnel         = "networking.istio.io/tunnel"
	ServiceCanonicalName     = "service.istio.io/canonical-name"
	ServiceCanonicalRevision = "service.istio.io/canonical-revision"
	ServiceWorkloadName      = "service.istio.io/workload-name"

	OpenShiftUIDRange           = "openshift.io/sa.scc.uid-range"
	OpenShiftSupplementalGroups = "openshift.io/sa.scc.supplemental-groups"
	MultusNetworks              = "k8s.v1.cni.cncf.io/networks"
	DatadogEnv                  = "apm.datadoghq.com/env"
	OpenTelemetryResource       = "resource.opentelemetry.io/*" // any name below the prefix
	DefaultContainer            = "kubectl.kubernetes.io/default-container"
	DefaultLogsContainer        = "kubectl.kubernetes.io/default-logs-container"
)
