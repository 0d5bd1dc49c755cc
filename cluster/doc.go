// Package cluster will read from a Kubernetes API server the objects that
// status, check, preview and explain need, and hand them over as values. It
// judges nothing: that is the work of the pure rooms.
package cluster
