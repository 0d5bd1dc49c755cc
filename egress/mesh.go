package egress

import (
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
	rootNamespace    string
	ListenPort       uint32

	problems problem.List
}

// Problems are those of the mesh configuration, in the order of finding. Build
// returns them, too.
func (m *Mesh) Problems() problem.List { return m.problems }

// defaultListenPort is the port that traffic is redirected to where MeshConfig
// has none.
const defaultListenPort = 15001

// CompileMesh reads a mesh configuration that has its defaults applied, as
// config.Parse returns it. An edit of the configuration is compiled once: the
// result goes to validation and, in an Input, to every Build until the next one.
func CompileMesh(mc *meshconfig.MeshConfig) *Mesh {
	m := &Mesh{
		RegistryOnly:     mc.GetOutboundTrafficPolicy().GetMode() == meshconfig.MeshConfig_OutboundTrafficPolicy_REGISTRY_ONLY,
		DetectionTimeout: mc.GetProtocolDetectionTimeout().AsDuration(),
		ConnectTimeout:   mc.GetConnectTimeout().AsDuration(),
		rootNamespace:    mc.GetRootNamespace(),
		ListenPort:       uint32(mc.GetProxyListenPort()),
	}
	if mc.GetOutboundTrafficPolicy() == nil { // without a policy nothing is blocked
		m.RegistryOnly = false
	}
	if m.ListenPort == 0 || m.ListenPort > 65535 {
		m.ListenPort = defaultListenPort
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
	return m
}
