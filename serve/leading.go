package serve

import (
	"context"

	"github.com/go-logr/logr"

	"github.com/outrider-mesh/outrider/internal/election"
	"github.com/outrider-mesh/outrider/internal/revision"
)

// newLeading prepares work that one replica at a time does.
func newLeading(o Options, lease, identity string, work func(context.Context) error, log logr.Logger) (*election.Election, error) {
	name := revision.Revision(o.Revision).Name(lease)
	return election.New(election.Options{
		Cluster: o.Cluster, Namespace: o.Namespace, Name: name, Labels: map[string]string{"app": "outrider"}, Identity: identity,
		Lead: func(ctx context.Context) {
			log.Info("became leader", "lease", name)
			if err := work(ctx); err != nil && ctx.Err() == nil {
				log.Error(err, "leader's work failed", "lease", name)
			}
		},
	})
}
