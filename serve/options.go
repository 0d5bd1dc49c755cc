package serve

import (
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	meshconfig "istio.io/api/mesh/v1alpha1"
	"k8s.io/client-go/rest"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/egress/xds"
	"github.com/outrider-mesh/outrider/internal/revision"
)

// Options configure a replica.
type Options struct {
	// Cluster reaches the API server.
	Cluster *rest.Config
	// Namespace holds the two ConfigMaps.
	Namespace string
	// Revision is part of the names of ConfigMaps, Secret and Leases.
	Revision revision.Revision
	// Service is the name of the Service in Namespace; empty means "outrider", with
	// the revision.
	Service string
	// CertDir holds an externally managed certificate, tls.crt and tls.key. If it is
	// empty, Outrider issues one and stores it in a Secret.
	CertDir string
	// CAFile is the CA bundle of the certificate in CertDir, which is published as
	// that of an issued certificate is; if it is empty, nothing is published for
	// CertDir.
	CAFile string
	// CertHosts are DNS names and IP addresses of the issued certificate beside the
	// Service's.
	CertHosts []string
	// Address is the webhook's bind address, HOST:PORT or :PORT.
	Address string
	// NoWebhook disables the webhook; another Deployment serves it.
	NoWebhook bool
	// XDSAddress is the bind address of the control plane; empty and "0" disable it.
	XDSAddress string
	// XDSLimits bound the clients of the control plane.
	XDSLimits xds.Limits
	// MetricsAddress and HealthAddress are bind addresses of plain HTTP; "0" disables
	// them.
	MetricsAddress, HealthAddress string
	// ShutdownDelay is how long the replica keeps serving after its context is done:
	// until then some node may still send requests here.
	ShutdownDelay time.Duration
	// MaxConcurrent is webhook.Options.MaxConcurrent.
	MaxConcurrent int
	// Log gets all log lines.
	Log logr.Logger
	// Registry takes the metrics; nil means the one behind MetricsAddress.
	Registry prometheus.Registerer

	// compileMesh is egress.CompileMesh where it is nil; tests count it.
	compileMesh func(*meshconfig.MeshConfig) *egress.Mesh
}
