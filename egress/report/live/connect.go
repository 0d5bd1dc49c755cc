package live

import (
	"errors"
	"fmt"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"

	"github.com/outrider-mesh/outrider/internal/election"
)

// Connect makes a recorder with clients of a cluster, and an identity of its own.
func Connect(cluster *rest.Config, o Options) (*Recorder, error) {
	unlimited := rest.CopyConfig(cluster)
	unlimited.QPS = -1 // the recorder has limits of its own
	objects, err1 := dynamic.NewForConfig(unlimited)
	client, err2 := kubernetes.NewForConfig(unlimited)
	meta, err3 := metadata.NewForConfig(unlimited)
	identity, err4 := election.Identity()
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return nil, fmt.Errorf("create report client: %w", err)
	}
	o.Dynamic, o.Pods, o.Metadata, o.Identity = objects, client.CoreV1(), meta, identity
	return New(o)
}
