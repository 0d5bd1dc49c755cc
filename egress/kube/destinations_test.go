package kube

import (
	"cmp"
	"fmt"
	"net/netip"
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
	own := cidr.FromPrefixes(netip.MustParsePrefix("10.244.0.0/16"), netip.MustParsePrefix("fd00::/64"))
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
			"10.96.0.1 10.96.0.2 192.0.2.10:6443"},
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
			services, endpoints := map[key]service{}, map[key]slice{}
			for _, s := range list[corev1.Service](t, tt.services) {
				services[key{s.Namespace, s.Name}] = readService(&s)
			}
			for _, s := range list[discoveryv1.EndpointSlice](t, tt.slices) {
				endpoints[key{s.Namespace, s.Name}] = readSlice(&s)
			}
			addresses, _ := destinations(services, endpoints, own, 100)
			if got := texts(addresses); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
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
