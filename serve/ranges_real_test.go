package serve

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

const includeCluster = "global:\n  proxy:\n    includeIPRanges: cluster,169.254.169.254/32\n"

// node makes a node with a slice of its cluster's range of pods; a mark of AKS
// allows the platform's default for the complete range.
func (i *instance) node(name, slice string) {
	i.t.Helper()
	nodes := i.Client.CoreV1().Nodes()
	_, err := nodes.Create(i.t.Context(), &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"kubernetes.azure.com/cluster": "c"}},
		Spec:       corev1.NodeSpec{PodCIDR: slice, PodCIDRs: []string{slice}},
	}, metav1.CreateOptions{})
	i.must(err)
	i.t.Cleanup(func() { _ = nodes.Delete(context.Background(), name, metav1.DeleteOptions{}) })
}

// redirected waits until the next pod has the include list, and returns it.
func (i *instance) redirected(ns, want string) *corev1.Pod {
	i.t.Helper()
	var pod *corev1.Pod
	i.eventually("the next pod has "+want, func() string {
		var err error
		if pod, err = i.create(ns, sleepPod("probe"), metav1.DryRunAll); err != nil {
			return err.Error()
		}
		if got := initArguments(pod); !strings.Contains(got, " -i "+want+" ") {
			return got
		}
		return ""
	})
	return pod
}

// "cluster" needs complete ranges; it follows the cluster as it grows,
// and keeps the ranges when their source is lost.
func TestClusterRangesAreFollowed(t *testing.T) {
	i := startInstance(t, includeCluster)
	ns := i.workspace()
	i.eventually("pods are denied while ranges are missing", func() string {
		_, err := i.create(ns, sleepPod("early"))
		if err == nil || !strings.Contains(err.Error(), "no valid configuration loaded") {
			return fmt.Sprint(err)
		}
		return ""
	})
	i.eventually("an event has the reason and the command", func() string {
		events, err := i.Client.EventsV1().Events(i.namespace).List(t.Context(), metav1.ListOptions{})
		i.must(err)
		for _, e := range events.Items {
			if e.Reason == "ConfigurationRejected" && strings.Contains(e.Note, `"cluster": cannot be resolved: pod ranges: `) && strings.Contains(e.Note, "provided by: kubectl") {
				return ""
			}
		}
		return fmt.Sprintf("%d events", len(events.Items))
	})

	i.node("n1", "10.244.1.0/24")
	pod := i.redirected(ns, "10.0.0.0/24,10.244.0.0/16,169.254.169.254/32")
	status := pod.Annotations["sidecar.istio.io/status"]
	for _, want := range []string{"cluster: Azure Kubernetes Service, default that addresses in use confirm (table of defaults), ServiceCIDR (ServiceCIDR/kubernetes)"} {
		if !strings.Contains(status, want) {
			t.Errorf("the status has no %q: %s", want, status)
		}
	}
	i.ready()

	// Growth shows in the next pod.
	cidrs := i.Client.NetworkingV1().ServiceCIDRs()
	start := time.Now()
	_, err := cidrs.Create(t.Context(), &networkingv1.ServiceCIDR{
		ObjectMeta: metav1.ObjectMeta{Name: "more"}, Spec: networkingv1.ServiceCIDRSpec{CIDRs: []string{"10.77.0.0/24"}},
	}, metav1.CreateOptions{})
	i.must(err)
	t.Cleanup(func() { _ = cidrs.Delete(context.Background(), "more", metav1.DeleteOptions{}) })
	i.redirected(ns, "10.0.0.0/24,10.77.0.0/24,10.244.0.0/16,169.254.169.254/32")
	t.Logf("a ServiceCIDR is in the next pod after %s", time.Since(start).Round(time.Millisecond))

	// The source is lost: the ranges stay, with a warning, also over an edit.
	_, err = i.Client.CoreV1().Nodes().Patch(t.Context(), "n1", types.MergePatchType, []byte(`{"metadata":{"labels":{"kubernetes.azure.com/cluster":null}}}`), metav1.PatchOptions{})
	i.must(err)
	i.eventually("an event reports the lost source", func() string {
		events, err := i.Client.EventsV1().Events(i.namespace).List(t.Context(), metav1.ListOptions{})
		i.must(err)
		for _, e := range events.Items {
			if e.Reason == "RangesEvidenceLost" && strings.Contains(e.Note, `source for "cluster" lost: pod ranges`) {
				return ""
			}
		}
		return fmt.Sprintf("%d events", len(events.Items))
	})
	i.setValues(strings.Replace(includeCluster, ",169.254.169.254/32", ",169.254.0.0/16", 1))
	i.redirected(ns, "10.0.0.0/24,10.77.0.0/24,10.244.0.0/16,169.254.0.0/16")
}

// An annotation that needs missing ranges denies its pod, and no other one.
func TestAnnotationWithMissingRanges(t *testing.T) {
	i := startInstance(t, excludeOne).ready()
	ns := i.workspace()
	asks := sleepPod("asks", func(p *corev1.Pod) {
		p.Annotations["traffic.sidecar.istio.io/includeOutboundIPRanges"] = "cluster"
	})
	_, err := i.create(ns, asks)
	if err == nil || !strings.Contains(err.Error(), `annotation traffic.sidecar.istio.io/includeOutboundIPRanges: "cluster": cannot be resolved: pod ranges: `) {
		t.Errorf("error %v", err)
	}
	apiServer := sleepPod("api-server", func(p *corev1.Pod) {
		p.Annotations["traffic.sidecar.istio.io/excludeOutboundIPRanges"] = "kube-apiserver,cloud-metadata"
	})
	pod, err := i.create(ns, apiServer)
	i.must(err)
	if got := initArguments(pod); !strings.Contains(got, "10.0.0.1/32") || !strings.Contains(got, "169.254.169.254/32") {
		t.Errorf("arguments %s", got)
	}
}
