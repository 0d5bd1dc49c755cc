package main

import (
	"context"
	"fmt"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/outrider-mesh/outrider/platform"
	"github.com/outrider-mesh/outrider/platform/live"
)

// rangesTimeout bounds the reading of a cluster: some twenty requests, and a page
// of 500 for each 500 pods.
const rangesTimeout = 2 * time.Minute

// readCluster reads the cluster, and the documents with it. It names the sources
// that the rights did not suffice for.
func readCluster(ctx context.Context, o rangesOptions, documents []platform.Document) (*platform.Facts, []string, error) {
	ctx, cancel := context.WithTimeout(ctx, rangesTimeout)
	defer cancel()
	c, err := kubeConfig(o.kubeconfig, o.context)
	if err != nil {
		return nil, nil, err
	}
	cluster, err := live.New(c, live.Options{Probe: true, Documents: documents})
	if err != nil {
		return nil, nil, err
	}
	s, err := cluster.Gather(ctx)
	if err != nil {
		return nil, nil, err
	}
	return s.Facts, s.Forbidden(), nil
}

// kubeConfig reaches the cluster that kubectl would.
func kubeConfig(file, name string) (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = file
	c, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: name}).ClientConfig()
	switch {
	case clientcmd.IsEmptyConfig(err):
		return nil, fmt.Errorf("no cluster to read: there is no kubeconfig; give one with --kubeconfig FILE, documents with -f, or a platform with --platform")
	case err != nil:
		return nil, fmt.Errorf("reach the cluster: %w", err)
	}
	return c, nil
}
