//go:build !unix

package cache

import (
	"context"
	"errors"
)

// Lock fails: there is no such lock here.
func Lock(context.Context, string, func()) (func(), error) { return nil, errors.ErrUnsupported }
