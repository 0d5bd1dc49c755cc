package cluster

import (
	"embed"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	"github.com/outrider-mesh/outrider/test/cluster/image"
	"github.com/outrider-mesh/outrider/test/cluster/node"
)

// The addresses of a cluster. Clusters may have the same ones: each is in
// namespaces of its own.
const (
	domain = "cluster.local"

	nodeIPv4, worldIPv4 = "192.0.2.10", "192.0.2.1"
	nodeIPv6, worldIPv6 = "2001:db8:2::10", "2001:db8:2::1"

	podsIPv4, podsIPv6         = "10.244.0.0/16", "fd00:10:244::/56"
	nodePodsIPv4, nodePodsIPv6 = "10.244.0.0/24", "fd00:10:244::/64" // the first range that each is split into
	servicesIPv4, servicesIPv6 = "10.96.0.0/12", "fd00:10:96::/112"
	apiServiceIP               = "10.96.0.1"
	dnsServiceIP               = "10.96.0.10"

	apiPort = "6443"
	inNode  = "https://127.0.0.1:" + apiPort
)

// settings are what the configuration files and the command lines are made of.
type settings struct {
	Name, Dir, Node, Cgroup, Version, Domain, DNS string
	Pods, Services, NodeIPs                       string // one per family, comma-separated
	NodePods4, NodePods6                          string // NodePods6 is empty without IPv6
	PauseRef, CoreDNSRef                          string
	KubeProxy                                     string // the file kube-proxy.yaml
	KubeletSync                                   string // empty for the default
}

func (c *Cluster) settings(a assets) settings {
	s := settings{
		Name: c.Name, Dir: c.Dir, Node: nodeName, Cgroup: c.cgroup(), Version: a.kubernetes,
		Domain: domain, DNS: dnsServiceIP,
		Pods: podsIPv4, Services: servicesIPv4, NodeIPs: nodeIPv4, NodePods4: nodePodsIPv4,
		PauseRef: image.PauseRef, CoreDNSRef: "localhost/coredns:" + a.coreDNS,
	}
	if c.kubeletSync > 0 {
		s.KubeletSync = c.kubeletSync.String()
	}
	if ipv6() && !c.ipv4 {
		s.Pods += "," + podsIPv6
		s.Services += "," + servicesIPv6
		s.NodeIPs += "," + nodeIPv6
		s.NodePods6 = nodePodsIPv6
	}
	return s
}

// ipv6 reports whether the kernel has IPv6.
func ipv6() bool {
	_, err := os.Stat("/proc/net/if_inet6")
	return err == nil
}

//go:embed config
var configs embed.FS

// render fills in one of the embedded configuration files.
func (s settings) render(name string) (string, error) {
	t, err := template.New(name).Funcs(template.FuncMap{
		"indent": func(text string) string {
			return "    " + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n    ")
		},
	}).ParseFS(configs, "config/"+name)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	if err := t.Execute(&b, s); err != nil {
		return "", err
	}
	return b.String(), nil
}

// configure writes the configuration files, keys and certificates; api is the
// address that the API server has in the host's network.
func (c *Cluster) configure(s *settings, api net.Addr) error {
	var err error
	if s.KubeProxy, err = s.render("kube-proxy.yaml"); err != nil {
		return err
	}
	dir := filepath.Join(c.Dir, "config")
	for _, f := range []struct{ template, file string }{
		{"containerd.toml", "containerd.toml"},
		{"cni.conflist", "cni/10-pods.conflist"},
		{"kubelet.yaml", "kubelet.yaml"},
		{"kube-proxy.yaml", "kube-proxy.yaml"},
		{"cluster.yaml", "cluster.yaml"},
	} {
		text, err := s.render(f.template)
		if err != nil {
			return fmt.Errorf("write %s: %w", f.file, err)
		}
		if err := os.WriteFile(filepath.Join(dir, f.file), []byte(text), 0o644); err != nil {
			return err
		}
	}
	resolv := "nameserver " + worldIPv4 + "\n"
	if err := os.WriteFile(filepath.Join(c.Dir, node.ResolvConf), []byte(resolv), 0o644); err != nil {
		return err
	}
	return c.certify("https://" + api.String())
}

// certify issues the certificates and the kubeconfigs.
func (c *Cluster) certify(api string) error {
	pki := filepath.Join(c.Dir, "pki")
	ca, err := newAuthority(pki)
	if err != nil {
		return err
	}
	names := []string{"localhost", nodeName, "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc." + domain}
	var addresses []net.IP
	for _, a := range []string{"127.0.0.1", "::1", nodeIPv4, nodeIPv6, apiServiceIP} {
		addresses = append(addresses, netip.MustParseAddr(a).AsSlice())
	}
	if err := ca.server("kube-apiserver", names, addresses); err != nil {
		return err
	}
	for _, u := range []struct{ file, user, group, server string }{
		{"admin", "kubernetes-admin", "system:masters", api},
		{"apiserver-kubelet-client", "kube-apiserver-kubelet-client", "system:masters", inNode},
		{"kube-controller-manager", "system:kube-controller-manager", "", inNode},
		{"kube-scheduler", "system:kube-scheduler", "", inNode},
		{"kube-proxy", "system:kube-proxy", "", inNode},
		{"kubelet", "system:node:" + nodeName, "system:nodes", inNode},
	} {
		if err := ca.client(u.file, u.user, u.group, u.server); err != nil {
			return err
		}
	}
	if err := os.Rename(filepath.Join(pki, "admin.kubeconfig"), c.Kubeconfig); err != nil {
		return err
	}
	return keyPair(filepath.Join(pki, "sa.key"), filepath.Join(pki, "sa.pub"))
}
