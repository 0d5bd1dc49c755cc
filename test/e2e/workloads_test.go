package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// several are workloads of several kinds, all with sidecars.
const several = `apiVersion: batch/v1
kind: Job
metadata: {name: once}
spec:
  backoffLimit: 0
  template:
    spec:
      restartPolicy: Never
      containers:
      - name: job
        image: curlimages/curl
        imagePullPolicy: IfNotPresent
        command: [curl, -sS, --fail, "http://httpbin.org/anything/job"]
---
apiVersion: v1
kind: Pod
metadata: {name: fetches}
spec:
  terminationGracePeriodSeconds: 0
  initContainers:
  - name: fetch
    image: curlimages/curl
    imagePullPolicy: IfNotPresent
    command: [curl, -sS, --fail, "http://httpbin.org/anything/init"]
  containers:
  - {name: sleep, image: curlimages/curl, imagePullPolicy: IfNotPresent, command: [/bin/sleep, infinity]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  clusterIP: None
  selector: {app: web}
  ports: [{name: http, port: 80}]
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: web}
spec:
  serviceName: web
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - {name: httpbin, image: "localhost/world:1", imagePullPolicy: IfNotPresent}
`

// workloads: what is made of pods works when the pods have sidecars.
func workloads(t *testing.T, s *Suite) {
	n := s.Namespace(t, "workloads", injected)
	n.apply(several)
	n.run("kubectl apply -f samples/sleep/sleep.yaml")
	n.rolledOut("deployment/sleep", "statefulset/web")

	t.Run("a Job completes", func(t *testing.T) {
		n := n.with(t)
		n.run(fmt.Sprintf("kubectl wait job/once --for=condition=Complete --timeout=%s", patience))
		job := n.pod("-l job-name=once")
		if !job.sidecar() {
			t.Error("the Job's pod has no sidecar")
		}
		if log := job.log(); !strings.Contains(log, "/anything/job") {
			t.Errorf("the Job's request did not go through the sidecar:\n%s", log)
		}
	})
	t.Run("an init container has the network, through the sidecar", func(t *testing.T) {
		n := n.with(t)
		n.ready("fetches")
		eventually(t, "the request is logged", func() error {
			if log := n.pod("pod/fetches").log(); !strings.Contains(log, "/anything/init") {
				return fmt.Errorf("the log is\n%s", log)
			}
			return nil
		})
	})
	sleep := n.pod("-l app=sleep")
	t.Run("the pods of a StatefulSet have their names, by a headless Service", func(t *testing.T) {
		sleep := n.with(t).pod("-l app=sleep")
		for _, p := range n.with(t).pods("-l app=web") {
			if !p.sidecar() {
				t.Errorf("pod %s has no sidecar", p.Name)
			}
			sleep.goes(request{
				url: "http://" + p.Name + ".web/anything", args: "-4 -H 'Host: httpbin'", through: "PassthroughCluster", rule: "everything",
			})
		}
		sleep.goes(request{url: "http://web/anything", args: "-4 -H 'Host: httpbin'", through: "PassthroughCluster", rule: "everything"})
	})
	t.Run("both families", func(t *testing.T) { families(t, s, n.with(t), sleep) })
}

// with is the namespace for a test within the one that made it.
func (n *Namespace) with(t *testing.T) *Namespace {
	in := *n
	in.t = t
	return &in
}

// families: IPv6 goes the way of IPv4, to the internet and to a Service.
func families(t *testing.T, s *Suite, n *Namespace, sleep *Pod) {
	pod := n.pod("pod/" + sleep.Name)
	if len(pod.Status.PodIPs) < 2 {
		if _, err := os.Stat("/proc/net/if_inet6"); s.Own() && err == nil {
			t.Fatalf("the kernel has IPv6, and the pod has only %v", pod.Status.PodIPs)
		}
		t.Logf("IPv6 is skipped: the pod has only %v; a cluster of our own has both where the kernel has IPv6 (/proc/net/if_inet6)", pod.Status.PodIPs)
		return
	}
	const through = "PassthroughCluster"
	six := "-6"
	if !s.Own() { // curl finds no IPv6 address in a hosts file that has both
		h := s.Host(httpbin)
		six += fmt.Sprintf(" --resolve '%[1]s:80:[%[2]s]' --resolve '%[1]s:443:[%[2]s]'", httpbin, h.IPv6)
	}
	pod.goes(
		request{url: "http://httpbin.org/anything", args: six, through: through, rule: "everything", world: true},
		request{url: "https://httpbin.org/anything", args: six, through: through, rule: "everything", world: true},
		request{url: server + "/anything", args: "-6", through: through, rule: "everything"},
		request{url: "http://httpbin.org/anything", args: "-4", through: through, rule: "everything", world: true},
	)
}

// roller is a server with sidecars that leaves its Service before it ends: on a
// busy machine kube-proxy takes some seconds to hear of that.
const roller = `apiVersion: v1
kind: Service
metadata: {name: httpbin}
spec:
  selector: {app: httpbin}
  ports: [{name: http, port: 8000, targetPort: 80}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: httpbin}
spec:
  replicas: 2
  selector: {matchLabels: {app: httpbin}}
  strategy: {rollingUpdate: {maxUnavailable: 0, maxSurge: 1}}
  template:
    metadata: {labels: {app: httpbin}}
    spec:
      terminationGracePeriodSeconds: 20
      containers:
      - name: httpbin
        image: localhost/world:1
        imagePullPolicy: IfNotPresent
        lifecycle: {preStop: {sleep: {seconds: 8}}}
        readinessProbe: {httpGet: {path: /status/200, port: 80, httpHeaders: [{name: Host, value: httpbin}]}, periodSeconds: 1}
`

// load sends requests from two loops until /tmp/stop is there, and reports how many
// there were and how many failed.
const load = `: > /tmp/begun
worker() {
  ok=0; failed=0
  while [ ! -e /tmp/stop ]; do
    if curl -sS --fail --max-time 5 -o /dev/null http://httpbin:8000/anything/load; then ok=$((ok+1)); else failed=$((failed+1)); date -u +%T; fi
  done
  echo "ok=$ok failed=$failed"
}
worker & worker & wait`

// rolling: a Deployment with sidecars rolls under load, which comes through a
// sidecar too, and no request fails.
func rolling(t *testing.T, s *Suite) {
	n := s.Namespace(t, "rolling", injected)
	n.apply(roller)
	n.run("kubectl apply -f samples/sleep/sleep.yaml")
	n.rolledOut("deployment/sleep", "deployment/httpbin")
	before := n.run("kubectl get pods -l app=httpbin -o name")
	// The node learns of ready pods a little later, and rejects connections until then.
	eventually(t, "the Service answers", func() error {
		out, err := n.Bash(ended, "kubectl exec deploy/sleep -c sleep -- curl -sS --fail -o /dev/null http://httpbin:8000/status/200").CombinedOutput()
		if err != nil {
			return fmt.Errorf("%s", out)
		}
		return nil
	})

	type result struct {
		out []byte
		err error
	}
	done := make(chan result, 1)
	go func() {
		out, err := n.Bash(ended, "kubectl exec deploy/sleep -c sleep -- sh -c '"+load+"'").CombinedOutput()
		done <- result{out, err}
	}()
	eventually(t, "the load begins", func() error {
		_, err := n.Bash(ended, "kubectl exec deploy/sleep -c sleep -- ls /tmp/begun").CombinedOutput()
		return err
	})
	n.run("kubectl rollout restart deployment/httpbin")
	n.rolledOut("deployment/httpbin")
	eventually(t, "the old pods are gone", func() error {
		after := n.run("kubectl get pods -l app=httpbin -o name")
		for name := range strings.Lines(before) {
			if strings.Contains(after, name) {
				return fmt.Errorf("%s is there", strings.TrimSpace(name))
			}
		}
		return nil
	})
	n.run("kubectl exec deploy/sleep -c sleep -- sh -c ': > /tmp/stop'")
	select {
	case r := <-done:
		text := string(r.out)
		total := 0
		for line := range strings.Lines(text) {
			var ok, failed int
			if _, err := fmt.Sscanf(line, "ok=%d failed=%d", &ok, &failed); err == nil {
				total += ok
			}
		}
		t.Logf("%d requests during the roll", total)
		if r.err != nil || strings.Count(text, "failed=0\n") != 2 || total < 100 {
			t.Errorf("want two loops without a failure and at least 100 requests: %v\n%s", r.err, text)
		}
	case <-time.After(patience):
		t.Fatal("the load does not end")
	}
}
