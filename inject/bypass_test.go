package inject

import (
	"strings"
	"testing"

	"github.com/outrider-mesh/outrider/annotation"
	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/ranges"
)

// A cluster with addresses of both families in use.
const dualStack = `{"apiVersion":"v1","kind":"List","items":[
{"apiVersion":"v1","kind":"Service","metadata":{"namespace":"default","name":"kubernetes"},"spec":{"clusterIP":"10.96.0.1"}},
{"apiVersion":"v1","kind":"Pod","metadata":{"namespace":"shop","name":"web"},"status":{"phase":"Running","podIP":"10.244.1.7","podIPs":[{"ip":"10.244.1.7"},{"ip":"fd00::7"}]}}]}`

func dualStackNames(t *testing.T) *ranges.NamedRanges {
	t.Helper()
	data, err := ranges.Read([]ranges.Document{{Name: "cluster", Text: dualStack}})
	if err != nil {
		t.Fatal(err)
	}
	return data.NamedRanges(ranges.Options{})
}

func TestBypasses(t *testing.T) {
	const (
		include, exclude = annotation.IncludeOutboundIPRanges, annotation.ExcludeOutboundIPRanges
		included, except = annotation.IncludeOutboundPorts, annotation.ExcludeOutboundPorts
		onExclude        = "annotation " + exclude + ": "
		onInclude        = "annotation " + include + ": "
		everything       = "excludes everything that is included: no traffic is captured; exclude less, or set sidecar.istio.io/interceptionMode: NONE"
		noV4             = "excludes every included IPv4 address: no IPv4 traffic is captured; exclude fewer ranges"
		noV6             = "excludes every included IPv6 address: no IPv6 traffic is captured; exclude fewer ranges"
		onlyV4           = `only IPv4 ranges: all IPv6 traffic bypasses the sidecar; add IPv6 ranges, or use "*"; not needed on single-stack clusters`
		registryOnly     = "outboundTrafficPolicy: {mode: REGISTRY_ONLY}"
	)
	for _, c := range []struct {
		name         string
		annotations  []string
		values, mesh string
		cluster      bool
		want         []string
	}{
		{name: "nothing special", annotations: []string{exclude, "10.0.0.0/8"}},
		{name: "all of IPv4", annotations: []string{exclude, "0.0.0.0/0"}, want: []string{onExclude + `"0.0.0.0/0": ` + noV4}},
		{name: "in halves", annotations: []string{exclude, "0.0.0.0/1,128.0.0.0/1"}, want: []string{onExclude + `"0.0.0.0/0": ` + noV4}},
		{name: "all that hosts can have", annotations: []string{exclude, "0.0.0.0/1,128.0.0.0/2,192.0.0.0/3"}, want: []string{onExclude + `"0.0.0.0/1,128.0.0.0/2,192.0.0.0/3": ` + noV4}},
		{name: "all of IPv6", annotations: []string{exclude, "::/0"}, want: []string{onExclude + `"::/0": ` + noV6}},
		{name: "both", annotations: []string{exclude, "::/1 8000::/1,0.0.0.0/0"}, want: []string{onExclude + `"0.0.0.0/0,::/0": ` + everything}},
		{name: "what is included", annotations: []string{include, "10.0.0.0/8", exclude, "10.0.0.0/8"}, want: []string{onExclude + `"10.0.0.0/8": ` + everything}},
		{name: "more than is included", annotations: []string{include, "10.0.0.0/8,fd00::/8", exclude, "10.0.0.0/7"}, want: []string{onExclude + `"10.0.0.0/7": ` + noV4}},
		{name: "by the values", values: "global: {proxy: {excludeIPRanges: 0.0.0.0/0}}", want: []string{`values global.proxy.excludeIPRanges: "0.0.0.0/0": ` + noV4}},
		{name: "by both", annotations: []string{exclude, "10.0.0.0/8"}, values: "global: {proxy: {includeIPRanges: 10.0.0.0/8}}", want: []string{onExclude + `"10.0.0.0/8": ` + everything}},
		{name: "ports remain", annotations: []string{include, "", included, "443", exclude, "0.0.0.0/0"}, want: []string{onExclude + `"0.0.0.0/0": ` + noV4}},
		{name: "every port", annotations: []string{include, "", included, "443", except, "443,80"}, want: []string{"annotation " + except + `: "80,443": ` + everything}},
		{name: "nothing included", annotations: []string{include, ""}},
		{name: "mode NONE", annotations: []string{annotation.InterceptionMode, "NONE"}, values: "global: {proxy: {excludeIPRanges: 0.0.0.0/0}}"},
		{name: "the main interface", annotations: []string{annotation.ExcludeInterfaces, "net1,eth+"}, want: []string{
			"annotation " + annotation.ExcludeInterfaces + `: "net1,eth+": eth0 is the main interface of most pods: all their traffic bypasses the sidecar; exclude others, or set sidecar.istio.io/interceptionMode: NONE`}},
		{name: "another interface", annotations: []string{annotation.ExcludeInterfaces, "net1,net+"}},

		{name: "one family", annotations: []string{include, "10.0.0.0/8"}, want: []string{onInclude + `"10.0.0.0/8": ` + onlyV4}},
		{name: "one family, in the values", values: "global: {proxy: {includeIPRanges: 10.0.0.0/8}}", want: []string{`values global.proxy.includeIPRanges: "10.0.0.0/8": ` + onlyV4}},
		{name: "one family and ports", annotations: []string{include, "10.0.0.0/8", included, "443"}, want: []string{
			onInclude + `"10.0.0.0/8": only IPv4 ranges: all IPv6 traffic bypasses the sidecar, except to included ports; add IPv6 ranges, or use "*"; not needed on single-stack clusters`}},
		{name: "one family of two that are in use", annotations: []string{include, "10.0.0.0/8"}, cluster: true, want: []string{
			onInclude + `"10.0.0.0/8": only IPv4 ranges, although the cluster uses IPv6: all IPv6 traffic bypasses the sidecar; add IPv6 ranges, or use "*"`}},
		{name: "a fact once, the worst first", annotations: []string{include, "10.0.0.0/24", annotation.BootstrapOverride, "x"}, cluster: true, mesh: registryOnly, want: []string{
			onInclude + `"10.0.0.0/24": only IPv4 ranges, although the cluster uses IPv6: all IPv6 traffic bypasses the sidecar; add IPv6 ranges, or use "*"`,
			onInclude + `"10.0.0.0/24": omits 1 of 1 Service and 1 of 2 pod addresses in use, such as 10.96.0.1 of Service default/kubernetes: traffic to them bypasses the sidecar`,
			onInclude + `"10.0.0.0/24": REGISTRY_ONLY applies to these ranges only: other traffic does not go through the sidecar`,
			`annotation sidecar.istio.io/bootstrapOverride: "x": no effect: the bootstrap is part of the template; use a custom template (inject.istio.io/templates) instead`}},
		{name: "policy", annotations: []string{exclude, "0.0.0.0/0"}, mesh: registryOnly, want: []string{onExclude + `"0.0.0.0/0": ` + noV4}},
		{name: "policy and a part", annotations: []string{exclude, "10.0.0.0/8"}, mesh: registryOnly, want: []string{
			onExclude + `"10.0.0.0/8": bypasses REGISTRY_ONLY: this traffic does not go through the sidecar`}},
	} {
		env := Environment{}
		if c.cluster {
			env.Ranges = dualStackNames(t)
		}
		i := mustCompile(t, config.Texts{Values: c.values, Mesh: c.mesh}, env)
		got := mustInject(t, i, Request{Pod: podWith(c.annotations...)}).Warnings.Strings()
		if strings.Join(got, "\n") != strings.Join(c.want, "\n") {
			t.Errorf("%s:\ngot  %s\nwant %s", c.name, strings.Join(got, "\n     "), strings.Join(c.want, "\n     "))
		}
	}
}

// The configuration is warned about when it is applied, before there is a pod.
func TestCompileWarnsAboutBypasses(t *testing.T) {
	const source = "values.yaml"
	for values, want := range map[string]string{
		`global: {proxy: {excludeIPRanges: "0.0.0.0/1,128.0.0.0/1"}}`: `values.yaml:1:35: global.proxy.excludeIPRanges: "0.0.0.0/0": excludes every included IPv4 address: no IPv4 traffic is captured; exclude fewer ranges`,
		`global: {proxy: {includeIPRanges: 10.0.0.0/24}}`: `values.yaml:1:35: global.proxy.includeIPRanges: "10.0.0.0/24": only IPv4 ranges, although the cluster uses IPv6: all IPv6 traffic bypasses the sidecar; add IPv6 ranges, or use "*"
values.yaml:1:35: global.proxy.includeIPRanges: omits 1 of 1 Service and 1 of 2 pod addresses in use, such as 10.96.0.1 of Service default/kubernetes: traffic to them bypasses the sidecar`,
		`global: {proxy: {includeIPRanges: cluster}, platformFallback: "10.96.0.0/12,10.244.0.0/16"}`: `values.yaml:1:35: global.proxy.includeIPRanges: "cluster": resolves to global.platformFallback: service ranges: not in the documents; provided by: kubectl get servicecidrs -o yaml; pod ranges: not in the documents; provided by: kubectl -n kube-system get pods -l component=kube-controller-manager -o yaml
values.yaml:1:35: global.proxy.includeIPRanges: "10.96.0.0/12,10.244.0.0/16": only IPv4 ranges, although the cluster uses IPv6: all IPv6 traffic bypasses the sidecar; add IPv6 ranges, or use "*"`,
		`global: {proxy: {includeIPRanges: 10.0.0.0/8, excludeIPRanges: 10.0.0.0/8}}`: `values.yaml:1:64: global.proxy.excludeIPRanges: "10.0.0.0/8": excludes everything that is included: no traffic is captured; exclude less, or set sidecar.istio.io/interceptionMode: NONE`,
		`global: {proxy: {excludeInterfaces: eth0}}`:                                  `values.yaml:1:37: global.proxy.excludeInterfaces: "eth0": eth0 is the main interface of most pods: all their traffic bypasses the sidecar; exclude others, or set sidecar.istio.io/interceptionMode: NONE`,
		`global: {proxy: {excludeIPRanges: 10.0.0.0/8}}`:                              "",
	} {
		cfg, problems := config.Parse(config.Texts{Values: values}, config.Labels{Values: source})
		if err := problems.Err(); err != nil {
			t.Fatal(err)
		}
		_, found := Compile(cfg, Environment{Ranges: dualStackNames(t)})
		if got := strings.Join(append(problems, found...).Strings(), "\n"); got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", values, got, want)
		}
	}
}
