package live

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/outrider-mesh/outrider/ranges"
	"github.com/outrider-mesh/outrider/test/kit"
	"github.com/outrider-mesh/outrider/test/kube"
)

// everySource has a range of its own for each source, each within the one that
// ranks below it, so that addresses in use contradict none.
const everySource = `
{apiVersion: config.openshift.io/v1, kind: Network, metadata: {name: cluster}, status: {serviceNetwork: [10.0.0.0/23]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: kube-apiserver-a, namespace: kube-system, labels: {component: kube-apiserver, tier: control-plane}}, spec: {hostNetwork: true, containers: [{name: kube-apiserver, image: i, command: [kube-apiserver, --service-cluster-ip-range=10.0.0.0/22]}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: kube-controller-manager-a, namespace: kube-system, labels: {component: kube-controller-manager, tier: control-plane}}, spec: {hostNetwork: true, containers: [{name: kube-controller-manager, image: i, command: [kube-controller-manager], args: [--service-cluster-ip-range, 10.0.0.0/21, --cluster-cidr, 10.128.0.0/10]}]}}
---
{apiVersion: v1, kind: Node, metadata: {name: a, annotations: {k3s.io/node-args: '["server","--service-cidr","10.0.0.0/20","--cluster-cidr","10.128.0.0/11"]'}}, spec: {podCIDR: 10.128.0.0/24, podCIDRs: [10.128.0.0/24]}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: kube-proxy, namespace: kube-system}, data: {config.conf: "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nclusterCIDR: 10.128.0.0/12\n"}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: kubeadm-config, namespace: kube-system}, data: {ClusterConfiguration: "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\nnetworking: {serviceSubnet: 10.0.0.0/19, podSubnet: 10.128.0.0/13}\n"}}
---
{apiVersion: crd.projectcalico.org/v1, kind: IPPool, metadata: {name: a}, spec: {cidr: 10.128.0.0/9}}
---
{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: default}, spec: {containers: [{name: a, image: i}]}, status: {phase: Running, podIP: 10.128.0.7, podIPs: [{ip: 10.128.0.7}], hostIP: 192.0.2.4}}
`

// Each source in order of precedence, after those before it are removed: by
// RBAC (403), by a missing API (404), or by deletion of the objects.
func TestSourcePrecedence(t *testing.T) {
	for _, status := range []int{403, 404} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			server := kube.Require(t)
			t.Cleanup(func() { gone(t, server) })
			a := newApplier(t, server.Config)
			a.apply(definition("config.openshift.io", "v1", "Network", "networks", "Cluster"))
			a.keep(definition("crd.projectcalico.org", "v1", "IPPool", "ippools", "Cluster"), systemAccount)
			a.apply(everySource)
			s := newStub(t, server.Config)
			deny := func(expression string) func() { return func() { s.answer(expression, status) } }
			remove := func(name string) func() {
				return func() {
					err := server.Client.CoreV1().Pods("kube-system").Delete(context.Background(), name, metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))})
					if err != nil {
						t.Fatal(err)
					}
				}
			}
			for _, step := range []struct {
				name               string
				do                 func()
				service, pod       string
				serviceOf, podFrom string
			}{
				{"all", func() {}, "10.0.0.0/24", "10.128.0.0/9", "ServiceCIDR", "Calico IPPool"},
				{"no ServiceCIDRs", deny("servicecidrs"), "10.0.0.0/23", "10.128.0.0/9", "OpenShift Network, status", "Calico IPPool"},
				{"no Network, no pools", func() { deny("networks/cluster")(); deny("ippools")() }, "10.0.0.0/22", "10.128.0.0/10",
					"kube-apiserver --service-cluster-ip-range", "kube-controller-manager --cluster-cidr"},
				{"no API server's pod", remove("kube-apiserver-a"), "10.0.0.0/21", "10.128.0.0/10",
					"kube-controller-manager --service-cluster-ip-range", "kube-controller-manager --cluster-cidr"},
				{"no pods", deny("/pods"), "10.0.0.0/20", "10.128.0.0/11", "k3s node-args --service-cidr", "k3s node-args --cluster-cidr"},
				{"no nodes", deny("/nodes"), "10.0.0.0/19", "10.128.0.0/12", "kubeadm ClusterConfiguration", "kube-proxy clusterCIDR"},
				{"no kube-proxy", deny("configmaps/kube-proxy"), "10.0.0.0/19", "10.128.0.0/13", "kubeadm ClusterConfiguration", "kubeadm ClusterConfiguration"},
				{"no kubeadm-config", deny("configmaps/kubeadm-config"), "10.0.0.0/24", "", "API server's error for an invalid clusterIP", ""},
				{"nothing but the version", func() { deny("POST .*services")(); deny("/services")() }, "", "", "", ""},
			} {
				step.do()
				snapshot, r := gather(t, s.Config, Options{Probe: true})
				if r.Service.OnlyV4().String() != step.service || r.Pod.String() != step.pod {
					t.Errorf("%s: services %s, pods %s; want %s, %s\n%s", step.name, r.Service, r.Pod, step.service, step.pod, r.JSON())
				}
				for kind, want := range map[ranges.Kind]string{ranges.Service: step.serviceOf, ranges.Pod: step.podFrom} {
					if got := usedSources(r, kind); got != want {
						t.Errorf("%s: %s ranges from %q, want %q", step.name, kind, got, want)
					}
				}
				if named := strings.Join(snapshot.Forbidden(), " "); status == 403 && step.name != "all" && !strings.Contains(named, "servicecidrs.networking.k8s.io") {
					t.Errorf("%s: forbidden: %s", step.name, named)
				}
			}
		})
	}
}

func usedSources(r ranges.Result, kind ranges.Kind) string {
	var out []string
	for _, e := range r.Evidence {
		if e.Kind == kind && e.Status == ranges.Used && !slices.Contains(out, e.Source) {
			out = append(out, e.Source)
		}
	}
	return strings.Join(out, ", ")
}

// Services of a second ServiceCIDR, of both families, and of one that is going.
func TestServiceCIDRs(t *testing.T) {
	kube.Require(t) // fails with the reason where there is none
	server, err := kube.Start(t.Context(), kube.Options{APIServerFlags: map[string][]string{"service-cluster-ip-range": {"10.96.0.0/24,fd00:10:96::/112"}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	_, r := gather(t, server.Config, Options{})
	if r.Service.String() != "10.96.0.0/24,fd00:10:96::/112" {
		t.Errorf("both families: %s", r.Service)
	}
	a := newApplier(t, server.Config)
	a.apply(`{apiVersion: networking.k8s.io/v1, kind: ServiceCIDR, metadata: {name: more}, spec: {cidrs: [10.200.0.0/24]}}`)
	_, r = gather(t, server.Config, Options{})
	if r.Service.String() != "10.96.0.0/24,10.200.0.0/24,fd00:10:96::/112" {
		t.Errorf("a second one: %s", r.Service)
	}
	// A kubeadm-config that is stale: an address in use is outside.
	ip := "10.200.0.9"
	kit.Eventually(t, "the API server gives addresses of the second range", func() error {
		_, err := server.Client.CoreV1().Services("default").Create(t.Context(), &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Name: "web"}, Spec: corev1.ServiceSpec{ClusterIP: ip, Ports: []corev1.ServicePort{{Port: 80}}},
		}, metav1.CreateOptions{})
		return err
	})
	a.apply(`{apiVersion: v1, kind: ConfigMap, metadata: {name: kubeadm-config, namespace: kube-system}, data: {ClusterConfiguration: "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\nnetworking: {serviceSubnet: \"10.96.0.0/24,fd00:10:96::/112\"}\n"}}`)
	s := newStub(t, server.Config)
	s.answer("servicecidrs", 403)
	_, r = gather(t, s.Config, Options{})
	if !slices.Contains(r.Incomplete, ranges.Service) && !slices.Contains(r.Undetermined, ranges.Service) || r.Service.OnlyV4().String() != "" {
		t.Errorf("a stale kubeadm-config was believed: %s", r.JSON())
	}
	if w := strings.Join(r.Warnings, "\n"); !strings.Contains(w, "ignored: 10.200.0.9 of Service default/web is outside") {
		t.Errorf("warnings %q", w)
	}
	// Where the Services may not be listed, the two that every cluster has count.
	s.answer("GET /api/v1/services", 403)
	snapshot, r := gather(t, s.Config, Options{})
	if r.Service.OnlyV4().String() != "10.96.0.0/24" || len(snapshot.Data.ClusterIP) != 1 {
		t.Errorf("services %s, addresses %v", r.Service, snapshot.Data.ClusterIP)
	}
	// A list that omits what is in use.
	if w := snapshot.Data.Omitted(r.Pod.Union(mustRanges("10.200.0.0/24"))); !strings.Contains(w, "such as 10.96.0.1 of Service default/kubernetes") {
		t.Errorf("warnings %q", w)
	}
}

// A failure that is neither 403 nor 404 fails the reading: otherwise a weaker
// source would replace a better one.
func TestServerErrorFailsReading(t *testing.T) {
	server := kube.Require(t)
	s := newStub(t, server.Config)
	s.answer("servicecidrs", 503)
	c, err := New(s.Config, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Gather(t.Context()); err == nil || !strings.Contains(err.Error(), "servicecidrs.networking.k8s.io: ") {
		t.Errorf("error %v", err)
	}
	s.answer("servicecidrs", 0)
	if _, err := c.Gather(t.Context()); err != nil {
		t.Error(err)
	}
}
