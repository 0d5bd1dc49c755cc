package serve

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/outrider-mesh/outrider/annotation"
	"github.com/outrider-mesh/outrider/cidr"
	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/config/active"
	"github.com/outrider-mesh/outrider/egress/xds"
	"github.com/outrider-mesh/outrider/internal/problem"
	"github.com/outrider-mesh/outrider/ranges"
	"github.com/outrider-mesh/outrider/ranges/live"
	"github.com/outrider-mesh/outrider/status"
)

// configMaps are the ones of this revision.
func (o Options) configMaps() config.Location { return config.LocationOf(o.Namespace, o.Revision) }

// lastGood is the ConfigMap that keeps the last good configurations. The components
// have one each: with the token of one, the configuration of the other one cannot be
// changed.
func (o Options) lastGood() string {
	if o.runs(Webhook) {
		return o.Revision.Name("outrider-last-good")
	}
	return o.Revision.Name("outrider-xds-last-good")
}

// newHolder makes the holder of the active configuration.
func newHolder(mgr manager.Manager, c *cluster, o Options) (*active.Holder, error) {
	client, err := kubernetes.NewForConfigAndClient(mgr.GetConfig(), mgr.GetHTTPClient())
	if err != nil {
		return nil, fmt.Errorf("create ConfigMap client: %w", err)
	}
	return active.New(active.Options{
		ConfigMaps: o.configMaps(), Client: client, Environment: c.environment,
		Store: o.lastGood(), Version: o.Version, StorePause: o.storePause,
		Events: mgr.GetEventRecorder("outrider"), Log: o.Log.WithName("configuration"), Registry: o.Registry,
		CompileMesh: o.compileMesh,
	})
}

// everyReplica is a runnable without leader election.
type everyReplica func(context.Context) error

func (f everyReplica) Start(ctx context.Context) error { return f(ctx) }

func (everyReplica) NeedLeaderElection() bool { return false }

// newRanges reads the cluster's ranges for the holder, again after each change.
func newRanges(mgr manager.Manager, holder *active.Holder) (manager.Runnable, error) {
	cluster, err := live.New(mgr.GetConfig(), live.Options{})
	if err != nil {
		return nil, err
	}
	return everyReplica(func(ctx context.Context) error {
		cluster.Follow(ctx, live.Pace{}, func(s *live.Snapshot, err error) bool {
			var read *ranges.ClusterData
			if s != nil {
				read = s.Data
			}
			return holder.SetRanges(read, err)
		})
		return nil
	}), nil
}

// ownRanges are the cluster's own ranges, as far as they are found, and whether these
// are all.
func ownRanges(s *active.Snapshot) (own cidr.List, complete bool) {
	found, _ := s.Injector.RangeNames().Resolve(cidr.Cluster)
	return found.Ranges, found.Missing == ""
}

// reportOf is what a replica reports in its Lease.
func (o *Options) reportOf(s active.Status, plane *controlPlane, now time.Time) map[string]string {
	out := configurationOf(s)
	var names []string
	for _, c := range Components() {
		if o.runs(c) {
			names = append(names, string(c))
		}
	}
	out[annotation.ReplicaVersion], out[annotation.ReplicaComponents] = o.Version, strings.Join(names, ",")
	if plane != nil {
		out[annotation.ReplicaSidecars] = connectedOf(plane.server.Conditions(now))
	}
	return out
}

// connectedOf are the sidecars of a replica, and some of those with a problem: others may make
// any number of them, and messages of any length.
func connectedOf(c xds.Conditions) string {
	out := status.Connected{Connected: c.Connected, Behind: c.Behind, Rejecting: c.Rejecting}
	for _, p := range c.Problems[:min(len(c.Problems), status.MaxReported)] {
		of := status.Sidecar{Namespace: p.Identity.Namespace, Pod: p.Identity.Pod, ID: status.Behind, Time: p.Since.UTC().Truncate(time.Second),
			Text: "has not confirmed its newest configuration"}
		if p.Rejected != nil {
			of.ID = status.Rejecting
			of.Text = problem.Clip(problem.Printable("rejects "+xds.ShortType(p.Rejected.TypeURL)+" "+strings.Join(p.Rejected.Resources, ", ")+": "+p.Rejected.Reason), status.MaxReason)
		}
		out.Problems = append(out.Problems, of)
	}
	text, err := json.Marshal(out)
	if err != nil {
		return "" // only texts and numbers
	}
	return string(text)
}

// configurationOf is the status as annotations of the replica's Lease.
func configurationOf(s active.Status) map[string]string {
	out := map[string]string{annotation.ConfigHash: s.Hash, annotation.ConfigSource: s.Source, annotation.ConfigReason: s.NotApplied}
	for name, value := range out {
		if value == "" {
			out[name] = "none"
		}
	}
	return out
}
