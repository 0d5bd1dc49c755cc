//go:build tools

// Package tools pins the shim, which is built as it is.
package tools

import _ "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2"
