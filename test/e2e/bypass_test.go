package e2e

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/outrider-mesh/outrider/cidr"
)

// The two hosts of the internet that give back what they got.
const (
	httpbin = "httpbin.org"
	other   = "httpbin.example.com"
)

// bypass: an administrator and pods take address ranges away from the sidecar.
// Each step is checked from inside a pod, in the sidecar's log and in the
// kernel's counters.
func bypass(t *testing.T, s *Suite) {
	n := s.Namespace(t, "bypass", injected)
	t.Cleanup(func() { s.undo(t, "kubectl apply -f deploy/settings.yaml") })
	cluster, err := s.Ranges(ended)
	if err != nil {
		t.Fatal(err)
	}
	ranges := strings.Join(cluster, ",")
	binRange := prefix(s.Host(httpbin).IPv4)
	otherRange := prefix(s.Host(other).IPv4)

	const through = "PassthroughCluster"
	external := func(host, through, rule string) request {
		return request{url: "http://" + host + "/anything", args: "-4", through: through, rule: rule, world: true}
	}
	tls := func(through, rule string) request {
		return request{url: "https://" + httpbin + "/anything", args: "-4", through: through, rule: rule, world: true}
	}
	inside := func(rule string) request {
		return request{url: server + "/anything", args: "-4", through: through, rule: rule}
	}

	// The default, "*".
	first := n.redeploy()
	first.goes(external(httpbin, through, "everything"), tls(through, "everything"), inside("everything"))

	// The cluster's own ranges only. It changes nothing for the pod that runs.
	n.setRanges(ranges, "")
	first.goes(external(httpbin, through, "everything"), tls(through, "everything"))
	n.annotated("all", `traffic.sidecar.istio.io/includeOutboundIPRanges: "*"`)
	n.annotated("one", "traffic.sidecar.istio.io/includeOutboundIPRanges: "+otherRange)
	n.redeploy().goes(external(httpbin, "", ""), tls("", ""), inside("included-range"))

	// Everything but a range.
	n.setRanges("*", binRange)
	n.annotated("none", `traffic.sidecar.istio.io/excludeOutboundIPRanges: ""`)
	n.annotated("another", "traffic.sidecar.istio.io/excludeOutboundIPRanges: "+otherRange)
	n.redeploy().goes(external(httpbin, "", "excluded-range"), tls("", "excluded-range"), external(other, through, "everything"), inside("everything"))

	// A pod's own annotations replace the configuration it was made under.
	n.ready("all", "one", "none", "another")
	n.pod("pod/all").goes(external(httpbin, through, "everything"), external(other, through, "everything"))
	one := n.pod("pod/one")
	one.always = "http://" + other + "/anything"
	one.goes(external(httpbin, "", ""), external(other, through, "included-range"))
	n.pod("pod/none").goes(external(httpbin, through, "everything"))
	n.pod("pod/another").goes(external(httpbin, through, "everything"), external(other, "", "excluded-range"))

	// Cleaning up captures again.
	s.bash(t, "kubectl apply -f deploy/settings.yaml")
	n.waitForRanges("*", "")
	n.redeploy().goes(external(httpbin, through, "everything"), tls(through, "everything"), inside("everything"))
}

// prefix is the range of the one address.
func prefix(a netip.Addr) string { return netip.PrefixFrom(a, a.BitLen()).String() }

// redeploy redeploys the sleep sample, as the walk-through does.
func (n *Namespace) redeploy() *Pod {
	n.t.Helper()
	n.run("kubectl delete -f samples/sleep/sleep.yaml --ignore-not-found; kubectl apply -f samples/sleep/sleep.yaml")
	n.rolledOut("deployment/sleep")
	return n.pod("-l app=sleep")
}

// annotated makes a pod with an annotation, and does not wait for it.
func (n *Namespace) annotated(name, annotation string) {
	n.t.Helper()
	n.apply(fmt.Sprintf(`apiVersion: v1
kind: Pod
metadata:
  name: %s
  annotations:
    %s
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: sleep
    image: curlimages/curl
    imagePullPolicy: IfNotPresent
    command: [/bin/sleep, infinity]
`, name, annotation))
}

// setRanges edits the ConfigMap as an administrator does, and returns once it is
// active.
func (n *Namespace) setRanges(include, exclude string) {
	n.t.Helper()
	n.editRanges(include, exclude)
	n.waitForRanges(include, exclude)
}

// editRanges edits the ConfigMap as an administrator does.
func (n *Namespace) editRanges(include, exclude string) {
	n.t.Helper()
	n.run(fmt.Sprintf(`kubectl apply -f - <<EOF
apiVersion: v1
kind: ConfigMap
metadata:
  name: istio-sidecar-injector
  namespace: istio-system
  labels: {app: outrider}
data:
  config: |
    policy: enabled
    defaultTemplates: [sidecar]
  values: |
    global:
      proxy:
        includeIPRanges: "%s"
        excludeIPRanges: "%s"
EOF`, include, exclude))
}

// waitForRanges waits until new pods have the ranges, whichever replica responds.
func (n *Namespace) waitForRanges(include, exclude string) {
	n.t.Helper()
	var hash string
	eventually(n.t, "a replica makes pods by the new configuration", func() error {
		var p Pod
		p.n = n
		text := n.run("kubectl run probe --image=probe --dry-run=server -o json")
		if err := json.Unmarshal([]byte(text), &p.Pod); err != nil {
			return err
		}
		hash = p.status().ConfigHash
		for setting, want := range map[string]string{"includeOutboundIPRanges": include, "excludeOutboundIPRanges": exclude} {
			if got := p.status().Effective[setting]; !sameRanges(got.Value, want) {
				return fmt.Errorf("a new pod has %s %q by %s, not %q", setting, got.Value, got.Source, want)
			}
		}
		return nil
	})
	eventually(n.t, "all replicas make pods by the new configuration", func() error { return n.ConfigurationActive(ended, hash) })
}

func sameRanges(a, b string) bool {
	left, errA := cidr.Parse(a, cidr.Options{AllowWildcard: true})
	right, errB := cidr.Parse(b, cidr.Options{AllowWildcard: true})
	return errA == nil && errB == nil && left.Equal(right)
}
