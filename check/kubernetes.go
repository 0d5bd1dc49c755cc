package check

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/outrider-mesh/outrider/inject"
)

func apiReachable(f *Facts, out *findings) {
	if f.Unreachable != "" {
		out.fail("The API server does not answer: "+f.Unreachable, "check the kubeconfig, the network and the VPN", "kubectl version")
		return
	}
	out.pass("The API server answers, version " + f.Version + ".")
}

// The oldest versions: of Kubernetes as Chart.yaml has it, of the kernel as docs/redirect.md
// has it.
var (
	oldestKubernetes = inject.Version{Major: 1, Minor: 25}
	oldestNative     = inject.Version{Major: 1, Minor: 29}
)

func apiVersion(f *Facts, out *findings) {
	v, err := inject.ParseVersion(f.Version)
	switch {
	case err != nil:
		out.skip("The version of the API server is unknown: " + err.Error())
	case older(v, oldestKubernetes):
		out.fail(fmt.Sprintf("The API server has version %s; the oldest that works is %d.%d.", f.Version, oldestKubernetes.Major, oldestKubernetes.Minor), "upgrade the cluster")
	default:
		out.pass("Kubernetes " + f.Version + " is supported.")
	}
}

func older(a, b inject.Version) bool {
	return a.Major < b.Major || a.Major == b.Major && a.Minor < b.Minor
}

func rights(f *Facts, out *findings) {
	var names []string
	for r, why := range f.Unread {
		names = append(names, fmt.Sprintf("%s: %s", r, why))
	}
	if len(names) == 0 {
		out.pass("Everything that the checks read is readable.")
		return
	}
	slices.Sort(names)
	out.warn("Some resources could not be read, and the checks that need them are skipped.", "run the checks as an administrator of the cluster")
	out.detail(names...)
}

// maxSkew is how far clocks may differ. Certificates are issued with a validity that begins
// an hour earlier; renewals and Leases depend on less.
const maxSkew = 30 * time.Second

func clock(f *Facts, out *findings) {
	if f.ServerTime.IsZero() {
		out.skip("The time of the API server is unknown.")
		return
	}
	if d := f.Now.Sub(f.ServerTime); d.Abs() > maxSkew {
		out.warn(fmt.Sprintf("The clock of this machine differs from the API server's by %s.", d.Round(time.Second)), "synchronize the clocks; the ages that commands print are wrong by as much")
	}
	if !f.unread(out, NodeLeases) {
		f.nodeClocks(out)
	}
	if len(out.results) == 0 {
		out.pass("The clocks of the nodes and of the API server agree.")
	}
}

// nodeClocks compares the clocks of nodes: a kubelet renews its Lease with its own time. An
// old one shows only that the kubelet is gone.
func (f *Facts) nodeClocks(out *findings) {
	var ahead []string
	for _, l := range f.NodeLeases {
		if l.Spec.RenewTime == nil {
			continue
		}
		if d := l.Spec.RenewTime.Sub(f.ServerTime); d > maxSkew {
			ahead = append(ahead, fmt.Sprintf("node %s: %s ahead", l.Name, d.Round(time.Second)))
		}
	}
	if len(ahead) > 0 {
		out.fail("The clocks of nodes are ahead of the API server's: their pods do not accept new certificates, or accept expired ones.",
			"synchronize the clocks of the nodes (chrony, systemd-timesyncd)")
		out.detail(firsts(ahead)...)
	}
}

// maxListed bounds the details of a result.
const maxListed = 10

// firsts are the first details, with the number of the others.
func firsts(all []string) []string {
	if len(all) <= maxListed {
		return all
	}
	return append(slices.Clone(all[:maxListed]), fmt.Sprintf("and %d more", len(all)-maxListed))
}

func linuxNodes(f *Facts, out *findings) {
	if f.unread(out, Nodes) {
		return
	}
	linux := slices.ContainsFunc(f.Nodes, func(n corev1.Node) bool { return n.Labels[corev1.LabelOSStable] == "linux" })
	windows := slices.ContainsFunc(f.Nodes, func(n corev1.Node) bool { return n.Labels[corev1.LabelOSStable] == "windows" })
	switch {
	case !linux && len(f.Nodes) > 0:
		out.fail("No node runs Linux, which injected pods require.", "add a node pool with Linux")
	case windows:
		out.pass("Some nodes run Windows: pods that select them are not injected.")
	default:
		out.pass("The nodes run Linux.")
	}
}

var kernelVersion = regexp.MustCompile(`^(\d+)\.(\d+)`)

// kernel checks the version of the kernels. Modules that are not loaded do not show.
func kernel(f *Facts, out *findings) {
	if f.unread(out, Nodes) {
		return
	}
	var old []string
	for i := range f.Nodes {
		n := &f.Nodes[i]
		m := kernelVersion.FindStringSubmatch(n.Status.NodeInfo.KernelVersion)
		if m == nil || n.Labels[corev1.LabelOSStable] != "linux" {
			continue
		}
		major, _ := strconv.Atoi(m[1])
		minor, _ := strconv.Atoi(m[2])
		if major < 5 || major == 5 && minor < 2 {
			old = append(old, fmt.Sprintf("node %s: %s", n.Name, n.Status.NodeInfo.KernelVersion))
		}
	}
	if len(old) > 0 {
		out.fail("Kernels are older than 5.2: istio-init cannot install its rules on these nodes.", "upgrade the operating system of the nodes, or keep injected pods off them by a node selector")
		out.detail(firsts(old)...)
		return
	}
	out.pass("The kernels have version 5.2 or newer.")
}

// kubelets checks that native sidecars work on all nodes.
func kubelets(f *Facts, out *findings) {
	if f.unread(out, Nodes) {
		return
	}
	api, err := inject.ParseVersion(f.Version)
	if err != nil || older(api, oldestNative) {
		out.pass("The sidecar is an ordinary container: the API server has no native sidecars.")
		return
	}
	var old []string
	for i := range f.Nodes {
		v, err := inject.ParseVersion(f.Nodes[i].Status.NodeInfo.KubeletVersion)
		if err == nil && older(v, oldestNative) {
			old = append(old, fmt.Sprintf("node %s: %s", f.Nodes[i].Name, f.Nodes[i].Status.NodeInfo.KubeletVersion))
		}
	}
	if len(old) > 0 {
		out.fail("Kubelets are older than 1.29, which has no native sidecars; pods on these nodes never start.",
			`upgrade the nodes, or set pilot.env.ENABLE_NATIVE_SIDECARS: "false" in the values`)
		out.detail(firsts(old)...)
		return
	}
	out.pass("The kubelets have native sidecars.")
}

// nameServers checks the cluster's DNS, which sidecars resolve hosts with.
func nameServers(f *Facts, out *findings) {
	if f.unread(out, System) {
		return
	}
	if len(f.NameServers) == 0 {
		out.skip("No Service with the label k8s-app=kube-dns: the DNS of the cluster is unknown.")
		return
	}
	for _, s := range f.NameServers {
		if s.Ready == 0 {
			out.fail(fmt.Sprintf("Service kube-system/%s has no ready endpoints: sidecars resolve neither the control plane nor external hosts.", s.Name),
				"start the pods of the DNS", "kubectl -n kube-system get pods -l k8s-app=kube-dns")
		}
	}
	if len(out.results) == 0 {
		out.pass("The DNS of the cluster has ready endpoints.")
	}
}
