package egress

import (
	"time"

	meshconfig "istio.io/api/mesh/v1alpha1"
)

// Mesh is the part of MeshConfig that the sidecars' configuration depends on.
type Mesh struct {
	RegistryOnly     bool
	AccessLog        AccessLog
	DetectionTimeout time.Duration // 0: wait for the client's first bytes without end
	ConnectTimeout   time.Duration
	rootNamespace    string
	ListenPort       uint32
}

// defaultListenPort is where the redirection leads when MeshConfig does not say.
const defaultListenPort = 15001

func readMesh(mc *meshconfig.MeshConfig, r reporter) Mesh {
	m := Mesh{
		RegistryOnly:     mc.GetOutboundTrafficPolicy().GetMode() == meshconfig.MeshConfig_OutboundTrafficPolicy_REGISTRY_ONLY,
		DetectionTimeout: mc.GetProtocolDetectionTimeout().AsDuration(),
		ConnectTimeout:   mc.GetConnectTimeout().AsDuration(),
		rootNamespace:    mc.GetRootNamespace(),
		ListenPort:       uint32(mc.GetProxyListenPort()),
	}
	if mc.GetOutboundTrafficPolicy() == nil { // nobody asked for anything, so nothing is blocked
		m.RegistryOnly = false
	}
	if m.ListenPort == 0 || m.ListenPort > 65535 {
		m.ListenPort = defaultListenPort
	}
	if m.ConnectTimeout <= 0 {
		m.ConnectTimeout = 10 * time.Second
	}
	if m.DetectionTimeout < 0 {
		r.error("protocolDetectionTimeout", m.DetectionTimeout.String(), "a time cannot be negative", "give a time such as 100ms, or 0s to wait for the client")
		m.DetectionTimeout = 0
	}
	m.AccessLog = readAccessLog(mc, r)
	return m
}
