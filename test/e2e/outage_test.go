package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// outage: the webhook is unavailable, and then the control plane; each time the other
// goes on, and what waits comes up by itself.
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

	// Others start, and what runs goes on: edits reach it, and are validated.
	plain.run("kubectl apply -f samples/sleep/sleep.yaml")
	plain.rolledOut("deployment/sleep")
	before.captured(before.always)
	in.run(httpbinEntry)
	before.reaches("outbound|80||httpbin.org")
	if output := in.fails(strings.ReplaceAll(httpbinEntry, "- httpbin.org", `- "*"`)); !strings.Contains(output, `admission webhook "validation.istio.io" denied the request`) {
		t.Errorf("an invalid object: %s", output)
	}

	// Back: they come up by themselves.
	s.bash(t, up)
	s.bash(t, fmt.Sprintf("kubectl -n istio-system rollout status deployment/outrider --timeout=%s", patience))
	in.rolledOut("deployment/sleep")
	sleep := in.pod("-l app=sleep")
	if !sleep.sidecar() {
		t.Error("the pod came up without a sidecar")
	}
	sleep.goes(request{url: "http://httpbin.org/anything", args: "-4", through: "outbound|80||httpbin.org", rule: "everything", world: true})
	before.captured(before.always)
	withoutControlPlane(t, s, in, before)
}

// withoutControlPlane: pods are admitted and injected, and ready once it is back.
func withoutControlPlane(t *testing.T, s *Suite, in *Namespace, before *Pod) {
	s.bash(t, "kubectl -n istio-system scale deployment/outrider-xds --replicas=0")
	const up = "kubectl -n istio-system scale deployment/outrider-xds --replicas=2"
	t.Cleanup(func() { s.undo(t, up) })
	s.bash(t, fmt.Sprintf("kubectl -n istio-system wait pod -l app=outrider-xds --for=delete --timeout=%s", patience))
	in.run("kubectl create deployment waits --image=curlimages/curl -- /bin/sleep infinity")
	in.run(`kubectl patch deployment waits -p '{"spec":{"template":{"spec":{"terminationGracePeriodSeconds":0,"containers":[{"name":"curl","imagePullPolicy":"IfNotPresent"}]}}}}'`)
	var pods string
	eventually(t, "a pod is admitted without the control plane", func() error {
		if pods = in.run("kubectl get pods -l app=waits -o jsonpath='{.items[*].spec.initContainers[*].name}'"); !strings.Contains(pods, "istio-proxy") {
			return fmt.Errorf("init containers %q", pods)
		}
		return nil
	})
	before.reaches("outbound|80||httpbin.org")
	if output := in.fails("kubectl wait pod -l app=waits --for=condition=Ready --timeout=5s"); !strings.Contains(output, "timed out") {
		t.Errorf("a pod whose sidecar has no configuration: %s", output)
	}
	s.bash(t, up)
	s.bash(t, fmt.Sprintf("kubectl -n istio-system rollout status deployment/outrider-xds --timeout=%s", patience))
	in.rolledOut("deployment/waits")
}

// reaches waits until a request to httpbin.org goes through a cluster of the sidecar.
func (p *Pod) reaches(through string) {
	p.n.t.Helper()
	eventually(p.n.t, "a request of "+p.name+" goes through "+through, func() error {
		source, err := p.curl(`-o /dev/null -w '%{local_ip}:%{local_port}' -4 http://httpbin.org/anything`)
		if err != nil {
			return err
		}
		for line := range strings.Lines(p.log()) {
			if strings.Contains(line, " "+source+" ") && strings.Contains(line, through) {
				return nil
			}
		}
		return fmt.Errorf("no line with %s", source)
	})
}
