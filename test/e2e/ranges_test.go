package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// more is a range of Services that is added to the cluster, and an address in it.
const more, moreAddress = "10.200.0.0/24", "10.200.0.9"

// ranges: an administrator writes "cluster" instead of ranges. What is outside
// the cluster bypasses the sidecar; Services and pods are captured; a range that
// is added later is in the next pod.
func ranges(t *testing.T, s *Suite) {
	if !s.Own() {
		t.Skip("adds a range of Services, which a borrowed cluster must not get")
	}
	n := s.Namespace(t, "ranges", injected)
	t.Cleanup(func() { s.undo(t, "kubectl apply -f deploy/settings.yaml") })
	list, err := s.Ranges(ended)
	if err != nil {
		t.Fatal(err)
	}
	cluster := strings.Join(list, ",")

	// The command line shows the ranges that will be active.
	out := n.run("outrider ranges")
	for _, r := range list {
		if !strings.Contains(out, r) {
			t.Errorf("outrider ranges does not have %s:\n%s", r, out)
		}
	}
	n.editRanges("cluster", "")
	n.waitForRanges(cluster, "")
	first := n.redeploy()
	source := first.status().Effective["includeOutboundIPRanges"].Source
	if !strings.Contains(source, "global.proxy.includeIPRanges (cluster: ") || !strings.Contains(source, "ServiceCIDR (ServiceCIDR/kubernetes)") {
		t.Errorf("the source of the list is %q", source)
	}
	outside := []request{
		{url: "http://" + httpbin + "/anything", args: "-4", world: true},
		{url: "https://" + httpbin + "/anything", args: "-4", world: true},
	}
	inside := []request{{url: server + "/anything", args: "-4", through: "PassthroughCluster", rule: "included-range"}}
	for _, ip := range strings.Fields(n.run("kubectl -n " + servers + " get pods -l app=httpbin -o jsonpath='{.items[0].status.podIPs[*].ip}'")) {
		host := ip
		if strings.Contains(ip, ":") {
			host = "[" + ip + "]"
		}
		inside = append(inside, request{url: "http://" + host + "/anything", args: "-g -H 'Host: httpbin'", through: "PassthroughCluster", rule: "included-range"})
	}
	first.goes(append(outside, inside...)...)

	// The cluster grows.
	before := n.run("kubectl -n istio-system get pods -l app.kubernetes.io/part-of=outrider -o name")
	t.Cleanup(func() {
		s.undo(t, "kubectl -n "+servers+" delete service more --ignore-not-found; kubectl delete servicecidr more --ignore-not-found --wait=false")
	})
	n.apply(fmt.Sprintf("apiVersion: networking.k8s.io/v1\nkind: ServiceCIDR\nmetadata: {name: more}\nspec: {cidrs: [%s]}\n", more))
	n.waitForRanges(cluster+","+more, "")
	eventually(t, "a Service gets an address of the range", func() error {
		line := fmt.Sprintf(`kubectl -n %s create service clusterip more --clusterip=%s --tcp=8000:80`, servers, moreAddress)
		out, err := n.Bash(ended, line).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	n.run("kubectl -n " + servers + " set selector service/more app=httpbin")
	added := request{url: "http://" + moreAddress + ":8000/anything", args: "-H 'Host: httpbin'"}
	eventually(t, "the Service answers", func() error {
		_, err := first.curl("-o /dev/null " + added.args + " " + added.url)
		return err
	})
	first.goes(added) // the pod that runs keeps what it has
	added.through, added.rule = "PassthroughCluster", "included-range"
	n.redeploy().goes(append(outside, added)...)
	if after := n.run("kubectl -n istio-system get pods -l app.kubernetes.io/part-of=outrider -o name"); after != before {
		t.Errorf("the product's pods were %s and are %s", before, after)
	}
}
