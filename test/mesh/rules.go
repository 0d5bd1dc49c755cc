package mesh

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

// NoNode returns why the kernel's view is missing in a borrowed cluster.
const NoNode = "the nodes of a borrowed cluster are out of reach"

// inPod runs a program in the network namespace of the pod with the UID. The
// kubelet names the pod's cgroup after it.
const inPod = `for c in /proc/[0-9]*/cgroup; do
  if grep -qs "pod$0" "$c"; then exec nsenter --net="${c%cgroup}ns/net" "$@"; fi
done
echo "no process of pod $0" >&2; exit 1`

// watch is a table of our own that counts the connections that leave the pod by
// who opened them. The redirection has been decided by then.
const watch = `add table inet e2e
delete table inet e2e
table inet e2e {
	chain leaving {
		type filter hook postrouting priority 0
		oifname != "lo" meta skuid != 1337 tcp flags & (syn | ack) == syn counter comment "opened-by-application"
		oifname != "lo" meta skuid 1337 tcp flags & (syn | ack) == syn counter comment "opened-by-proxy"
	}
}
`

// Watch puts a table into the pod's network namespace that counts connections
// that leave the pod, for Rules to read.
func (m *Mesh) Watch(podUID string) error {
	if m.own == nil {
		return fmt.Errorf("watch the pod's connections: %s", NoNode)
	}
	if _, err := m.own.Node.Run(watch, "sh", "-c", inPod, podUID, "nft", "-f", "-"); err != nil {
		return fmt.Errorf("watch the pod's connections: %w", err)
	}
	return nil
}

// Rules returns the kernel's counters by the comments of the rules: how many
// connections each reason of the redirect rules has decided, for the nat hook
// sees the first packet of each connection, and what Watch counts. For UDP a
// connection is what conntrack takes for one.
func (m *Mesh) Rules(podUID string) (map[string]int, error) {
	if m.own == nil {
		return nil, fmt.Errorf("read the redirect rules: %s", NoNode)
	}
	out, err := m.own.Node.Run("", "sh", "-c", inPod, podUID, "nft", "-j", "list", "ruleset")
	if err != nil {
		return nil, fmt.Errorf("read the redirect rules: %w", err)
	}
	return counters([]byte(out))
}

// counters sums the packets of an nft listing in JSON by the rules' comments.
func counters(listing []byte) (map[string]int, error) {
	var list struct {
		Nftables []struct {
			Rule *struct {
				Comment string
				Expr    []struct {
					Counter *struct{ Packets int }
				}
			}
		}
	}
	if err := json.Unmarshal(listing, &list); err != nil {
		return nil, fmt.Errorf("read the redirect rules: %w: %s", err, listing)
	}
	sums := map[string]int{}
	for _, item := range list.Nftables {
		if item.Rule == nil {
			continue
		}
		for _, e := range item.Rule.Expr {
			if e.Counter != nil {
				sums[item.Rule.Comment] += e.Counter.Packets
			}
		}
	}
	if len(sums) == 0 {
		return nil, fmt.Errorf("read the redirect rules: no rule with a counter in %s", listing)
	}
	return sums, nil
}

// inSidecar lists the files below a directory as the Envoy of the pod with the UID sees them.
const inSidecar = `for c in /proc/[0-9]*/cgroup; do
  d="${c%cgroup}"
  if grep -qs "pod$0" "$c" && [ "$(cat "$d/comm")" = envoy ]; then cd "$d/root" && exec find "./$1" -type f -o -type l -o -type s; fi
done
echo "no Envoy in pod $0" >&2; exit 1`

// SidecarFiles returns the files, links and sockets below a directory of the sidecar's file
// system.
func (m *Mesh) SidecarFiles(podUID, dir string) (string, error) {
	if m.own == nil {
		return "", fmt.Errorf("list the sidecar's files: %s", NoNode)
	}
	out, err := m.own.Node.Run("", "sh", "-c", inSidecar, podUID, strings.TrimPrefix(dir, "/"))
	if err != nil {
		return "", fmt.Errorf("list the sidecar's files: %w", err)
	}
	return out, nil
}

// worldLog is the log of the internet in the file.
func (m *Mesh) worldLog() (string, error) {
	text, err := os.ReadFile(m.own.WorldLog())
	return strings.ToValidUTF8(string(text), "?"), err
}

// Signal sends a signal, as kill(1) has it, to one of the cluster's own daemons.
func (m *Mesh) Signal(daemon, signal string) error {
	if m.own == nil {
		return fmt.Errorf("signal %s: %s", daemon, NoNode)
	}
	daemons, err := m.own.Node.Daemons()
	if err != nil {
		return fmt.Errorf("signal %s: %w", daemon, err)
	}
	for _, d := range daemons {
		if d.Name == daemon && d.PID != 0 {
			_, err := m.own.Node.Run("", "kill", signal, fmt.Sprint(d.PID))
			return err
		}
	}
	return fmt.Errorf("signal %s: it does not run", daemon)
}
