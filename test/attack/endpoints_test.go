package attack

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/outrider-mesh/outrider/test/kit"
)

// writtenEndpoints: one namespace has Services whose endpoints, or addresses, are
// written by hand and outside the cluster. They open those addresses to nobody else.
func writtenEndpoints(t *testing.T, b *battery) {
	const ns, outside = "written", "203.0.113.50" // *.example.com
	b.namespace(t, ns, false)
	closed := func() {
		t.Helper()
		for _, url := range []string{"http://" + outside + "/", "https://" + outside + "/", "http://undeclared.example.com/", "http://" + outside + ":8080/"} {
			if got := b.neighbor.get(t, url, "host", "undeclared.example.com"); strings.HasPrefix(got, "200 ") {
				t.Errorf("%s: %.200s", url, got)
			}
		}
	}
	closed()
	ports := []corev1.ServicePort{{Name: "http", Port: 80}, {Name: "tls", Port: 443}, {Name: "other", Port: 8080, TargetPort: intstr.FromInt32(80)}}
	for name, spec := range map[string]corev1.ServiceSpec{
		"headless":  {ClusterIP: corev1.ClusterIPNone, Ports: ports},
		"address":   {Ports: ports},
		"external":  {Ports: ports, ExternalIPs: []string{outside}},
		"balancer":  {Ports: ports, Type: corev1.ServiceTypeLoadBalancer, LoadBalancerIP: outside},
		"name":      {Ports: ports, Type: corev1.ServiceTypeExternalName, ExternalName: "undeclared.example.com"},
		"selecting": {ClusterIP: corev1.ClusterIPNone, Ports: ports, Selector: map[string]string{"app": "none"}},
	} {
		s, err := b.kube.CoreV1().Services(ns).Create(ended, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: spec}, metav1.CreateOptions{})
		if err != nil {
			t.Logf("%s: the API server denies it: %v", name, err)
			continue
		}
		if name == "balancer" {
			s.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: outside}}
			_, err := b.kube.CoreV1().Services(ns).UpdateStatus(ended, s, metav1.UpdateOptions{})
			kit.Must(t, err)
		}
		slice := &discoveryv1.EndpointSlice{
			ObjectMeta:  metav1.ObjectMeta{Name: name, Labels: map[string]string{discoveryv1.LabelServiceName: name, discoveryv1.LabelManagedBy: "endpointslice-controller.k8s.io"}},
			AddressType: discoveryv1.AddressTypeIPv4, Endpoints: []discoveryv1.Endpoint{{Addresses: []string{outside}, NodeName: new(string), TargetRef: &corev1.ObjectReference{Kind: "Pod", Name: "p", Namespace: ns}}},
		}
		*slice.Endpoints[0].NodeName = "node1"
		for _, p := range ports {
			slice.Ports = append(slice.Ports, discoveryv1.EndpointPort{Name: &p.Name, Port: &p.Port})
		}
		_, err = b.kube.DiscoveryV1().EndpointSlices(ns).Create(ended, slice, metav1.CreateOptions{})
		kit.Must(t, err)
		time.Sleep(time.Second)
		closed()
		if t.Failed() {
			t.Fatalf("by the Service %s", name)
		}
	}
	b.neighbor.goesOn(t, 2)
}
