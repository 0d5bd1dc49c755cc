//go:build unix

package main

import (
	"os"
	"syscall"
)

// ownGroup keeps a child out of the terminal's signals: Ctrl-C reaches the
// demo, which then stops its children in order.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// killGroup ends a child that has a group of its own, and its children.
func killGroup(p *os.Process) error { return syscall.Kill(-p.Pid, syscall.SIGKILL) }
