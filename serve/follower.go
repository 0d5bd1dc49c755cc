package serve

import (
	"context"
	"fmt"
	"time"

	"k8s.io/client-go/kubernetes"

	"github.com/outrider-mesh/outrider/config/watch"
)

// retryAfter is the pause where the API server did not answer.
const retryAfter = 2 * time.Second

// follower hands the ConfigMaps to the loader, and their changes. It is a
// manager's runnable.
type follower struct {
	client  kubernetes.Interface
	cluster *cluster
	loader  *loader
	options watch.Options
	ranges  *rangesReader
}

// NeedLeaderElection tells the manager that every replica follows.
func (f *follower) NeedLeaderElection() bool { return false }

// Start follows until ctx ends. What has to be known of the cluster is found
// out before anything is in force.
func (f *follower) Start(ctx context.Context) error {
	if !f.learn(ctx) {
		return nil
	}
	if err := watch.Run(ctx, f.client, f.options, f.loader.load); err != nil && ctx.Err() == nil {
		return fmt.Errorf("follow the configuration: %w", err)
	}
	return nil
}

// learn asks until the cluster answers; false when ctx ended first.
func (f *follower) learn(ctx context.Context) bool {
	for {
		err := f.cluster.watchNamespaces(ctx)
		if err == nil {
			f.loader.environment, err = f.cluster.environment()
		}
		if err == nil {
			f.ranges.wait(ctx)
			f.loader.learnt.Store(true)
			return true
		}
		f.loader.log.Error(err, "the cluster is not known yet, trying again", "after", retryAfter.String())
		select {
		case <-ctx.Done():
			return false
		case <-time.After(retryAfter):
		}
	}
}
