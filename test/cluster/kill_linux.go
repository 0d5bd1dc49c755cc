package cluster

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// KillPod kills all processes of the pod with the UID.
func (c *Cluster) KillPod(podUID string) error { return c.signalPod(podUID, syscall.SIGKILL) }

// StopPod stops all processes of the pod with the UID, as a node without processor time
// does. They do not go on.
func (c *Cluster) StopPod(podUID string) error { return c.signalPod(podUID, syscall.SIGSTOP) }

// signalPod sends a signal to all processes of the pod with the UID. Only processes in the
// cluster's own cgroup are found.
func (c *Cluster) signalPod(podUID string, signal syscall.Signal) error {
	signaled := map[int]bool{}
	var errs []error
	for _, h := range hierarchies() {
		for _, class := range []string{"", "burstable", "besteffort"} {
			found, _ := filepath.Glob(filepath.Join(h, c.cgroup(), "kubepods", class, "pod"+podUID, "*", "cgroup.procs"))
			for _, f := range found {
				text, err := os.ReadFile(f)
				if err != nil {
					continue // the container has ended
				}
				for _, field := range strings.Fields(string(text)) {
					pid, err := strconv.Atoi(field)
					if err != nil || pid < 2 || signaled[pid] || pauses(pid) {
						continue
					}
					signaled[pid] = true
					errs = append(errs, syscall.Kill(pid, signal))
				}
			}
		}
	}
	if len(signaled) == 0 {
		return fmt.Errorf("%s to pod %s: it has no process", signal, podUID)
	}
	return errors.Join(errs...)
}

// pauses reports whether the process holds the pod's namespaces, and is no container
// of its own.
func pauses(pid int) bool {
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	return err != nil || strings.TrimSpace(string(name)) == "pause"
}
