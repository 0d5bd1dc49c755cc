package main

import (
	"context"
	"fmt"
	"io"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/inject"
	"github.com/outrider-mesh/outrider/ranges"
)

// noRangesFrom is why a file's injection knows no cluster.
const noRangesFrom = "a file is injected without a cluster; give --ranges-from DOCUMENT, which is what \"outrider ranges -f\" reads"

// rangeNames is what the names in range lists stand for: by the documents of
// --ranges-from, by the cluster whose configuration is used, or by nothing.
func rangeNames(ctx context.Context, cfg *config.Config, o injectOptions, in io.Reader) (*ranges.Names, error) {
	switch {
	case len(o.rangesFrom) > 0:
		documents, err := readDocuments("--ranges-from", o.rangesFrom, in)
		if err != nil {
			return nil, err
		}
		facts, err := ranges.Read(documents)
		if err != nil {
			return nil, fmt.Errorf("--ranges-from: the documents are refused:\n%w", err)
		}
		return inject.RangeNames(cfg, facts, false), nil
	case o.cluster.enabled():
		facts, _, err := readCluster(ctx, o.cluster.Access, false, nil)
		if err != nil { // needed only where a list has a name
			return ranges.NoCluster(err.Error()), nil
		}
		return inject.RangeNames(cfg, facts, true), nil
	}
	return ranges.NoCluster(noRangesFrom), nil
}
