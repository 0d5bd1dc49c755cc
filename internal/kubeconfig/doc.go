// Package kubeconfig connects commands to a cluster through a kubeconfig and
// reads the objects they need as values. It validates nothing: that is up to the
// pure packages.
package kubeconfig
