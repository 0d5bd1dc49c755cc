//go:build linux

package netns

import (
	"fmt"
	"testing"
)

// The addresses of a pair: the pod's, and its neighbor's, which is the pod's node
// or the internet.
const (
	Pod4, Pod6           = "10.99.0.2", "fd99::2"
	Neighbor4, Neighbor6 = "10.99.0.1", "fd99::1"
)

// Pair makes a pod's namespace and a neighbor's. The pod's interface is eth0, the
// neighbor's pod0; each reaches the other's addresses and nothing else.
func Pair(t testing.TB) (pod, neighbor *NS) {
	t.Helper()
	Need(t, "ip")
	pod, neighbor = New(t), New(t)
	neighbor.Must(t, "", "ip", "link", "add", "pod0", "type", "veth", "peer", "name", "eth0", "netns", fmt.Sprint(pod.tid))
	for _, end := range []struct {
		ns           *NS
		link, v4, v6 string
	}{{neighbor, "pod0", Neighbor4, Neighbor6}, {pod, "eth0", Pod4, Pod6}} {
		end.ns.Must(t, fmt.Sprintf("link set lo up\nlink set %s up\naddr add %s/24 dev %[1]s\n", end.link, end.v4), "ip", "-batch", "-")
		end.ns.Must(t, fmt.Sprintf("addr add %s/64 dev %s nodad\n", end.v6, end.link), "ip", "-6", "-batch", "-")
	}
	return pod, neighbor
}

// RouteAll sends all traffic of the pod to its neighbor, which takes every address
// as its own.
func RouteAll(t testing.TB, pod, neighbor *NS) {
	t.Helper()
	pod.Must(t, "route add default via "+Neighbor4+"\n", "ip", "-batch", "-")
	pod.Must(t, "route add default via "+Neighbor6+"\n", "ip", "-6", "-batch", "-")
	neighbor.Must(t, "route add local 0.0.0.0/0 dev lo table main\n", "ip", "-batch", "-")
	neighbor.Must(t, "route add local ::/0 dev lo table main\n", "ip", "-6", "-batch", "-")
}
