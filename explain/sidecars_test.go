package explain_test

import (
	"strings"
	"testing"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/explain"
	"github.com/outrider-mesh/outrider/test/kit"
)

// sidecars are Sidecars of namespace shop, and one host.
const sidecars = `
---
kind: ServiceEntry
metadata: {namespace: shop, name: bin}
spec: {hosts: [bin.example], ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS}

---
kind: Sidecar
metadata: {namespace: shop, name: web}
spec: {workloadSelector: {labels: {app: web}}, outboundTrafficPolicy: {mode: REGISTRY_ONLY}}

---
kind: Sidecar
metadata: {namespace: shop, name: others}
spec: {egress: [{hosts: [bank/*]}]}

---
inCluster: [{address: 10.96.0.1, ports: [443], service: {namespace: shop, name: web}}]
`

// TestSidecars: the Sidecar that has the policy, or keeps a host from the workload, with
// the whole text.
func TestSidecars(t *testing.T) {
	registryOnly := config.Texts{Mesh: "outboundTrafficPolicy:\n  mode: REGISTRY_ONLY\n"}
	for name, c := range map[string]struct {
		texts            config.Texts
		labels, to, want string
	}{
		"the policy of a Sidecar": {config.Texts{}, "labels: {app: web}", "www.example.org", `blocked (block_all): no ServiceEntry visible to this workload through its Sidecar declares www.example.org for HTTP on port 80 (REGISTRY_ONLY of Sidecar shop/web)
      by Sidecar shop/web: spec.outboundTrafficPolicy.mode
      to change it: declare it: a ServiceEntry with hosts: [www.example.org], ports: [{number: 80, name: http, protocol: HTTP}] and resolution: DNS
      status 502, route block_all`},
		"of other workloads": {config.Texts{}, "", "www.example.org", `no ServiceEntry visible to this workload through its Sidecar declares www.example.org for HTTP on port 80 (ALLOW_ANY)
      by default: outboundTrafficPolicy.mode
      route allow_any, cluster PassthroughCluster`},
		"the policy of one, the hosts of another": {config.Texts{}, "labels: {app: web}", "bin.example", `blocked (block_all): no ServiceEntry visible to this workload through its Sidecar declares bin.example for HTTP on port 80 (REGISTRY_ONLY of Sidecar shop/web); Sidecar shop/others does not expose shop/bin.example
      by Sidecar shop/web: spec.outboundTrafficPolicy.mode
      to change it: add "shop/bin.example" to egress.hosts of that Sidecar
      status 502, route block_all`},
		"not exposed, and forwarded": {config.Texts{}, "", "bin.example", `no ServiceEntry visible to this workload through its Sidecar declares bin.example for HTTP on port 80 (ALLOW_ANY); Sidecar shop/others does not expose shop/bin.example
      by default: outboundTrafficPolicy.mode
      to change it: add "shop/bin.example" to egress.hosts of that Sidecar
      route allow_any, cluster PassthroughCluster`},
		"not exposed, and blocked": {registryOnly, "", "bin.example", `blocked (block_all): no ServiceEntry visible to this workload through its Sidecar declares bin.example for HTTP on port 80 (REGISTRY_ONLY); Sidecar shop/others does not expose shop/bin.example
      by MESH, line 2: outboundTrafficPolicy.mode
      to change it: add "shop/bin.example" to egress.hosts of that Sidecar
      status 502, route block_all`},
		"a Service that is not exposed": {registryOnly, "", "10.96.0.1:443", `blocked (block_all): no ServiceEntry visible to this workload through its Sidecar declares 10.96.0.1 for HTTP on port 443 (REGISTRY_ONLY); Sidecar shop/others does not expose shop/web.shop.svc.cluster.local
      by MESH, line 2: outboundTrafficPolicy.mode
      to change it: add "shop/web.shop.svc.cluster.local" to egress.hosts of that Sidecar
      status 502, route block_all`},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := explain.ParseDestination(c.to, "http")
			kit.Must(t, err)
			a := explain.Explain(subject(t, deployment(c.labels)), input(t, c.texts, enabled(), sidecars), d)
			_, text, _ := strings.Cut(a.Text(), "    sidecar: ")
			text, _, _ = strings.Cut(text, "\n  any IPv6")
			if text = strings.TrimSpace(text); text != c.want {
				t.Errorf("%s\nwant\n%s", text, c.want)
			}
		})
	}
}
