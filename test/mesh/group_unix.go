//go:build unix

package mesh

import (
	"os/exec"
	"syscall"
)

// ownGroup puts what the command starts into a process group that ends with it.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
