//go:build tools

// Package tools pins Helm. It is a module of its own so that the product's go.mod
// stays free of it; nothing imports it, and package helm builds this main package
// from it.
package tools

import _ "helm.sh/helm/v4/cmd/helm"
