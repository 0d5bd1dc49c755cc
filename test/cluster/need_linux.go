package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// needs are the host's programs and the Debian packages they come in.
var needs = []struct{ file, pkg string }{
	{"runc", "runc"},
	{"/usr/lib/cni/ptp", "containernetworking-plugins"},
	{"nft", "nftables"},
	{"iptables", "iptables"},
	{"ip", "iproute2"},
	{"nsenter", "util-linux"},
	{"unshare", "util-linux"},
	{"mount", "mount"},
	{"ldd", "libc-bin"},
	{"curl", "curl"},
	{"time", "time"},
}

// sbin is where Debian has administrators' programs, which the path of a
// user's shell may lack.
const sbin = "/usr/sbin:/sbin"

// provide returns what this machine lacks to run a cluster, and installs packages
// where apt-get can.
func provide(ctx context.Context, say func(string, ...any)) error {
	if err := os.Setenv("PATH", os.Getenv("PATH")+":"+sbin); err != nil {
		return err
	}
	missing := missingPackages()
	if os.Geteuid() != 0 {
		err := errors.New("a real cluster needs root, for its namespaces and cgroups; run it with sudo")
		if len(missing) > 0 {
			err = fmt.Errorf("%w; it will install what is missing: %s", err, strings.Join(missing, ", "))
		}
		return err
	}
	if len(missing) == 0 {
		return nil
	}
	apt, err := exec.LookPath("apt-get")
	if err != nil {
		return fmt.Errorf("a real cluster needs what Debian has in %s; install it (there is no apt-get here)", strings.Join(missing, ", "))
	}
	say("installing %s", strings.Join(missing, ", "))
	for _, args := range [][]string{{"update"}, append([]string{"install", "-y", "--no-install-recommends"}, missing...)} {
		cmd := exec.CommandContext(ctx, apt, append([]string{"-q"}, args...)...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		// A stale index may still serve: only the installation must succeed.
		if out, err := cmd.CombinedOutput(); err != nil && args[0] == "install" {
			return fmt.Errorf("install %s: %w\n%s", strings.Join(missing, ", "), err, out)
		}
	}
	if missing = missingPackages(); len(missing) > 0 {
		return fmt.Errorf("a real cluster needs what Debian has in %s; apt-get installed it, and the programs are still not found", strings.Join(missing, ", "))
	}
	return nil
}

func missingPackages() (missing []string) {
	for _, n := range needs {
		if _, err := exec.LookPath(n.file); err != nil && !slices.Contains(missing, n.pkg) {
			missing = append(missing, n.pkg)
		}
	}
	return missing
}
