// Package crds holds the CustomResourceDefinitions of the objects that Outrider
// reads, for clusters that have none. They are only ever created: where a
// cluster has a definition of the name, Istio's or an older one, it stays.
package crds

import "embed"

// Files are the definitions, one a file.
//
//go:embed *.yaml
var Files embed.FS
