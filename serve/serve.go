package serve

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/manager"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/outrider-mesh/outrider/config/active"
	"github.com/outrider-mesh/outrider/serve/health"
	"github.com/outrider-mesh/outrider/validate"
	"github.com/outrider-mesh/outrider/webhook"
	"github.com/outrider-mesh/outrider/webhook/registration"
)

// Run serves until ctx is done.
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
	leaving atomic.Bool // and not ready, so that requests go to other replicas
}

// assemble makes the parts, connects them and hands them to the manager. It does
// not talk to the API server yet.
func assemble(o Options) (*server, error) {
	if o.Registry == nil {
		o.Registry = ctrlmetrics.Registry
	}
	keeper, files, err := certificates(o)
	if err != nil {
		return nil, err
	}
	metrics, err := webhook.NewMetrics(o.Registry)
	if err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	clients := webhook.NewClientCA(o.ClientCAFile, o.ClientNames, o.Log.WithName("client-ca"))
	s := &server{}
	mgr, err := newManager(o, keeper.GetCertificate, clients, metrics, s.leaving.Load)
	if err != nil {
		return nil, err
	}
	cluster, err := newCluster(mgr, o)
	if err != nil {
		return nil, err
	}
	holder, err := newHolder(mgr, cluster, o)
	if err != nil {
		return nil, err
	}
	ranges, err := newRanges(mgr, holder)
	if err != nil {
		return nil, err
	}
	plane, err := newControlPlane(mgr, keeper.GetCertificate, o)
	if err != nil {
		return nil, err
	}
	holder.Subscribe(plane.configure)
	keeper.Annotate(func() map[string]string { return o.reportOf(holder.Status(), plane, time.Now()) })
	holder.OnStatus(keeper.Report)
	admission(mgr, holder, cluster, plane, metrics, clients, o)
	if err := countPods(mgr, holder, o); err != nil {
		return nil, err
	}
	s.mgr = mgr
	if err := errors.Join(
		mgr.Add(files), mgr.Add(keeper), mgr.Add(holder), mgr.Add(ranges),
		plane.register(mgr), mgr.Add(clients),
		health.Add(mgr, health.Options{Address: o.HealthAddress, Ready: s.readiness(keeper, holder, plane), Status: holder.Status}),
	); err != nil {
		return nil, fmt.Errorf("assemble the server: %w", err)
	}
	return s, nil
}

// admission registers the handlers of the components. Objects are validated where
// they are watched.
func admission(mgr manager.Manager, holder *active.Holder, c *cluster, plane *controlPlane, metrics *webhook.Metrics, clients *webhook.ClientCA, o Options) {
	maps := o.configMaps()
	handlers := webhook.Handlers(webhook.Options{
		Active: holder.Injector, Loaded: holder.Loaded(), NamespaceAnnotations: c.namespaceAnnotations, Objects: plane.objects,
		ConfigMaps: &validate.ConfigMaps{Location: maps, Labels: maps.Labels(), Check: holder.Check},
		Log:        o.Log.WithName("admission"), Metrics: metrics, Limits: o.WebhookLimits, Authenticate: clients.Authenticate(),
	})
	for path, handler := range handlers {
		component := Webhook
		if path == registration.ValidatePath {
			component = XDS
		}
		if o.runs(component) {
			mgr.GetWebhookServer().Register(path, handler)
		}
	}
}

// delayed is a context that is done ShutdownDelay after ctx. Meanwhile the replica
// is not ready, and goes on serving.
func delayed(ctx context.Context, o Options, leaving *atomic.Bool) context.Context {
	later, cancel := context.WithCancel(context.WithoutCancel(ctx))
	context.AfterFunc(ctx, func() {
		leaving.Store(true)
		o.Log.Info("shutting down", "delay", o.ShutdownDelay.String())
		time.AfterFunc(o.ShutdownDelay, cancel)
	})
	return later
}
