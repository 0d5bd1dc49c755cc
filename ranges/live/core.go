package live

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// pageSize keeps one answer of pods, at some 2 KB each, near 1 MB.
const pageSize = 500

// pages lists page by page, and returns the version of the list, from which a
// watch can go on.
func pages[L metav1.ListInterface](ctx context.Context, list func(context.Context, metav1.ListOptions) (L, error), each func(L)) (version string, err error) {
	o := metav1.ListOptions{Limit: pageSize}
	for {
		page, err := list(ctx, o)
		switch {
		case apierrors.IsResourceExpired(err) && o.Continue != "":
			o = metav1.ListOptions{} // the list is too old to go on with: all of it, at once
			continue
		case err != nil:
			return "", err
		}
		each(page)
		if o.Continue = page.GetContinue(); o.Continue == "" {
			return page.GetResourceVersion(), nil
		}
	}
}

// nodeArguments are the annotations that k3s and RKE2 keep their arguments in.
var nodeArguments = []string{"k3s.io/node-args", "rke2.io/node-args"}

// slimNode is the part of a node that shows ranges and platform.
func slimNode(n *corev1.Node) *corev1.Node {
	out := &corev1.Node{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Node"}}
	out.Name, out.Labels = n.Name, n.Labels
	for _, name := range nodeArguments {
		if v, ok := n.Annotations[name]; ok {
			metav1.SetMetaDataAnnotation(&out.ObjectMeta, name, v)
		}
	}
	out.Spec.PodCIDR, out.Spec.PodCIDRs, out.Spec.ProviderID = n.Spec.PodCIDR, n.Spec.PodCIDRs, n.Spec.ProviderID
	info := n.Status.NodeInfo
	out.Status.NodeInfo = corev1.NodeSystemInfo{KubeletVersion: info.KubeletVersion, OSImage: info.OSImage}
	return out
}

func (g *gathering) nodes(ctx context.Context) {
	nodes := map[string]*corev1.Node{}
	api := g.cluster.typed.CoreV1().Nodes()
	version, err := pages(ctx, api.List, func(l *corev1.NodeList) {
		for i := range l.Items {
			n := slimNode(&l.Items[i])
			nodes[n.Name] = n
		}
	})
	if !g.record("nodes", err) {
		return
	}
	w := watched{name: "nodes", version: version, open: api.Watch, seen: map[string]string{}}
	for _, name := range sortedNames(nodes) {
		g.document("node/"+name, nodes[name])
		w.seen[name] = fingerprint(nodes[name])
	}
	g.watches = append(g.watches, w)
}

func sortedNames[T any](m map[string]T) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// pods reads the addresses of all pods, and the flags of those of the control
// plane. Where only kube-system may be read, it has the latter.
func (g *gathering) pods(ctx context.Context) {
	var addresses []corev1.PodList
	whole := map[string]*corev1.Pod{}
	each := func(l *corev1.PodList) {
		page := corev1.PodList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PodList"}}
		for i := range l.Items {
			p := &l.Items[i]
			if relevant(p) {
				whole[p.Name] = slimPod(p, true)
			} else if p.Status.PodIP != "" {
				page.Items = append(page.Items, *slimPod(p, false))
			}
		}
		addresses = append(addresses, page)
	}
	for _, namespace := range []string{metav1.NamespaceAll, metav1.NamespaceSystem} {
		addresses, whole = nil, map[string]*corev1.Pod{}
		name := "pods"
		if namespace != "" {
			name += " in " + namespace
		}
		_, err := pages(ctx, g.cluster.typed.CoreV1().Pods(namespace).List, each)
		if g.record(name, err) || statusOf(err) != Forbidden {
			break
		}
	}
	for _, name := range sortedNames(whole) {
		g.document("pod/"+name, whole[name])
	}
	for i := range addresses {
		g.document("pods", addresses[i])
	}
}

// relevant reports whether a pod's flags are used as evidence: the control plane's programs, and
// what gives pods their addresses.
func relevant(p *corev1.Pod) bool {
	if p.Namespace != metav1.NamespaceSystem {
		return false
	}
	switch p.Labels["component"] {
	case "kube-apiserver", "kube-controller-manager", "kube-proxy", "cloud-controller-manager":
		return true
	}
	for _, prefix := range []string{"kube-apiserver", "kube-controller-manager", "kube-proxy", "aws-node", "cloud-controller-manager"} {
		if strings.HasPrefix(p.Name, prefix) {
			return true
		}
	}
	return false
}

func slimPod(p *corev1.Pod, containers bool) *corev1.Pod {
	out := &corev1.Pod{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}}
	out.Namespace, out.Name = p.Namespace, p.Name
	out.Spec.HostNetwork = p.Spec.HostNetwork
	out.Status = corev1.PodStatus{
		Phase: p.Status.Phase, PodIP: p.Status.PodIP, PodIPs: p.Status.PodIPs, HostIP: p.Status.HostIP, HostIPs: p.Status.HostIPs,
	}
	if containers {
		for _, c := range p.Spec.Containers {
			out.Spec.Containers = append(out.Spec.Containers, corev1.Container{Name: c.Name, Command: c.Command, Args: c.Args})
		}
	}
	return out
}

// services reads the addresses of all Services, or else of the two that every
// cluster has.
func (g *gathering) services(ctx context.Context) {
	var lists []corev1.ServiceList
	_, err := pages(ctx, g.cluster.typed.CoreV1().Services(metav1.NamespaceAll).List, func(l *corev1.ServiceList) {
		page := corev1.ServiceList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ServiceList"}}
		for i := range l.Items {
			page.Items = append(page.Items, *slimService(&l.Items[i]))
		}
		lists = append(lists, page)
	})
	if g.record("services", err) {
		for i := range lists {
			g.document("services", lists[i])
		}
	} else if statusOf(err) == Forbidden {
		for _, s := range []struct{ namespace, name string }{{metav1.NamespaceDefault, "kubernetes"}, {metav1.NamespaceSystem, "kube-dns"}} {
			one, err := g.cluster.typed.CoreV1().Services(s.namespace).Get(ctx, s.name, metav1.GetOptions{})
			if g.record("service "+s.namespace+"/"+s.name, err) {
				g.document("service/"+s.name, slimService(one))
			}
		}
	}
	g.apiServer(ctx)
}

// apiServer reads where the API server is behind its Service.
func (g *gathering) apiServer(ctx context.Context) {
	list, err := g.cluster.typed.DiscoveryV1().EndpointSlices(metav1.NamespaceDefault).List(ctx, metav1.ListOptions{
		LabelSelector: discoveryv1.LabelServiceName + "=kubernetes"})
	if !g.record("endpointslices in default", err) {
		return
	}
	for i := range list.Items {
		slice := &list.Items[i]
		slice.TypeMeta = metav1.TypeMeta{APIVersion: "discovery.k8s.io/v1", Kind: "EndpointSlice"}
		slice.ManagedFields = nil
		g.document("endpointslice/"+slice.Name, slice)
	}
}

func slimService(s *corev1.Service) *corev1.Service {
	out := &corev1.Service{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Service"}}
	out.Namespace, out.Name = s.Namespace, s.Name
	if app, ok := s.Labels["k8s-app"]; ok {
		out.Labels = map[string]string{"k8s-app": app}
	}
	out.Spec = corev1.ServiceSpec{Type: s.Spec.Type, ClusterIP: s.Spec.ClusterIP, ClusterIPs: s.Spec.ClusterIPs}
	return out
}

// probeAddresses are in no cluster's range of Services: resolvers of the Internet,
// and the documentation's range.
var probeAddresses = []struct {
	family  corev1.IPFamily
	address string
}{{corev1.IPv4Protocol, "1.1.1.1"}, {corev1.IPv6Protocol, "2001:db8::1"}}

// probe asks for a Service with an address that the API server must reject; its
// error names a range. It is a dry run: nothing is created.
func (g *gathering) probe(ctx context.Context) {
	for _, p := range probeAddresses {
		name := fmt.Sprintf("services create, dry run, %s", p.family)
		service := &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Name: "outrider-ranges-probe"},
			Spec: corev1.ServiceSpec{ClusterIP: p.address, IPFamilies: []corev1.IPFamily{p.family},
				Ports: []corev1.ServicePort{{Port: 443}}},
		}
		_, err := g.cluster.typed.CoreV1().Services(metav1.NamespaceDefault).Create(ctx, service, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		var invalid *apierrors.StatusError
		if !errors.As(err, &invalid) || !apierrors.IsInvalid(err) {
			g.record(name, err)
			continue
		}
		g.record(name, nil)
		if strings.Contains(invalid.ErrStatus.Message, "range of valid IPs") {
			g.document("services create, dry run", metav1.Status{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"},
				Status: metav1.StatusFailure, Message: invalid.ErrStatus.Message})
		}
	}
}

// configMapNames are those that installers and network plugins leave.
var configMapNames = []struct{ namespace, name string }{
	{metav1.NamespaceSystem, "kubeadm-config"},
	{metav1.NamespaceSystem, "kube-proxy"},
	{metav1.NamespaceSystem, "cilium-config"},
	{"kube-flannel", "kube-flannel-cfg"},
	{metav1.NamespaceSystem, "kube-flannel-cfg"},
}

func (g *gathering) configMaps(ctx context.Context) {
	for _, c := range configMapNames {
		m, err := g.cluster.typed.CoreV1().ConfigMaps(c.namespace).Get(ctx, c.name, metav1.GetOptions{})
		if !g.record("configmap "+c.namespace+"/"+c.name, err) {
			continue
		}
		m.TypeMeta, m.ManagedFields = metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"}, nil
		g.document("configmap/"+c.name, m)
	}
}
