package serve

import (
	"context"

	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/outrider-mesh/outrider/egress/report/live"
)

// receiveReports makes the control plane receive what sidecars report, unless it is
// disabled.
func (p *controlPlane) receiveReports(o Options, events live.Events) (err error) {
	if !o.Reports {
		return nil
	}
	p.recorder, err = live.Connect(o.Cluster, live.Options{Events: events, Retention: o.ReportRetention, Interval: o.ReportInterval, Log: p.log.WithName("reports"), Registry: o.Registry})
	if err == nil {
		p.server.ReceiveReports(p.recorder)
	}
	return err
}

// addReports adds what writes them.
func (p *controlPlane) addReports(mgr manager.Manager) error {
	if p.recorder == nil {
		return nil
	}
	return mgr.Add(p.recorder)
}

// sweep removes expired reports.
func (p *controlPlane) sweep(ctx context.Context) {
	if p.recorder != nil {
		p.recorder.Sweep(ctx)
	}
}
