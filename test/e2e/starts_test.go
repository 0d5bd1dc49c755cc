package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// starter is a pod as people write it.
const starter = `apiVersion: v1
kind: Pod
metadata: {name: %s}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - {name: sleep, image: curlimages/curl, imagePullPolicy: IfNotPresent, command: [/bin/sleep, infinity]}
`

// starts: in an ordinary start no probe of the sidecar fails: it has its
// configuration by its first connection to the control plane, and a probe waits
// until it listens.
func starts(t *testing.T, s *Suite) {
	const pods = 8
	n := s.Namespace(t, "starts", injected)
	failed := 0
	var took time.Duration
	for i := range pods {
		name := fmt.Sprintf("start-%d", i)
		begin := time.Now()
		n.apply(fmt.Sprintf(starter, name))
		n.ready(name)
		took += time.Since(begin)
		if events := n.run("kubectl get events --field-selector reason=Unhealthy,involvedObject.name=" + name + " -o jsonpath='{range .items[*]}{.count} {.message}{\"\\n\"}{end}'"); strings.TrimSpace(events) != "" {
			failed++
			t.Logf("%s: %s", name, events)
		}
		stats := n.run(fmt.Sprintf("kubectl get --raw /api/v1/namespaces/%s/pods/%s:15090/proxy/stats/prometheus", n.name, name))
		if metric := `envoy_cluster_upstream_cx_connect_fail{envoy_cluster_name="xds-grpc"} `; !strings.Contains(stats, metric+"0\n") {
			t.Errorf("%s: its first connection to the control plane failed: %s", name, line(stats, metric))
		}
		n.run("kubectl delete pod " + name + " --wait=false")
	}
	t.Logf("a pod is ready %s after kubectl apply, on average", (took / pods).Round(10*time.Millisecond))
	if failed > 0 {
		t.Errorf("a probe failed in %d of %d pods", failed, pods)
	}
}

// line is the first line of a text that begins with a prefix.
func line(text, prefix string) string {
	for l := range strings.Lines(text) {
		if strings.HasPrefix(l, prefix) {
			return l
		}
	}
	return "no " + prefix
}
