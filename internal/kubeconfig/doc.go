// Package kubeconfig reads from a Kubernetes API server the objects that commands
// need, and hands them over as values. It judges nothing: that is the work of
// the pure rooms.
package kubeconfig
