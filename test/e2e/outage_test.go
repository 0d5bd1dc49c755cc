package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// outage: the webhook is unavailable, and then available again.
func outage(t *testing.T, s *Suite) {
	in, plain := s.Namespace(t, "outage-in", injected), s.Namespace(t, "outage-plain")
	in.run("kubectl create deployment before --image=curlimages/curl -- /bin/sleep infinity")
	in.run(`kubectl patch deployment before -p '{"spec":{"template":{"spec":{"terminationGracePeriodSeconds":0,"containers":[{"name":"curl","imagePullPolicy":"IfNotPresent"}]}}}}'`)
	in.rolledOut("deployment/before")
	before := in.pod("-l app=before")

	s.bash(t, "kubectl -n istio-system scale deployment/outrider --replicas=0")
	const up = "kubectl -n istio-system scale deployment/outrider --replicas=2"
	t.Cleanup(func() { s.undo(t, up) })
	s.bash(t, fmt.Sprintf("kubectl -n istio-system wait pod -l app=outrider --for=delete --timeout=%s", patience))

	// Denied, and the message has the webhook and the reason.
	output := in.fails("kubectl run denied --image=curlimages/curl --command -- /bin/sleep infinity")
	for _, word := range []string{`failed calling webhook "namespace.sidecar-injector.istio.io"`, "outrider", "istio-system"} {
		if !strings.Contains(output, word) {
			t.Errorf("the denial does not have %q: %s", word, output)
		}
	}
	t.Logf("a pod is denied: %s", strings.TrimSpace(output))
	in.run("kubectl apply -f samples/sleep/sleep.yaml")
	eventually(t, "an event returns why the Deployment has no pod", func() error {
		events := in.run("kubectl get events --field-selector=reason=FailedCreate -o jsonpath='{.items[*].message}'")
		if !strings.Contains(events, `failed calling webhook "namespace.sidecar-injector.istio.io"`) {
			return fmt.Errorf("events: %s", events)
		}
		return nil
	})
	if pods := in.run("kubectl get pods -l app=sleep -o name"); pods != "" {
		t.Errorf("there is a pod all the same: %s", pods)
	}

	// Others start, and what runs goes on.
	plain.run("kubectl apply -f samples/sleep/sleep.yaml")
	plain.rolledOut("deployment/sleep")
	before.captured(before.always)

	// Back: they come up by themselves.
	s.bash(t, up)
	s.bash(t, fmt.Sprintf("kubectl -n istio-system rollout status deployment/outrider --timeout=%s", patience))
	in.rolledOut("deployment/sleep")
	sleep := in.pod("-l app=sleep")
	if !sleep.sidecar() {
		t.Error("the pod came up without a sidecar")
	}
	sleep.goes(request{url: "http://httpbin.org/anything", args: "-4", through: "PassthroughCluster", rule: "everything", world: true})
	before.captured(before.always)
}
