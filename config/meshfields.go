package config

// effectiveMeshFields are the fields of MeshConfig that have an effect. A test
// compares this list and the next table with the type.
var effectiveMeshFields = []string{
	"accessLogEncoding", "accessLogFile", "accessLogFormat", "connectTimeout", "defaultConfig", "defaultServiceExportTo",
	"defaultVirtualServiceExportTo", "outboundTrafficPolicy", "protocolDetectionTimeout", "rootNamespace", "serviceEntryVisibility",
}

// Reasons that several fields share.
const (
	whyTLS        = "the proxies neither originate nor terminate TLS: connections are forwarded as the application makes them"
	whyMTLS       = "the proxies use no workload certificates and no mutual TLS"
	whyIngress    = "Ingress objects are not read, and there is no ingress gateway"
	whyOneCluster = "the mesh is one cluster"
	whyLocality   = "endpoints are not selected by locality"
	whyStatNames  = "statistics have Envoy's own names"
	whyRules      = "DestinationRules are not read"
)

// ineffectiveMeshFields are the other fields, with what happens instead.
var ineffectiveMeshFields = map[string]ineffective{
	"caCertificates":                 {nil, whyMTLS, "remove it"},
	"ca":                             {nil, whyMTLS, "remove it"},
	"certificates":                   {nil, whyMTLS, "remove it"},
	"configSources":                  {nil, "objects are read from the Kubernetes API only", "remove it"},
	"defaultDestinationRuleExportTo": {[]string{`["*"]`}, whyRules, "remove it"},
	"defaultHttpRetryPolicy":         {nil, "a route without retries has the default of 2 attempts", "set retries on the routes of a VirtualService"},
	"defaultProviders":               {[]string{`{"metrics":["prometheus"]}`, `{"metrics":[]}`}, "there are no telemetry providers: metrics are served on port 15090, access logs are set by accessLogFile", "remove it"},
	"defaultTrafficPolicy":           {nil, whyRules, "remove it"},
	"disableEnvoyListenerLog":        {[]string{"false"}, "access logs are on if accessLogFile is set", "set accessLogFile"},
	"discoverySelectors":             {nil, "objects of all namespaces are read", "limit who sees an object with its exportTo"},
	"dnsRefreshRate":                 {nil, "an address is resolved again when its DNS record expires", "remove it"},
	"enableAutoMtls":                 {[]string{"false"}, whyMTLS, "remove it"},
	"enableEnvoyAccessLogService":    {[]string{"false"}, "access logs go to a file or to standard output only", "use accessLogFile"},
	"enablePrometheusMerge":          {[]string{"false"}, "metrics are not merged: Prometheus scrapes the application at its own port and the proxy at 15090", "remove it"},
	"enableTracing":                  {[]string{"false"}, "the proxies send no traces", "remove it"},
	"extensionProviders":             {nil, "the proxies use no external authorization, tracing or logging service", "remove it"},
	"h2UpgradePolicy":                {[]string{"DO_NOT_UPGRADE"}, "connections keep the HTTP version of the application", "remove it"},
	"hboneIdleTimeout":               {nil, "the proxies make no HBONE tunnels", "remove it"},
	"inboundClusterStatName":         {nil, whyStatNames, "remove it"},
	"inboundTrafficPolicy":           {[]string{`{"mode":"PASSTHROUGH"}`}, "inbound traffic is never captured", "remove it"},
	"ingressClass":                   {[]string{"istio"}, whyIngress, "remove it"},
	"ingressControllerMode":          {[]string{"UNSPECIFIED", "OFF"}, whyIngress, "remove it"},
	"ingressSelector":                {[]string{"ingressgateway"}, whyIngress, "remove it"},
	"ingressService":                 {[]string{"istio-ingressgateway"}, whyIngress, "remove it"},
	"localityLbSetting":              {[]string{`{"enabled":false}`}, whyLocality, "remove it"},
	"meshMTLS":                       {nil, whyMTLS, "remove it"},
	"outboundClusterStatName":        {nil, whyStatNames, "remove it"},
	"pathNormalization":              {[]string{`{"normalization":"BASE"}`, `{"normalization":"DEFAULT"}`}, "paths are normalized as RFC 3986 defines it, and slashes are not merged", "remove it"},
	"proxyHttpPort":                  {[]string{"0"}, "the proxy does not listen as an HTTP proxy; connections are captured", "remove it"},
	"proxyInboundListenPort":         {[]string{"15006"}, whyInbound, "remove it"},
	"proxyListenPort":                {[]string{"0", "15001"}, "captured connections are redirected to port 15001", "remove it"},
	"serviceScopeConfigs":            {nil, whyOneCluster, "remove it"},
	"serviceSettings":                {nil, whyOneCluster, "remove it"},
	"tcpKeepalive":                   {nil, "connections have the kernel's keepalive settings", "remove it"},
	"tlsDefaults":                    {nil, whyTLS, "remove it"},
	"trustDomain":                    {[]string{"cluster.local"}, whyMTLS, "remove it"},
	"trustDomainAliases":             {nil, whyMTLS, "remove it"},
	"verifyCertificateAtClient":      {nil, whyTLS, "remove it"},
	"zoneAwareLbSetting":             {[]string{`{"enabled":false}`}, whyLocality, "remove it"},
}

// quietProxyValues are values of fields of defaultConfig without an effect that
// request the existing behavior.
var quietProxyValues = map[string][]string{
	"binaryPath":             {"/usr/local/bin/envoy"},
	"configPath":             {"./etc/istio/proxy"},
	"controlPlaneAuthPolicy": {"MUTUAL_TLS"},
	"proxyAdminPort":         {"15000"},
	"serviceCluster":         {"istio-proxy"},
	"statNameLength":         {"189"},
	"statusPort":             {"15020", "0"},
}
