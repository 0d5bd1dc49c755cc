// Package crds embeds the CustomResourceDefinitions of the objects that Outrider
// reads, for clusters that have none. They are only ever created: an existing
// definition, of Istio or of another version, is kept.
package crds

import "embed"

// Files are the CustomResourceDefinitions, one per file.
//
//go:embed *.yaml
var Files embed.FS
