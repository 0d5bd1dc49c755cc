package serve

import (
	"fmt"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/outrider-mesh/outrider/egress/xds"
)

// newTokens has a client of its own: the reviews have a limit of theirs, and must not
// wait for other requests.
func newTokens(o Options) (*xds.Tokens, error) {
	unlimited := rest.CopyConfig(o.Cluster)
	unlimited.QPS = -1
	client, err := kubernetes.NewForConfig(unlimited)
	if err != nil {
		return nil, fmt.Errorf("create token review client: %w", err)
	}
	reviews := client.AuthenticationV1()
	return xds.NewTokens(reviews.TokenReviews(), xds.NewKeys(reviews.RESTClient()), xds.TokenMetrics(o.Registry)), nil
}
