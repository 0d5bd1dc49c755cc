package egress

import (
	"strings"
	"time"

	meshconfig "istio.io/api/mesh/v1alpha1"

	"github.com/outrider-mesh/outrider/internal/problem"
)

// Mesh are the settings of MeshConfig that the configuration of sidecars
// depends on.
type Mesh struct {
	RegistryOnly     bool
	AccessLog        AccessLog
	DetectionTimeout time.Duration // 0: wait for the client's first bytes without a limit
	ConnectTimeout   time.Duration
	Headers          ProxyHeaders
	// Reports makes sidecars report connections and requests to undeclared destinations
	// to the control plane.
	Reports bool
	// BlockedBody gives responses to blocked requests a body with the reason.
	BlockedBody   bool
	rootNamespace string
	ListenPort    uint32

	serviceExports exportDefaults // of ServiceEntries
	routeExports   exportDefaults // of VirtualServices
	visibility     *visibility    // nil: by exportTo alone
	problems       problem.List
}

// ProxyHeaders are the headers that sidecars do not add, and the one that they
// replace: proxyHeaders of defaultConfig.
type ProxyHeaders struct {
	NoRequestID    bool // X-Request-Id
	NoAttemptCount bool // X-Envoy-Attempt-Count
	// NoDebug is without X-Envoy-Expected-Rq-Timeout-Ms, X-Envoy-Decorator-Operation and
	// X-Envoy-Upstream-Service-Time.
	NoDebug    bool
	KeepServer bool   // of responses: the destination's
	ServerName string // empty: Envoy's own
}

func readProxyHeaders(h *meshconfig.ProxyConfig_ProxyHeaders) ProxyHeaders {
	return ProxyHeaders{
		NoRequestID:    h.GetRequestId().GetDisabled().GetValue(),
		NoAttemptCount: h.GetAttemptCount().GetDisabled().GetValue(),
		NoDebug:        h.GetEnvoyDebugHeaders().GetDisabled().GetValue(),
		KeepServer:     h.GetServer().GetDisabled().GetValue(),
		ServerName:     h.GetServer().GetValue(),
	}
}

// Problems are those of the mesh configuration, in the order of finding. Build
// returns them, too.
func (m *Mesh) Problems() problem.List { return m.problems }

// ReadsNamespaces reports whether a model depends on the labels of namespaces.
func (m *Mesh) ReadsNamespaces() bool { return m.visibility.needsLabels() }

// listenPort is the port that connections are redirected to: an argument of the
// init container in every pod, and no setting of the mesh.
const listenPort = 15001

// SidecarPorts are the ports that the sidecar itself is bound to, sorted: the
// read-only administration, the redirected connections, the readiness probe and
// Prometheus. A declared port has a listener of its own, and Envoy rejects two
// listeners with one port.
func SidecarPorts() []uint32 { return []uint32{15000, listenPort, 15021, 15090} }

// CompileMesh reads a mesh configuration that has its defaults applied, as
// config.Parse returns it. An edit of the configuration is compiled once: the
// result goes to validation and, in an Input, to every Build until the next one.
func CompileMesh(mc *meshconfig.MeshConfig) *Mesh {
	m := &Mesh{
		RegistryOnly:     mc.GetOutboundTrafficPolicy().GetMode() == meshconfig.MeshConfig_OutboundTrafficPolicy_REGISTRY_ONLY,
		DetectionTimeout: mc.GetProtocolDetectionTimeout().AsDuration(),
		ConnectTimeout:   mc.GetConnectTimeout().AsDuration(),
		Headers:          readProxyHeaders(mc.GetDefaultConfig().GetProxyHeaders()),
		rootNamespace:    mc.GetRootNamespace(),
		ListenPort:       listenPort,
	}
	if mc.GetOutboundTrafficPolicy() == nil { // without a policy nothing is blocked
		m.RegistryOnly = false
	}
	if m.ConnectTimeout <= 0 {
		m.ConnectTimeout = 10 * time.Second
	}
	r := reporter{kind: KindMesh, all: &m.problems}
	if m.DetectionTimeout < 0 {
		r.add(problem.Negative("protocolDetectionTimeout", m.DetectionTimeout.String()).WithFix("use a duration such as 100ms, or 0s to disable the timeout"))
		m.DetectionTimeout = 0
	}
	m.AccessLog = readAccessLog(mc, r)
	m.serviceExports = readExportDefaults("defaultServiceExportTo", mc.GetDefaultServiceExportTo(), r)
	m.routeExports = readExportDefaults("defaultVirtualServiceExportTo", mc.GetDefaultVirtualServiceExportTo(), r)
	m.visibility = readVisibility(mc.GetServiceEntryVisibility(), r)
	if strings.ContainsAny(m.Headers.ServerName, "\r\n\x00") {
		r.error("defaultConfig.proxyHeaders.server.value", m.Headers.ServerName, "must not contain line breaks", "use one line")
		m.Headers.ServerName = ""
	}
	return m
}
