package serve

import (
	"crypto/tls"
	"errors"
	"fmt"

	"github.com/go-logr/logr"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/outrider-mesh/outrider/certs"
	"github.com/outrider-mesh/outrider/config/active"
	"github.com/outrider-mesh/outrider/debug"
	"github.com/outrider-mesh/outrider/deploy/crds/install"
	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/egress/kube"
	"github.com/outrider-mesh/outrider/egress/report/live"
	"github.com/outrider-mesh/outrider/egress/xds"
	"github.com/outrider-mesh/outrider/internal/election"
)

// controlPlane configures the sidecars. It is nil in a replica of the webhook alone.
type controlPlane struct {
	client   kubernetes.Interface
	server   *xds.Server
	tokens   *xds.Tokens
	listener *xds.Listener
	watcher  *kube.Watcher
	pods     *kube.Pods         // their labels, for Sidecars
	recorder *live.Recorder     // nil: sidecars report nothing
	election *election.Election // of the replica that writes the objects' status
	skipCRDs bool
	log      logr.Logger
}

func newControlPlane(mgr manager.Manager, certificate certs.GetCertificate, o Options) (*controlPlane, error) {
	if !o.runs(XDS) {
		return nil, nil
	}
	client, err1 := kubernetes.NewForConfigAndClient(mgr.GetConfig(), mgr.GetHTTPClient())
	objects, err2 := dynamic.NewForConfigAndClient(mgr.GetConfig(), mgr.GetHTTPClient())
	if err := errors.Join(err1, err2); err != nil {
		return nil, fmt.Errorf("create xDS source client: %w", err)
	}
	p := &controlPlane{client: client, skipCRDs: o.SkipCRDs, log: o.Log.WithName("sidecars")}
	var err error
	reporter := xds.Reporter{Pods: client.CoreV1(), Events: mgr.GetEventRecorder("outrider"), Log: p.log}
	if p.tokens, err = newTokens(o); err != nil {
		return nil, err
	}
	p.server = xds.New(p.tokens, xds.Metrics(o.Registry, reporter.Observer()), o.XDSLimits)
	for _, m := range append(xds.ConditionMetrics(p.server), xds.ConnectionsMetric(p.server)) {
		if err := o.Registry.Register(m); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	p.tokens.Revoked = p.server.Revoke
	if err = p.receiveReports(o, reporter.Events); err != nil {
		return nil, err
	}
	if p.pods, err = kube.NewPods(o.Cluster, p.log, p.server.Relabelled); err != nil {
		return nil, err
	}
	p.server.SetLabels(p.pods)
	p.listener = &xds.Listener{Server: p.server, Address: o.XDSAddress, TLS: &tls.Config{GetCertificate: certificate, CipherSuites: certs.CipherSuites()}, Log: p.log, AdaptGC: o.AdaptGC}
	status, err := p.newStatusWriter(o)
	if err != nil {
		return nil, err
	}
	p.watcher, err = kube.New(kube.Options{
		Client: client, Dynamic: objects, Revision: o.Revision, Limits: o.ObjectLimits, Reports: o.Reports, BlockedBody: o.BlockedBody, Log: p.log, Registry: o.Registry,
		Rejections: p.server.OnRejections,
		Built: func(r kube.Result) {
			p.pods.Need(r.Model.SelectsAny())
			p.server.Publish(r.Model)
			status.Offer(r)
		},
	})
	return p, err
}

// checks are those of readiness.
func (p *controlPlane) checks() map[string]healthz.Checker {
	if p == nil {
		return nil
	}
	return map[string]healthz.Checker{"sidecars": p.watcher.Ready}
}

// register adds what runs, the CRDs, and the debug endpoints.
func (p *controlPlane) register(mgr manager.Manager) error {
	if p == nil {
		return nil
	}
	crds, err := install.New(mgr, p.skipCRDs, p.log.WithName("crds"))
	if err != nil {
		return err
	}
	mgr.GetWebhookServer().Register(debug.Path, debug.NewHandler(debug.Options{
		Client: p.client, Sidecars: p.server, Objects: p.watcher, Log: p.log.WithName("debug"),
	}))
	return errors.Join(p.addReports(mgr), mgr.Add(crds), mgr.Add(p.watcher), mgr.Add(p.pods), mgr.Add(p.listener), mgr.Add(p.tokens), mgr.Add(p.election))
}

// configure forwards the active configuration.
func (p *controlPlane) configure(s *active.Snapshot) {
	if p != nil {
		p.watcher.SetMesh(s.Mesh)
		p.watcher.SetRanges(ownRanges(s))
	}
}

// objects are the mesh configuration and the objects that sidecars are configured
// by; false where there are none yet.
func (p *controlPlane) objects() (egress.Input, bool) {
	if p == nil {
		return egress.Input{}, false
	}
	return p.watcher.Input()
}
