// Package istio has the configuration of a real Istio for tests: the two
// ConfigMaps as its own chart renders them, with Helm's engine, and its charts.
//
// The chart and Helm come from their Go modules, which tools/go.mod pins; nothing
// of them is in this repository. A program is built from the two once, and kept in
// the user's cache.
package istio
