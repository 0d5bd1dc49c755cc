package config

import (
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	meshconfig "istio.io/api/mesh/v1alpha1"
)

// DefaultTag is the image tag of this build. The linker sets it when a release is
// built; nothing else changes it.
var DefaultTag = "dev"

// defaultValues are the values that apply unless the user's text sets them, in
// the form of Istio's chart. Numbers and names are Istio's defaults
// (manifests/charts/istio-control/istio-discovery/values.yaml), except for the
// images, which are this project's and upstream Envoy's, and the requests.
//
// The sidecar's requests are what it takes with little to do, by "make bench-sidecar":
//
//	CPU     4m idle, 14m at 10 requests/s; 10m is 10 processors for 1,000 pods
//	memory  68 MiB resident with 5 hosts in use, 75 MiB with 100, of which 52 MiB are
//	        the program's pages; 80Mi, so that it is not what is evicted first
//
// Its limits are for what it can take: 1,000 requests/s take 284m. A limit of 100m makes
// them wait for seconds, and delays the sidecar's own start by half a second.
//
// The init container runs for milliseconds before anything else does. It must not request
// more than the sidecar, or it would raise what the pod requests.
var defaultValues = `
revision: ""
global:
  hub: docker.io/outrider
  tag: ` + DefaultTag + `
  variant: ""
  imagePullPolicy: ""
  imagePullSecrets: []
  platform: ""
  network: ""
  logAsJson: false
  logging:
    level: "default:info"
  istioNamespace: istio-system
  # Printed by Istio's own templates.
  pilotCertProvider: istiod
  sds:
    token: {aud: istio-ca}
  proxy:
    autoInject: enabled
    includeIPRanges: "*"
    excludeIPRanges: ""
    includeOutboundPorts: ""
    excludeOutboundPorts: ""
    excludeInterfaces: ""
    includeInboundPorts: "*"
    excludeInboundPorts: ""
    image: docker.io/envoyproxy/envoy:distroless-v` + DefaultEnvoy() + `
    logLevel: warning
    componentLogLevel: "misc:error"
    clusterDomain: cluster.local
    privileged: false
    holdApplicationUntilProxyStarts: false
    statusPort: 15020
    readinessInitialDelaySeconds: 0
    readinessPeriodSeconds: 15
    readinessFailureThreshold: 4
    startupProbe:
      enabled: true
      failureThreshold: 600
    lifecycle: {}
    seccompProfile: {}
    resources:
      requests: {cpu: 10m, memory: 80Mi}
      limits: {cpu: 2000m, memory: 1024Mi}
  proxy_init:
    image: outrider-init
    resources:
      requests: {cpu: 5m, memory: 16Mi}
      limits: {cpu: 2000m, memory: 1024Mi}
sidecarInjectorWebhook:
  rewriteAppHTTPProbe: false
pilot:
  cni: {enabled: false}
  env: {}
gateways:
  securityContext: {}
  seccompProfile: {}
`

// defaultInjection is the default of the key "config".
func defaultInjection() Injection {
	return Injection{Policy: policyEnabled, DefaultTemplates: []string{BuiltinTemplate}}
}

// applyMeshDefaults fills in the fields that the user's mesh text does not set. The values
// are Istio's (pkg/config/mesh), apart from the address of the control plane, which
// depends on who injects (see Location.DiscoveryAddress), and from the timeout of protocol
// detection: without one, a connection waits for ever whose first bytes are as few as
// ZooKeeper's "ruok". Ten seconds are enough for a first TLS handshake on a tenth of a
// processor, and less than clients wait.
// Fields are set one by one: merging messages would turn REGISTRY_ONLY, the
// zero of its type, back into the default.
func applyMeshDefaults(m *meshconfig.MeshConfig, has func(path string) bool) {
	if !has("outboundTrafficPolicy.mode") {
		if m.OutboundTrafficPolicy == nil {
			m.OutboundTrafficPolicy = &meshconfig.MeshConfig_OutboundTrafficPolicy{}
		}
		m.OutboundTrafficPolicy.Mode = meshconfig.MeshConfig_OutboundTrafficPolicy_ALLOW_ANY
	}
	setDuration(&m.ConnectTimeout, 10*time.Second)
	setDuration(&m.ProtocolDetectionTimeout, 10*time.Second)
	setDuration(&m.DnsRefreshRate, 60*time.Second)
	setString(&m.TrustDomain, "cluster.local")
	setString(&m.RootNamespace, "istio-system")
	setString(&m.IngressClass, "istio")
	setString(&m.IngressService, "istio-ingressgateway")
	setInt(&m.ProxyListenPort, 15001)
	setInt(&m.ProxyInboundListenPort, 15006)
	if m.DefaultConfig == nil {
		m.DefaultConfig = &meshconfig.ProxyConfig{}
	}
	applyProxyDefaults(m.DefaultConfig)
}

func applyProxyDefaults(c *meshconfig.ProxyConfig) {
	if c.ClusterName == nil {
		c.ClusterName = &meshconfig.ProxyConfig_ServiceCluster{ServiceCluster: "istio-proxy"}
	}
	setDuration(&c.TerminationDrainDuration, 5*time.Second)
	setDuration(&c.DrainDuration, 45*time.Second)
	setString(&c.ConfigPath, "./etc/istio/proxy")
	setString(&c.BinaryPath, "/usr/local/bin/envoy")
	setInt(&c.ProxyAdminPort, 15000)
	setInt(&c.StatusPort, 15020)
	setInt(&c.StatNameLength, 189)
}

func setDuration(d **durationpb.Duration, value time.Duration) {
	if *d == nil {
		*d = durationpb.New(value)
	}
}

func setString(s *string, value string) {
	if *s == "" {
		*s = value
	}
}

func setInt(n *int32, value int32) {
	if *n == 0 {
		*n = value
	}
}
