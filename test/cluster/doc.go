// Package cluster gives tests and the demo a real Kubernetes cluster of one
// node: etcd, API server, controller manager, scheduler, containerd, kubelet,
// kube-proxy and CoreDNS, with the internet of package world behind it. It
// needs root on Linux, and no container engine, registry or other machine.
//
// [Up] builds the programs from the modules that test/cluster/tools and
// test/kube/tools pin, once, into the user's cache, and installs the Debian
// packages that are missing. [Cluster.Down] leaves no process, namespace, mount,
// cgroup or file, and returns an error where it failed.
//
// What a caller may assume:
//
//   - a cluster is known by its name, and clusters of different names do not
//     share anything but the machine and the cached programs;
//   - the node has PID, mount, network and UTS namespaces of its own, and its
//     processes are in them; the host's interfaces, routes, rules and kernel
//     settings stay as they are;
//   - the kubeconfig works in the host's network: it names a free port of the
//     loopback interface, from where connections are handed to the API server;
//   - pods have IPv4 and IPv6 addresses, and Services IPv4 unless they ask for
//     more, where the kernel has IPv6; else all is IPv4;
//   - pods reach the names of package world and nothing else, and the internet sees
//     the pods' own addresses;
//   - kube-system has the ConfigMaps kubeadm-config and kube-proxy that a
//     kubeadm cluster has, with the settings of this one;
//   - images are those that were loaded; none is ever pulled.
package cluster
