package main

import (
	"context"
	"fmt"
	"io"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/inject"
	"github.com/outrider-mesh/outrider/ranges"
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
		data, _, err := readCluster(ctx, o.cluster.Access, false, nil)
		if err != nil { // needed only where a list has a name
			return ranges.NoCluster(err.Error()), nil
		}
		return inject.RangeNames(cfg, data, true), nil
	}
	return ranges.NoCluster(noRangesFrom), nil
}
