//go:build !unix

package envoy

import (
	"context"
	"errors"
)

func lockFile(context.Context, string, func()) (func(), error) { return nil, errors.ErrUnsupported }
