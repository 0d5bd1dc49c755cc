package main

import (
	"context"
	"fmt"
	"io"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/config/active"
	"github.com/outrider-mesh/outrider/inject"
	"github.com/outrider-mesh/outrider/internal/revision"
	"github.com/outrider-mesh/outrider/ranges"
	"github.com/outrider-mesh/outrider/workloads"
)

// noRangesFrom is why names are not resolved when a file is injected.
const noRangesFrom = "no cluster is read when injecting files; pass --ranges-from FILE"

// rangeNames resolves the names in range lists: by the documents of
// --ranges-from, by the cluster whose configuration is used, or not at all.
func rangeNames(ctx context.Context, cfg *config.Config, o injectOptions, in io.Reader) (*ranges.NamedRanges, error) {
	switch {
	case len(o.rangesFrom) > 0:
		documents, err := readDocuments("--ranges-from", o.rangesFrom, in)
		if err != nil {
			return nil, err
		}
		data, err := ranges.Read(documents)
		if err != nil {
			return nil, fmt.Errorf("--ranges-from: invalid documents:\n%w", err)
		}
		return inject.RangeNames(cfg, data, false), nil
	case o.cluster.enabled():
		if o.storedRanges {
			if stored := o.stored(ctx); stored != nil {
				return stored, nil
			}
		}
		data, _, err := readCluster(ctx, o.cluster.Access, false, nil)
		if err != nil { // needed only where a list has a name
			return ranges.NoCluster(err.Error()), nil
		}
		return inject.RangeNames(cfg, data, true), nil
	}
	return ranges.NoCluster(noRangesFrom), nil
}

// stored are the ranges that the webhook has stored, nil where it has not, or they may not be
// read: a reading of the cluster takes a list of all pods.
func (o *injectOptions) stored(ctx context.Context) *ranges.NamedRanges {
	access, err := o.cluster.Config()
	if err != nil {
		return nil
	}
	reader, err := workloads.New(access)
	if err != nil {
		return nil
	}
	name := revision.Revision(o.revision).Name("outrider-last-good")
	found, err := reader.Client.CoreV1().ConfigMaps(o.cluster.namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil
	}
	history, _ := config.ReadHistory(found.Data, found.BinaryData)
	if len(history) == 0 {
		return nil
	}
	out := active.StoredRanges(history[0])
	if out == nil {
		return nil
	}
	if out.APIServer, err = reader.APIServer(ctx); err != nil {
		out.APIServer.Missing = err.Error()
	}
	return out
}
