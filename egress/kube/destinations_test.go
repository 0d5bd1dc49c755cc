package kube

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"sigs.k8s.io/yaml"

	"github.com/outrider-mesh/outrider/cidr"
	"github.com/outrider-mesh/outrider/egress"
)

// TestDestinations has Services and EndpointSlices, and the addresses that are
// always allowed.
func TestDestinations(t *testing.T) {
	const pod = "targetRef: {kind: Pod, name: a}"
	for _, tt := range []struct{ name, services, slices, want string }{
		{"a Service is its ClusterIPs, on every port, without its endpoints",
			`- {metadata: {namespace: shop, name: web}, spec: {clusterIP: 10.96.1.1, clusterIPs: [10.96.1.1, "fd00:10:96::1"]}}`,
			`- {metadata: {namespace: shop, name: web-x, labels: {kubernetes.io/service-name: web}}, addressType: IPv4, endpoints: [{addresses: [10.244.0.7], ` + pod + `}], ports: [{port: 8080}]}`,
			"10.96.1.1 fd00:10:96::1"},
		{"the pods of a headless Service, on every port",
			`- {metadata: {namespace: shop, name: db}, spec: {clusterIP: None, clusterIPs: [None]}}`,
			`- {metadata: {namespace: shop, name: db-x, labels: {kubernetes.io/service-name: db}}, addressType: IPv4, endpoints: [{addresses: [10.244.0.8], ` + pod + `}, {addresses: [10.244.0.9], ` + pod + `}], ports: [{port: 5432}]}
- {metadata: {namespace: shop, name: db-y, labels: {kubernetes.io/service-name: db}}, addressType: IPv6, endpoints: [{addresses: ["fd00::8"], ` + pod + `}]}`,
			"10.244.0.8 10.244.0.9 fd00::8"},
		{"addresses that were set manually, on the slice's ports",
			`- {metadata: {namespace: shop, name: legacy}, spec: {clusterIP: None, clusterIPs: [None]}}`,
			`- {metadata: {namespace: shop, name: legacy-1, labels: {kubernetes.io/service-name: legacy}}, addressType: IPv4, endpoints: [{addresses: [198.51.100.7]}], ports: [{port: 5433}, {port: 5432}, {port: 53, protocol: UDP}]}
- {metadata: {namespace: shop, name: legacy-2, labels: {kubernetes.io/service-name: legacy}}, addressType: IPv4, endpoints: [{addresses: [198.51.100.8]}]}
- {metadata: {namespace: shop, name: legacy-3, labels: {kubernetes.io/service-name: legacy}}, addressType: IPv4, endpoints: [{addresses: [198.51.100.9]}], ports: [{port: 53, protocol: UDP}]}
- {metadata: {namespace: shop, name: legacy-4, labels: {kubernetes.io/service-name: legacy}}, addressType: IPv4, endpoints: [{addresses: [198.51.100.10]}], ports: [{name: any}]}`,
			"shop/198.51.100.7:5432,5433 shop/198.51.100.10"},
		{"the endpoints of the API server, too",
			`- {metadata: {namespace: default, name: kubernetes}, spec: {clusterIP: 10.96.0.1, clusterIPs: [10.96.0.1]}}
- {metadata: {namespace: shop, name: kubernetes}, spec: {clusterIP: 10.96.0.2, clusterIPs: [10.96.0.2]}}`,
			`- {metadata: {namespace: default, name: kubernetes, labels: {kubernetes.io/service-name: kubernetes}}, addressType: IPv4, endpoints: [{addresses: [192.0.2.10]}], ports: [{port: 6443, protocol: TCP}]}
- {metadata: {namespace: shop, name: kubernetes, labels: {kubernetes.io/service-name: kubernetes}}, addressType: IPv4, endpoints: [{addresses: [192.0.2.11]}], ports: [{port: 6443}]}`,
			"10.96.0.1 shop/10.96.0.2 192.0.2.10:6443"},
		{"addresses that were set manually, in the cluster's ranges",
			`- {metadata: {namespace: shop, name: legacy}, spec: {clusterIP: None, clusterIPs: [None]}}`,
			`- {metadata: {namespace: shop, name: legacy-1, labels: {kubernetes.io/service-name: legacy}}, addressType: IPv4, endpoints: [{addresses: [10.244.0.9]}], ports: [{port: 5432}]}`,
			"10.244.0.9:5432"},
		{"what a slice says about who wrote it makes no difference",
			`- {metadata: {namespace: shop, name: db}, spec: {clusterIP: None, clusterIPs: [None], selector: {app: db}}}`,
			`- {metadata: {namespace: shop, name: db-x, labels: {kubernetes.io/service-name: db, endpointslice.kubernetes.io/managed-by: endpointslice-controller.k8s.io}, ownerReferences: [{apiVersion: v1, kind: Service, name: db, uid: x, controller: true}]}, addressType: IPv4, endpoints: [{addresses: [198.51.100.7], nodeName: n, ` + pod + `}]}
- {metadata: {namespace: shop, name: db-y, labels: {kubernetes.io/service-name: db, endpointslice.kubernetes.io/managed-by: endpointslicemirroring-controller.k8s.io}}, addressType: IPv6, endpoints: [{addresses: ["2001:db8::7"], ` + pod + `}]}
- {metadata: {namespace: shop, name: db-z, labels: {kubernetes.io/service-name: db}}, addressType: IPv6, endpoints: [{addresses: ["::ffff:198.51.100.8", "::ffff:10.244.0.8"], ` + pod + `}]}`,
			"10.244.0.8 shop/198.51.100.7 shop/198.51.100.8 shop/2001:db8::7"},
		{"the addresses of a Service's author",
			`- {metadata: {namespace: shop, name: web}, spec: {type: LoadBalancer, clusterIP: 10.96.1.1, clusterIPs: [10.96.1.1], externalIPs: [198.51.100.9], loadBalancerIP: 198.51.100.10}, status: {loadBalancer: {ingress: [{ip: 198.51.100.11}]}}}`,
			`[]`,
			"10.96.1.1"},
		{"other endpoints of the API server's Service",
			`- {metadata: {namespace: default, name: kubernetes}, spec: {clusterIP: 10.96.0.1, clusterIPs: [10.96.0.1]}}`,
			`- {metadata: {namespace: default, name: mine, labels: {kubernetes.io/service-name: kubernetes}}, addressType: IPv4, endpoints: [{addresses: [198.51.100.7]}], ports: [{port: 443}]}`,
			"10.96.0.1 default/198.51.100.7:443"},
		{"ExternalName allows nothing, whatever its endpoints",
			`- {metadata: {namespace: shop, name: out}, spec: {type: ExternalName, externalName: www.example.com, clusterIPs: [10.96.9.9]}}`,
			`- {metadata: {namespace: shop, name: out-x, labels: {kubernetes.io/service-name: out}}, addressType: FQDN, endpoints: [{addresses: [www.example.com]}], ports: [{port: 80}]}
- {metadata: {namespace: shop, name: out-y, labels: {kubernetes.io/service-name: out}}, addressType: IPv4, endpoints: [{addresses: [198.51.100.1]}], ports: [{port: 80}]}`,
			""},
		{"endpoints of no Service, and of another namespace's",
			`- {metadata: {namespace: shop, name: db}, spec: {clusterIP: None, clusterIPs: [None]}}`,
			`- {metadata: {namespace: bank, name: db-x, labels: {kubernetes.io/service-name: db}}, addressType: IPv4, endpoints: [{addresses: [10.244.0.8], ` + pod + `}]}
- {metadata: {namespace: shop, name: x}, addressType: IPv4, endpoints: [{addresses: [10.244.0.9], ` + pod + `}]}`,
			""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := reached(t, tt.services, tt.slices, clusterRanges, true); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

var clusterRanges = []string{"10.244.0.0/16", "10.96.0.0/12", "fd00::/64", "100.64.0.0/10"}

// reached is what Services and EndpointSlices open, as text, in a cluster with one
// node, 192.0.2.20.
func reached(t *testing.T, servicesText, slicesText string, ranges []string, complete bool) string {
	t.Helper()
	own, err := cidr.Parse(strings.Join(ranges, ","), cidr.Options{})
	if err != nil {
		t.Fatal(err)
	}
	nodes := map[key]addresses{{name: "n"}: readNode(&corev1.Node{Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{
		{Type: "InternalIP", Address: "192.0.2.20"}, {Type: "InternalIP", Address: "2001:db8:1::20"}, {Type: "ExternalIP", Address: "198.51.100.20"}, {Type: "Hostname", Address: "198.51.100.21"},
	}}})}
	services, endpoints := map[key]service{}, map[key]slice{}
	for _, s := range list[corev1.Service](t, servicesText) {
		services[key{s.Namespace, s.Name}] = readService(&s)
	}
	for _, s := range list[discoveryv1.EndpointSlice](t, slicesText) {
		endpoints[key{s.Namespace, s.Name}] = readSlice(&s)
	}
	return texts(destinations(services, endpoints, newOwn(own, complete, services, nodes), 100).addresses)
}

// TestRelays has Services whose ClusterIPs, node ports, or endpoints relay to
// addresses outside the cluster, and ordinary ones.
func TestRelays(t *testing.T) {
	service := func(object, spec string) string {
		namespace, name, _ := strings.Cut(object, "/")
		return "- {metadata: {namespace: " + namespace + ", name: " + name + "}, spec: {" + spec + "}}\n"
	}
	slice := func(object, service, address, rest string) string {
		namespace, name, _ := strings.Cut(object, "/")
		return "- {metadata: {namespace: " + namespace + ", name: " + name + ", labels: {kubernetes.io/service-name: " + service + "}}, addressType: IPv4, endpoints: [" + address + "], " + rest + "}\n"
	}
	const (
		web, db  = "clusterIP: 10.96.1.1, clusterIPs: [10.96.1.1]", "clusterIP: None, clusterIPs: [None]"
		out      = `{addresses: [198.51.100.7]}`
		outAsPod = `{addresses: [198.51.100.7], nodeName: n, targetRef: {kind: Pod, name: a}}`
		in       = `{addresses: [10.244.0.7], targetRef: {kind: Pod, name: a}}`
		node     = `{addresses: [192.0.2.20], targetRef: {kind: Pod, name: a}}`
		ports    = "ports: [{port: 8080}]"
	)
	for _, c := range []struct{ name, services, slices, want string }{
		{"an outside address", service("t/a", web), slice("t/a", "a", out, ports), "t/10.96.1.1"},
		{"of a node port", service("t/a", "type: NodePort, "+web+", ports: [{port: 80, nodePort: 30080}]"), slice("t/a", "a", out, ports), "t/10.96.1.1"},
		{"of a load balancer", service("t/a", "type: LoadBalancer, "+web), slice("t/a", "a", out, ports), "t/10.96.1.1"},
		{"in two families", service("t/a", `clusterIP: 10.96.1.1, clusterIPs: [10.96.1.1, "fd00::10"]`), slice("t/a", "a", out, ports), "t/10.96.1.1 t/fd00::10"},
		{"as a pod's", service("t/a", web+", selector: {a: b}"), slice("t/a", "a", outAsPod, ports), "t/10.96.1.1"},
		{"in a second slice", service("t/a", web), slice("t/a", "a", in, ports) + slice("t/b", "a", out, ports), "t/10.96.1.1"},
		{"among pods", service("t/a", web), slice("t/a", "a", in+", "+out, ports), "t/10.96.1.1"},
		{"not ready", service("t/a", web), slice("t/a", "a", `{addresses: [198.51.100.7], conditions: {ready: false}}`, ports), "t/10.96.1.1"},
		{"on any port", service("t/a", web), slice("t/a", "a", out, "ports: [{name: x}]"), "t/10.96.1.1"},
		{"an external address of a node", service("t/a", web), slice("t/a", "a", "{addresses: [198.51.100.20]}", ports), "t/10.96.1.1"},
		{"a node's name", service("t/a", web), slice("t/a", "a", "{addresses: [198.51.100.21]}", ports), "t/10.96.1.1"},
		{"a metadata address in the pods' range", service("t/a", web) + service("t/b", db), slice("t/a", "a", "{addresses: [100.100.100.200]}", ports) + slice("t/b", "b", "{addresses: [100.100.100.200]}", ports), "t/10.96.1.1 t/100.100.100.200:8080"},
		{"the ClusterIP of such a Service", service("t/a", web) + service("t/b", "clusterIP: 10.96.1.2, clusterIPs: [10.96.1.2]") + service("t/c", db),
			slice("t/a", "a", out, ports) + slice("t/b", "b", "{addresses: [10.96.1.1]}", ports) + slice("t/c", "c", "{addresses: [10.96.1.1]}", ports), "t/10.96.1.1 t/10.96.1.1:8080 t/10.96.1.2"},
		{"its node port", service("t/a", "type: NodePort, "+web+", ports: [{port: 80, nodePort: 30080}]") + service("t/b", db),
			slice("t/a", "a", out, ports) + slice("t/b", "b", "{addresses: [192.0.2.20]}", "ports: [{port: 30080}, {port: 9100}]"), "t/10.96.1.1 192.0.2.20:9100 t/192.0.2.20:9100,30080"},
		{"its node port, as a pod's", service("t/a", "type: NodePort, "+web+", ports: [{port: 80, nodePort: 30080}]") + service("t/b", db),
			slice("t/a", "a", out, ports) + slice("t/b", "b", node, "ports: [{port: 30080}]"), "t/10.96.1.1 t/192.0.2.20"},
		{"its node port, on any port", service("t/b", db), slice("t/b", "b", "{addresses: [192.0.2.20]}", "ports: [{name: x}]"), "t/192.0.2.20"},
		{"in another namespace's slice", service("shop/a", web), slice("t/a", "a", out, ports), "10.96.1.1"},
		{"UDP alone", service("t/a", web), slice("t/a", "a", out, "ports: [{port: 53, protocol: UDP}]"), "10.96.1.1"},
		{"pods", service("t/a", web), slice("t/a", "a", in, ports), "10.96.1.1"},
		{"no endpoints", service("t/a", web), "[]", "10.96.1.1"},
		{"pods with hostNetwork", service("t/a", web), slice("t/a", "a", node, ports), "10.96.1.1"},
		{"pods with hostNetwork, in IPv6", service("t/a", web), slice("t/a", "a", `{addresses: ["2001:db8:1::20"]}`, ports), "10.96.1.1"},
		{"pods with hostNetwork, headless", service("t/a", db), slice("t/a", "a", node, ports), "t/192.0.2.20 192.0.2.20:8080"},
		{"nodes, headless", service("t/a", db), slice("t/a", "a", "{addresses: [192.0.2.20], targetRef: {kind: Node, name: n}}", "ports: [{port: 10250}]"), "192.0.2.20:10250"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := reached(t, c.services, c.slices, clusterRanges, true); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
	// Without all ranges, private addresses may be those of pods.
	for address, want := range map[string]string{"198.51.100.7": "t/10.96.1.1", "172.16.5.5": "10.96.1.1", "10.1.2.3": "10.96.1.1", "168.63.129.16": "t/10.96.1.1", "100.100.100.200": "t/10.96.1.1"} {
		if got := reached(t, service("t/a", web), slice("t/a", "a", "{addresses: ["+address+"]}", ports), []string{"10.96.0.0/12"}, false); got != want {
			t.Errorf("without the ranges of pods, %s: %q, want %q", address, got, want)
		}
	}
}

func list[T any](t *testing.T, text string) (out []T) {
	t.Helper()
	if err := yaml.UnmarshalStrict([]byte(text), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func texts(all []egress.InClusterAddress) string {
	slices.SortFunc(all, func(a, b egress.InClusterAddress) int {
		return cmp.Or(a.Address.Unmap().Compare(b.Address.Unmap()), len(a.Ports)-len(b.Ports))
	})
	var out []string
	for _, d := range all {
		text := d.Address.Unmap().String()
		if d.Namespace != "" {
			text = d.Namespace + "/" + text
		}
		for i, p := range d.Ports {
			text += map[bool]string{true: ":", false: ","}[i == 0] + fmt.Sprint(p)
		}
		out = append(out, text)
	}
	return strings.Join(out, " ")
}
