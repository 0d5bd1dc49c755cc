//go:build !linux

package probe

import (
	"context"
	"errors"
)

// Kernel is the abstract Unix socket of the reader.
const Kernel = "@outrider-check-kernel"

// ReadKernel is available on Linux only, which the pods run on.
func ReadKernel(context.Context) error { return errors.New("requires Linux") }
