package main

import (
	"context"
	"time"

	"github.com/outrider-mesh/outrider/internal/kubeconfig"
	"github.com/outrider-mesh/outrider/ranges"
	"github.com/outrider-mesh/outrider/ranges/live"
)

// rangesTimeout bounds the reading of a cluster: some twenty requests, and a page
// of 500 for each 500 pods.
const rangesTimeout = 2 * time.Minute

// readCluster reads what a cluster shows of its ranges, and the documents with
// it, and returns the names of the sources that it is not authorized to read.
func readCluster(ctx context.Context, access kubeconfig.Access, probe bool, documents []ranges.Document) (*ranges.ClusterData, []string, error) {
	ctx, cancel := context.WithTimeout(ctx, rangesTimeout)
	defer cancel()
	c, err := access.Config()
	if err != nil {
		return nil, nil, err
	}
	reader, err := live.New(c, live.Options{Probe: probe, Documents: documents})
	if err != nil {
		return nil, nil, err
	}
	s, err := reader.Gather(ctx)
	if err != nil {
		return nil, nil, err
	}
	return s.Data, s.Forbidden(), nil
}
