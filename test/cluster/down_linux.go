package cluster

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/outrider-mesh/outrider/test/cluster/node"
)

// downTimeout bounds the end of a cluster, which takes about a second.
const downTimeout = time.Minute

// Down ends the cluster and removes all of it. Where it could not, the error
// lists what is left. A cluster that is down already stays so.
func (c *Cluster) Down(ctx context.Context) error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("bring cluster %s down: root is required; run it with sudo", c.Name)
	}
	if err := c.remove(ctx); err != nil {
		return fmt.Errorf("bring cluster %s down: %w", c.Name, err)
	}
	if c.alive != nil {
		_ = c.alive.Close()
	}
	return nil
}

// remove ends the node and takes away what outlives it: cgroups and files.
func (c *Cluster) remove(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, downTimeout)
	defer cancel()
	id := c.identify()
	if pid := node.PID(c.Dir); pid != 0 {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			return fmt.Errorf("end the node: %w", err)
		}
	}
	for {
		left := c.leftovers(id)
		if len(left) == 0 {
			return nil
		}
		var err error
		// Before the processes are gone, cgroups are busy and files in use.
		if node.PID(c.Dir) == 0 {
			err = errors.Join(c.removeCgroups(), os.RemoveAll(c.Dir))
		}
		if err == nil && len(c.leftovers(id)) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err, fmt.Errorf("left behind: %s", strings.Join(left, "; ")))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// identity are the namespaces of a node, as links such as "net:[4026532010]".
type identity []string

func (c *Cluster) identify() (id identity) {
	for _, kind := range namespaceKinds {
		if link, err := os.Readlink(c.namespace(kind)); err == nil {
			id = append(id, link)
		}
	}
	return id
}

var namespaceKinds = []string{"pid", "mnt", "net", "uts"}

// leftovers lists what there is of a cluster: processes in the node's
// namespaces, mounts and cgroups of its, and its directory. A cgroup goes only
// after the pods' processes in it; with the last process of a network namespace
// its interfaces, routes and rules are gone.
func (c *Cluster) leftovers(id identity) (left []string) {
	processes, _ := filepath.Glob("/proc/[0-9]*")
	for _, p := range processes {
		cmdline, err := os.ReadFile(p + "/cmdline")
		if err != nil || len(cmdline) == 0 { // a kernel thread, or it has ended
			continue
		}
		ours := false
		for _, kind := range namespaceKinds {
			link, err := os.Readlink(p + "/ns/" + kind)
			ours = ours || err == nil && slices.Contains(id, link)
		}
		if ours {
			left = append(left, "process "+filepath.Base(p)+" "+strings.ReplaceAll(strings.TrimRight(string(cmdline), "\x00"), "\x00", " "))
		}
	}
	if mounts, err := os.Open("/proc/self/mountinfo"); err == nil {
		for lines := bufio.NewScanner(mounts); lines.Scan(); {
			if strings.Contains(lines.Text(), c.Dir+"/") {
				left = append(left, "mount "+lines.Text())
			}
		}
		_ = mounts.Close()
	}
	for _, h := range hierarchies() {
		if _, err := os.Stat(filepath.Join(h, c.cgroup())); err == nil {
			left = append(left, "cgroup "+filepath.Join(h, c.cgroup()))
		}
	}
	if _, err := os.Stat(c.Dir); err == nil {
		left = append(left, "directory "+c.Dir)
	}
	return left
}

// hierarchies are the mount points of the machine's cgroup hierarchies: one for
// version 2, one per controller for version 1, or both.
func hierarchies() (paths []string) {
	mounts, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	defer func() { _ = mounts.Close() }()
	for lines := bufio.NewScanner(mounts); lines.Scan(); {
		// "36 35 98:0 /root /mount/point options - type source options"
		before, after, _ := strings.Cut(lines.Text(), " - ")
		fields, kind := strings.Fields(before), strings.Fields(after)
		if len(fields) > 4 && len(kind) > 0 && (kind[0] == "cgroup" || kind[0] == "cgroup2") {
			paths = append(paths, fields[4])
		}
	}
	return paths
}

// makeCgroups makes the cgroup that holds the pods' in every hierarchy. Version
// 2 has controllers turned on for children where the parent allows them.
func (c *Cluster) makeCgroups() error {
	for _, h := range hierarchies() {
		if controllers, err := os.ReadFile(filepath.Join(h, "cgroup.controllers")); err == nil {
			for _, name := range strings.Fields(string(controllers)) {
				if err := os.WriteFile(filepath.Join(h, "cgroup.subtree_control"), []byte("+"+name), 0); err != nil {
					return fmt.Errorf("turn cgroup controller %s on: %w", name, err)
				}
			}
		}
		dir := filepath.Join(h, c.cgroup())
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		// A new cpuset of version 1 has nothing, and processes cannot enter it.
		for _, name := range []string{"cpuset.cpus", "cpuset.mems"} {
			if value, err := os.ReadFile(filepath.Join(h, name)); err == nil {
				if err := os.WriteFile(filepath.Join(dir, name), value, 0); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// MemoryPeak is the most memory, in bytes, that a container of the pod with the UID
// has used since it started, with its files that the kernel cached.
func (c *Cluster) MemoryPeak(podUID string) (int64, error) {
	peak := int64(-1)
	for _, h := range hierarchies() {
		for _, file := range []string{"memory.peak", "memory.max_usage_in_bytes"} {
			for _, class := range []string{"", "burstable", "besteffort"} {
				found, _ := filepath.Glob(filepath.Join(h, c.cgroup(), "kubepods", class, "pod"+podUID, "*", file))
				for _, f := range found {
					text, err := os.ReadFile(f)
					if err != nil {
						continue // the container has ended
					}
					n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
					if err != nil {
						return 0, fmt.Errorf("read %s: %w", f, err)
					}
					peak = max(peak, n)
				}
			}
		}
	}
	if peak < 0 {
		return 0, fmt.Errorf("read the memory of pod %s: it has no cgroup", podUID)
	}
	return peak, nil
}

// removeCgroups removes the cluster's cgroups, the innermost first. One with a
// process in it stays and is the error.
func (c *Cluster) removeCgroups() error {
	var errs []error
	for _, h := range hierarchies() {
		var dirs []string
		_ = filepath.WalkDir(filepath.Join(h, c.cgroup()), func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs = append(dirs, path)
			}
			return nil
		})
		slices.Reverse(dirs)
		for _, dir := range dirs {
			if err := syscall.Rmdir(dir); err != nil && !errors.Is(err, syscall.ENOENT) {
				errs = append(errs, fmt.Errorf("remove cgroup %s: %w", dir, err))
			}
		}
	}
	return errors.Join(errs...)
}

// logTails returns the last lines of each log, for an error message.
func (c *Cluster) logTails() string {
	const lines = 8
	logs, _ := filepath.Glob(filepath.Join(c.Dir, "logs", "*.log"))
	var b strings.Builder
	for _, path := range append(logs, filepath.Join(c.Dir, "node.log")) {
		data, err := os.ReadFile(path)
		if err != nil || len(data) == 0 {
			continue
		}
		all := bytes.Split(bytes.TrimRight(data, "\n"), []byte("\n"))
		_, _ = fmt.Fprintf(&b, "\nlast lines of %s:\n%s", filepath.Base(path), bytes.Join(all[max(0, len(all)-lines):], []byte("\n")))
	}
	return b.String()
}
