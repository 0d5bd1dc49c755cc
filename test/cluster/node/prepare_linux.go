package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// own are the directories of the host that the node has its own of: kubelet,
// containerd, its shims and the network plugins write there whatever they are
// asked to.
var own = []string{"/var/lib", "/var/log"}

// tunables are the settings of the whole machine that kubelet changes. The node
// has files in their place, which leaves the machine as it is.
var tunables = []string{
	"vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops",
	"kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes",
}

// forwarding makes the node route between its pods and the internet. The settings
// are the network namespace's own.
var forwarding = []struct {
	path     string
	optional bool // where the kernel has no IPv6
}{
	{"net/ipv4/ip_forward", false},
	{"net/ipv6/conf/all/forwarding", true},
	{"net/ipv6/conf/default/forwarding", true},
}

// prepare turns the fresh namespaces of process 1 into a node's.
func prepare(dir, name string) error {
	if err := syscall.Sethostname([]byte(name)); err != nil {
		return fmt.Errorf("set the host name: %w", err)
	}
	resolver, err := filepath.EvalSymlinks("/etc/resolv.conf") // often a link into /run
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	// First private, so that nothing reaches the host; then shared among the
	// node's own mount namespaces, which kubelet expects.
	for _, m := range []struct {
		source, target, kind string
		flags                uintptr
	}{
		{"", "/", "", syscall.MS_REC | syscall.MS_PRIVATE},
		{"", "/", "", syscall.MS_REC | syscall.MS_SHARED},
		{"proc", "/proc", "proc", syscall.MS_NOSUID | syscall.MS_NODEV | syscall.MS_NOEXEC},
		{"tmpfs", "/run", "tmpfs", syscall.MS_NOSUID | syscall.MS_NODEV},
	} {
		if err := syscall.Mount(m.source, m.target, m.kind, m.flags, ""); err != nil {
			return fmt.Errorf("mount %s: %w", m.target, err)
		}
	}
	for _, path := range own {
		if err := bind(filepath.Join(dir, "own", path), path); err != nil {
			return err
		}
	}
	if err := resolve(filepath.Join(dir, ResolvConf), resolver); err != nil {
		return err
	}
	for _, path := range tunables {
		if err := shadow(dir, path); err != nil {
			return err
		}
	}
	for _, f := range forwarding {
		err := os.WriteFile("/proc/sys/"+f.path, []byte("1"), 0)
		if err != nil && (!f.optional || !errors.Is(err, os.ErrNotExist)) {
			return fmt.Errorf("turn forwarding on: %w", err)
		}
	}
	return nil
}

// resolve gives the node a name server of its own; target is where the host has
// the file, in or outside the /run that the node does not see.
func resolve(source, target string) error {
	if target == "" {
		return nil
	}
	if _, err := os.Stat(target); errors.Is(err, os.ErrNotExist) {
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(target, nil, 0o644); err != nil {
			return err
		}
	}
	if err := syscall.Mount(source, target, "", syscall.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind %s to %s: %w", source, target, err)
	}
	return nil
}

func bind(source, target string) error {
	if err := os.MkdirAll(source, 0o755); err != nil {
		return err
	}
	if err := syscall.Mount(source, target, "", syscall.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind %s to %s: %w", source, target, err)
	}
	return nil
}

// shadow puts a copy of a kernel setting in its place.
func shadow(dir, path string) error {
	value, err := os.ReadFile("/proc/sys/" + path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	copied := filepath.Join(dir, "own", "sysctl", strings.ReplaceAll(path, "/", "."))
	if err := os.MkdirAll(filepath.Dir(copied), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(copied, value, 0o644); err != nil {
		return err
	}
	if err := syscall.Mount(copied, "/proc/sys/"+path, "", syscall.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind %s to /proc/sys/%s: %w", copied, path, err)
	}
	return nil
}
