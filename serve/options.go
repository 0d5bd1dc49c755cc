package serve

import (
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	meshconfig "istio.io/api/mesh/v1alpha1"
	"k8s.io/client-go/rest"

	"github.com/outrider-mesh/outrider/certs"
	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/egress/xds"
	"github.com/outrider-mesh/outrider/internal/revision"
	"github.com/outrider-mesh/outrider/webhook"
)

// Options configure a replica.
type Options struct {
	// Components are what the replica runs; empty means all.
	Components []Component
	// Cluster reaches the API server.
	Cluster *rest.Config
	// Namespace holds the two ConfigMaps.
	Namespace string
	// SkipCRDs leaves missing CRDs of ServiceEntry and VirtualService to others.
	SkipCRDs bool
	// Revision is part of the names of ConfigMaps, Secret and Leases.
	Revision revision.Revision
	// Tags are the revision tags that may select this revision.
	Tags []revision.Tag
	// Version is the program's own.
	Version string
	// Service is the name of the webhook's Service in Namespace, by which sidecars
	// connect, too; empty means "outrider", with the revision. XDSService is that of
	// the control plane alone, empty means "outrider-xds".
	Service, XDSService string
	// CertDir holds an externally managed certificate, tls.crt and tls.key. If it is
	// empty, Outrider issues one and stores it in a Secret.
	CertDir string
	// CAFile is the CA bundle to publish for the certificate in CertDir; if it is empty,
	// nothing is published for it.
	CAFile string
	// CertHosts are more DNS names and IP addresses of the issued certificate.
	CertHosts []string
	// Lifetimes are those of issued certificates; a zero one means its default.
	Lifetimes certs.Lifetimes
	// Address is that of admission handlers and debug endpoints, HOST:PORT or :PORT.
	Address string
	// XDSAddress is the bind address of the control plane.
	XDSAddress string
	// ObjectLimits bound the ServiceEntries and VirtualServices of each namespace.
	ObjectLimits egress.Limits
	// Reports makes sidecars report the undeclared destinations that workloads reach, which
	// are kept in EgressReports for ReportRetention, and written at most once in
	// ReportInterval; 0 is the default of both.
	Reports                         bool
	ReportRetention, ReportInterval time.Duration
	// BlockedBody gives responses to blocked requests a body with the reason.
	BlockedBody bool
	// PodCountInterval is the time between two counts of the cluster's pods, for metrics; 0
	// disables them.
	PodCountInterval time.Duration
	// XDSLimits bound the clients of the control plane.
	XDSLimits xds.Limits
	// MetricsAddress and HealthAddress are bind addresses of plain HTTP, "0" for none.
	MetricsAddress, HealthAddress string
	// ShutdownDelay is how long the replica keeps serving after its context is done:
	// until then some node may still send requests here.
	ShutdownDelay time.Duration
	// ClientCAFile and ClientNames are the arguments of webhook.NewClientCA.
	ClientCAFile string
	ClientNames  []string
	// WebhookLimits bound the clients of the webhook.
	WebhookLimits webhook.Limits
	// AdaptGC adapts GOGC, which is xds.MostGarbage: for the control plane alone.
	AdaptGC bool
	// Log gets all log lines.
	Log logr.Logger
	// Registry takes the metrics; nil means the one behind MetricsAddress.
	Registry prometheus.Registerer

	// compileMesh is egress.CompileMesh where it is nil; tests count it.
	compileMesh func(*meshconfig.MeshConfig) *egress.Mesh
	// storePause is that of active.Options.
	storePause time.Duration
}
