package serve

import (
	"cmp"

	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/outrider-mesh/outrider/config/active"
	"github.com/outrider-mesh/outrider/explain"
	"github.com/outrider-mesh/outrider/status"
	"github.com/outrider-mesh/outrider/webhook/registration"
	"github.com/outrider-mesh/outrider/workloads/count"
)

// countPods makes one replica of the webhook count pods by whether the active settings
// inject them, unless that is disabled.
func countPods(mgr manager.Manager, holder *active.Holder, o Options) error {
	if !o.runs(Webhook) || o.PodCountInterval <= 0 {
		return nil
	}
	names := []string{registration.Options{Revision: o.Revision}.Name()}
	for _, tag := range o.Tags {
		names = append(names, tag.Configuration())
	}
	pods, election, err := count.New(count.Options{
		Cluster: o.Cluster, Namespace: o.Namespace, Revision: o.Revision, Interval: o.PodCountInterval,
		Service: o.Namespace + "/" + cmp.Or(o.Service, o.Revision.Name("outrider")), Configurations: names,
		Settings: func() *status.Settings {
			s := holder.Current()
			if s == nil {
				return nil
			}
			return &status.Settings{Injector: s.Injector, Texts: explain.Texts{Texts: s.Texts, Labels: o.configMaps().Labels()}}
		},
		Log: o.Log.WithName("pods"), Registry: o.Registry,
	})
	if err != nil {
		return err
	}
	holder.Subscribe(func(*active.Snapshot) { pods.Changed() })
	return mgr.Add(election)
}
