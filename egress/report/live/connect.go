package live

import (
	"errors"
	"fmt"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/outrider-mesh/outrider/internal/election"
)

// Connect makes a recorder with clients of a cluster, and an identity of its own.
func Connect(cluster *rest.Config, o Options) (*Recorder, error) {
	unlimited := rest.CopyConfig(cluster)
	unlimited.QPS = -1 // the recorder has limits of its own
	objects, err1 := dynamic.NewForConfig(unlimited)
	client, err2 := kubernetes.NewForConfig(unlimited)
	identity, err3 := election.Identity()
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, fmt.Errorf("create report client: %w", err)
	}
	o.Dynamic, o.Pods, o.Identity = objects, client.CoreV1(), identity
	return New(o)
}
