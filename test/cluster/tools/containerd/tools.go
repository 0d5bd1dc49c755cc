//go:build tools

// Package tools pins containerd. It is a module of its own so that the
// product's go.mod stays free of it; nothing imports it, and package cluster
// builds these main packages from it.
package tools

import (
	_ "github.com/containerd/containerd/v2/cmd/containerd"
	_ "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2"
	_ "github.com/containerd/containerd/v2/cmd/ctr"
)
