package serve

import (
	"crypto/tls"
	"fmt"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/outrider-mesh/outrider/certs"
	"github.com/outrider-mesh/outrider/webhook"
)

// drainTimeout bounds the wait for requests that are being served when no new ones
// are accepted; the API server waits for none of them longer.
const drainTimeout = 10 * time.Second

func newManager(o Options, certificate certs.GetCertificate, clients *webhook.ClientCA, metrics *webhook.Metrics, leaving func() bool) (manager.Manager, error) {
	config := &tls.Config{}
	certs.ServerTLS(certificate)(config)
	server, err := webhook.NewServer(webhook.ServerOptions{
		Address: o.Address, TLS: config, Clients: clients, Limits: o.WebhookLimits, Metrics: metrics, Leaving: leaving, Log: o.Log.WithName("webhook"), ReserveHeap: o.runs(Webhook),
	})
	if err != nil {
		return nil, err
	}
	timeout := drainTimeout
	mgr, err := ctrl.NewManager(o.Cluster, manager.Options{
		Logger:                  o.Log,
		Metrics:                 metricsserver.Options{BindAddress: o.MetricsAddress},
		HealthProbeBindAddress:  "0", // package health
		GracefulShutdownTimeout: &timeout,
		Cache:                   cache.Options{DefaultTransform: cache.TransformStripManagedFields()},
		WebhookServer:           server,
	})
	if err != nil {
		return nil, fmt.Errorf("set up the server: %w", err)
	}
	return mgr, nil
}
