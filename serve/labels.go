package serve

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"

	"github.com/outrider-mesh/outrider/egress/kube"
	"github.com/outrider-mesh/outrider/egress/xds"
)

// podLabels are the labels of pods, for the streams of their sidecars.
type podLabels struct{ *kube.Pods }

// newPods prepares the labels of pods. Its client has no limit of requests: the reads have
// one of theirs, and must not wait for others.
func newPods(o Options, p *controlPlane) (*kube.Pods, error) {
	unlimited := rest.CopyConfig(o.Cluster)
	unlimited.QPS = -1
	client, err := metadata.NewForConfig(unlimited)
	if err != nil {
		return nil, fmt.Errorf("create client of pods: %w", err)
	}
	pods := kube.NewPods(client, p.log, p.server.Relabelled)
	p.server.SetLabels(podLabels{pods})
	return pods, nil
}

// Read reads a pod.
func (l podLabels) Read(ctx context.Context, namespace, name, uid string) error {
	err := l.Pods.Read(ctx, namespace, name, uid)
	if errors.Is(err, kube.ErrNoPod) {
		return fmt.Errorf("%w: %s/%s", xds.ErrNoPod, namespace, name)
	}
	return err
}
