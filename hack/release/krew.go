package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

const krewHead = `apiVersion: krew.googlecontainertools.github.com/v1alpha2
kind: Plugin
metadata:
  name: outrider
spec:
  version: %s
  homepage: %s
  shortDescription: Inject egress sidecars into manifests
  description: |
    Injects an Envoy sidecar into manifests, with the same result as Outrider's
    webhook, shows the changes, and removes it again. Finds the address ranges of
    a cluster.
  platforms:
`

const krewPlatform = `  - selector:
      matchLabels: {os: %s, arch: %s}
    uri: %s
    sha256: %s
    bin: kubectl-outrider%s
`

// krewManifest is the manifest of the plugin in krew's index. sums are the SHA-256
// of the archives by platform.
func krewManifest(r release, sums map[platform]string) string {
	var b strings.Builder
	fmt.Fprintf(&b, krewHead, r.version, homepage)
	byName := func(a, b platform) int { return strings.Compare(a.String(), b.String()) }
	for _, p := range slices.SortedFunc(maps.Keys(sums), byName) {
		fmt.Fprintf(&b, krewPlatform, p.os, p.arch, r.baseURL+"/"+r.plugin(p), sums[p], p.exe())
	}
	return b.String()
}
