//go:build unix

package kube

import "syscall"

// ownSession keeps a child out of the terminal's signals: Ctrl-C reaches the
// test, which then stops its children in order.
func ownSession() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }
