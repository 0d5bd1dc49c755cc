package cluster

import (
	"path/filepath"

	"github.com/outrider-mesh/outrider/test/cluster/node"
)

// world is started in a network namespace of its own below the node's. A new
// start would lose that namespace's link to the node, so it is not started
// again.
func (c *Cluster) world() node.Daemon {
	return node.Daemon{Name: "world", Once: true, Args: []string{"unshare", "--net", "--", c.bin("world"), "-ca", c.WorldCA()}}
}

// storage is what the API server and the pods are kept by.
func (c *Cluster) storage() []node.Daemon {
	return []node.Daemon{
		{Name: "etcd", Args: []string{c.bin("etcd"), "--data-dir", "/var/lib/etcd", "--unsafe-no-fsync", "--log-level", "warn",
			"--listen-client-urls", etcdURL, "--advertise-client-urls", etcdURL,
			"--listen-peer-urls", "http://127.0.0.1:2380", "--initial-advertise-peer-urls", "http://127.0.0.1:2380",
			"--initial-cluster", "default=http://127.0.0.1:2380"}},
		{Name: "containerd", Args: []string{c.bin("containerd"), "--config", filepath.Join(c.Dir, "config/containerd.toml")},
			Env: []string{"PATH=" + filepath.Join(c.Dir, "bin") + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}},
	}
}

const etcdURL = "http://127.0.0.1:2379"

func (c *Cluster) apiServer(s settings) node.Daemon {
	pki := filepath.Join(c.Dir, "pki") + "/"
	issuer := "https://kubernetes.default.svc." + domain
	return node.Daemon{Name: "kube-apiserver", Args: []string{c.bin("kube-apiserver"),
		"--etcd-servers", etcdURL, "--advertise-address", nodeIPv4, "--secure-port", apiPort,
		"--service-cluster-ip-range", s.Services, "--allow-privileged",
		"--authorization-mode", "Node,RBAC", "--enable-admission-plugins", "NodeRestriction",
		"--client-ca-file", pki + "ca.crt", "--tls-cert-file", pki + "kube-apiserver.crt", "--tls-private-key-file", pki + "kube-apiserver.key",
		"--kubelet-preferred-address-types", "InternalIP",
		"--kubelet-client-certificate", pki + "apiserver-kubelet-client.crt", "--kubelet-client-key", pki + "apiserver-kubelet-client.key",
		"--service-account-issuer", issuer, "--service-account-key-file", pki + "sa.pub", "--service-account-signing-key-file", pki + "sa.key",
	}}
}

// controllers are the clients of the API server that make pods out of objects.
func (c *Cluster) controllers(s settings) []node.Daemon {
	pki := filepath.Join(c.Dir, "pki") + "/"
	kubeconfigs := func(name string) []string {
		path := pki + name + ".kubeconfig"
		return []string{"--kubeconfig", path, "--authentication-kubeconfig", path, "--authorization-kubeconfig", path,
			"--bind-address", "127.0.0.1", "--leader-elect=false"}
	}
	return []node.Daemon{
		{Name: "kube-controller-manager", Args: append([]string{c.bin("kube-controller-manager"),
			"--allocate-node-cidrs", "--cluster-cidr", s.Pods, "--service-cluster-ip-range", s.Services,
			"--use-service-account-credentials", "--service-account-private-key-file", pki + "sa.key", "--root-ca-file", pki + "ca.crt",
			"--cluster-signing-cert-file", pki + "ca.crt", "--cluster-signing-key-file", pki + "ca.key",
			// The one node's heartbeats stop with the API server, which a test stops
			// for a minute. Taken for lost, the node would take DNS with it.
			"--node-monitor-grace-period", "5m"},
			kubeconfigs("kube-controller-manager")...)},
		{Name: "kube-scheduler", Args: append([]string{c.bin("kube-scheduler")}, kubeconfigs("kube-scheduler")...)},
	}
}

// nodeDaemons are what makes pods run.
func (c *Cluster) nodeDaemons(s settings) []node.Daemon {
	return []node.Daemon{
		{Name: "kubelet", Args: []string{c.bin("kubelet"), "--config", filepath.Join(c.Dir, "config/kubelet.yaml"),
			"--kubeconfig", filepath.Join(c.Dir, "pki/kubelet.kubeconfig"), "--hostname-override", nodeName, "--node-ip", s.NodeIPs}},
		{Name: "kube-proxy", Args: []string{c.bin("kube-proxy"), "--config", filepath.Join(c.Dir, "config/kube-proxy.yaml")}},
	}
}
