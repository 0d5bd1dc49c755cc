package serve

import (
	"context"
	"fmt"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/outrider-mesh/outrider/egress/kube"
	"github.com/outrider-mesh/outrider/internal/election"
)

// newStatusWriter prepares the writer of the objects' status, on one replica.
func (p *controlPlane) newStatusWriter(o Options) (*kube.StatusWriter, error) {
	unlimited := rest.CopyConfig(o.Cluster)
	unlimited.QPS = -1 // the writer has a limit of its own
	client, err := dynamic.NewForConfig(unlimited)
	if err != nil {
		return nil, fmt.Errorf("create status client: %w", err)
	}
	log := p.log.WithName("status")
	writer, err := kube.NewStatusWriter(kube.StatusOptions{Dynamic: client, Revision: o.Revision, Log: log, Registry: o.Registry})
	if err != nil {
		return nil, err
	}
	identity, err := election.Identity()
	if err != nil {
		return nil, err
	}
	lease := o.Revision.Name("outrider-status")
	p.election, err = election.New(election.Options{
		Cluster: o.Cluster, Namespace: o.Namespace, Name: lease, Identity: identity,
		Lead: func(ctx context.Context) {
			log.Info("became leader", "lease", lease)
			go p.sweep(ctx)
			if err := writer.Run(ctx); err != nil && ctx.Err() == nil {
				log.Error(err, "status writer failed")
			}
		},
	})
	return writer, err
}
