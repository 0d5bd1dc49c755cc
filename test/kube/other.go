//go:build !unix

package kube

import (
	"context"
	"errors"
	"syscall"
)

func lockFile(context.Context, string, func()) (func(), error) { return nil, errors.ErrUnsupported }

func ownSession() *syscall.SysProcAttr { return nil }
