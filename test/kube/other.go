//go:build !unix

package kube

import "syscall"

func ownSession() *syscall.SysProcAttr { return nil }
