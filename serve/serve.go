package serve

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	ctrlwebhook "sigs.k8s.io/controller-runtime/pkg/webhook"

	"github.com/outrider-mesh/outrider/certs"
	"github.com/outrider-mesh/outrider/config/watch"
	"github.com/outrider-mesh/outrider/deploy/crds/install"
	"github.com/outrider-mesh/outrider/inject"
	"github.com/outrider-mesh/outrider/internal/revision"
	"github.com/outrider-mesh/outrider/webhook"
)

// Options say where and as whom to serve.
type Options struct {
	// Cluster reaches the API server.
	Cluster *rest.Config
	// Namespace holds the two ConfigMaps.
	Namespace string
	// Revision is added to the ConfigMaps' names unless it is empty or "default".
	Revision string
	// Service is the name of the Service in Namespace that clients call; empty
	// means "outrider", with the revision behind it as the ConfigMaps have it.
	Service string
	// CertDir holds tls.crt and tls.key, which somebody else keeps. Empty: they
	// are issued here, and kept in a Secret.
	CertDir string
	// CAFile is the bundle that vouches for what CertDir holds. With it, the
	// bundle is published as that of our own certificates is; empty publishes
	// nothing for CertDir.
	CAFile string
	// CertHosts are names and addresses the certificate is for beside the Service's.
	CertHosts []string
	// Address is where the webhook listens, "HOST:PORT" or ":PORT".
	Address string
	// NoWebhook leaves the webhook to another Deployment.
	NoWebhook bool
	// XDSAddress is where sidecars get their configuration; empty and "0" turn
	// that off.
	XDSAddress string
	// MetricsAddress and HealthAddress are the same for plain HTTP; "0" turns
	// the port off.
	MetricsAddress, HealthAddress string
	// ShutdownDelay is how long requests are still taken after the context
	// ended: until then some node may not know that this replica is leaving.
	ShutdownDelay time.Duration
	// MaxConcurrent is webhook.Options.MaxConcurrent.
	MaxConcurrent int
	// Log is where everything is logged.
	Log logr.Logger
	// Registry takes the metrics; nil means the one behind MetricsAddress.
	Registry prometheus.Registerer
}

// drainTimeout bounds the wait for requests under way once no new ones are
// taken; the API server waits for none of them longer.
const drainTimeout = 10 * time.Second

// Run serves until ctx ends.
func Run(ctx context.Context, o Options) error {
	s, err := assemble(o)
	if err != nil {
		return err
	}
	return s.mgr.Start(delayed(ctx, o, &s.leaving))
}

// server is what Run runs.
type server struct {
	mgr     manager.Manager
	leaving atomic.Bool // and says so to those who ask whether it is ready
}

// assemble makes the parts and hands them to the manager. It talks to nobody.
func assemble(o Options) (*server, error) {
	if o.Registry == nil {
		o.Registry = ctrlmetrics.Registry
	}
	metrics, err := webhook.NewMetrics(o.Registry)
	if err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	keeper, files, err := certificates(o)
	if err != nil {
		return nil, err
	}
	mgr, err := newManager(o, keeper.GetCertificate)
	if err != nil {
		return nil, err
	}
	cluster, err := newCluster(mgr)
	if err != nil {
		return nil, err
	}
	settings := &atomic.Pointer[inject.Injector]{}
	sidecars, err := newSidecars(mgr, keeper.GetCertificate, o)
	if err != nil {
		return nil, err
	}
	follower, err := newFollower(mgr, cluster, settings, metrics, o)
	if err != nil {
		return nil, err
	}
	follower.loader.accepted = sidecars.configure
	if follower.ranges, err = newRanges(mgr, follower.loader, o); err != nil {
		return nil, err
	}
	crds, err := install.New(mgr, o.Log.WithName("crds"))
	if err != nil {
		return nil, err
	}
	admission(mgr, webhook.Options{
		Active: settings.Load, NamespaceAnnotations: cluster.namespaceAnnotations,
		ConfigMaps: follower.loader.configMaps(), Objects: sidecars.known,
		Log: o.Log.WithName("admission"), Metrics: metrics, MaxConcurrent: o.MaxConcurrent,
	}, o)
	s := &server{mgr: mgr}
	if err := errors.Join(
		mgr.Add(files), mgr.Add(keeper), mgr.Add(follower), mgr.Add(follower.ranges), mgr.Add(crds), sidecars.register(mgr),
		s.health(keeper, settings),
	); err != nil {
		return nil, fmt.Errorf("assemble the server: %w", err)
	}
	return s, nil
}

// admission opens the webhook's doors.
func admission(mgr manager.Manager, doors webhook.Options, o Options) {
	if o.NoWebhook {
		return
	}
	for path, handler := range webhook.Handlers(doors) {
		mgr.GetWebhookServer().Register(path, handler)
	}
}

// health says when requests should come here.
func (s *server) health(keeper *certs.Manager, settings *atomic.Pointer[inject.Injector]) error {
	return errors.Join(
		s.mgr.AddHealthzCheck("ping", healthz.Ping),
		s.mgr.AddReadyzCheck("certificate", keeper.Ready),
		s.mgr.AddReadyzCheck("configuration", configurationReady(settings)),
		s.mgr.AddReadyzCheck("listening", listening(keeper, s.mgr.GetWebhookServer().StartedChecker())),
		s.mgr.AddReadyzCheck("staying", func(*http.Request) error {
			if s.leaving.Load() {
				return errors.New("shutting down")
			}
			return nil
		}),
	)
}

func newFollower(mgr manager.Manager, c *cluster, s *atomic.Pointer[inject.Injector], m *webhook.Metrics, o Options) (*follower, error) {
	client, err := kubernetes.NewForConfigAndClient(mgr.GetConfig(), mgr.GetHTTPClient())
	if err != nil {
		return nil, fmt.Errorf("make a client for the ConfigMaps: %w", err)
	}
	l := &loader{
		settings: s, metrics: m, client: client, events: mgr.GetEventRecorder("outrider"), log: o.Log.WithName("configuration"),
		options: watch.Options{Namespace: o.Namespace, Revision: revision.Revision(o.Revision)},
	}
	options := l.options
	options.Gone = l.gone
	return &follower{client: client, cluster: c, loader: l, options: options}, nil
}

// delayed is a context that ends ShutdownDelay after ctx does. Meanwhile the
// replica says that it leaves, and goes on answering.
func delayed(ctx context.Context, o Options, leaving *atomic.Bool) context.Context {
	later, cancel := context.WithCancel(context.WithoutCancel(ctx))
	context.AfterFunc(ctx, func() {
		leaving.Store(true)
		o.Log.Info("shutting down", "delay", o.ShutdownDelay.String())
		time.AfterFunc(o.ShutdownDelay, cancel)
	})
	return later
}

func newManager(o Options, certificate certs.GetCertificate) (manager.Manager, error) {
	host, portText, err := net.SplitHostPort(o.Address)
	if err != nil {
		return nil, fmt.Errorf("webhook address %q: %w; give HOST:PORT or :PORT", o.Address, err)
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil || port == 0 {
		return nil, fmt.Errorf("webhook address %q: port %q is not a number from 1 to 65535", o.Address, portText)
	}
	timeout := drainTimeout
	mgr, err := ctrl.NewManager(o.Cluster, manager.Options{
		Logger:                  o.Log,
		Metrics:                 metricsserver.Options{BindAddress: o.MetricsAddress},
		HealthProbeBindAddress:  o.HealthAddress,
		GracefulShutdownTimeout: &timeout,
		Cache:                   cache.Options{DefaultTransform: cache.TransformStripManagedFields()},
		WebhookServer: ctrlwebhook.NewServer(ctrlwebhook.Options{
			Host: host, Port: int(port), TLSOpts: []func(*tls.Config){certs.ServerTLS(certificate)},
		}),
	})
	if err != nil {
		return nil, fmt.Errorf("set up the server: %w", err)
	}
	return mgr, nil
}

// listening asks the port by a handshake, once there is something to shake with.
func listening(keeper *certs.Manager, started healthz.Checker) healthz.Checker {
	return func(r *http.Request) error {
		if _, err := keeper.GetCertificate(nil); err != nil {
			return err
		}
		return started(r)
	}
}

func configurationReady(s *atomic.Pointer[inject.Injector]) healthz.Checker {
	return func(*http.Request) error {
		if s.Load() == nil {
			return errors.New("no valid configuration has been read yet; the log has the reason")
		}
		return nil
	}
}
