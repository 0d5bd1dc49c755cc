package e2e

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// loading is a pod that sends requests without a pause, each on a connection of
// its own, until it is deleted. Its log has a line for each.
const loading = `apiVersion: v1
kind: Pod
metadata: {name: %s, labels: {app: load}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: load
    image: curlimages/curl
    imagePullPolicy: IfNotPresent
    command: [/bin/sh, -c]
    args:
    - |
      while true; do
        for url in %s; do
          start=$(date +%%s%%N)
          echo "$start $(curl -o /dev/null -s -m 10 -w '%%{http_code} %%{exitcode}' "$url") $url"
        done
      done
`

// answer is one request of a load, and its outcome.
type answer struct {
	at   time.Time // it was sent
	url  string
	code int // of HTTP; 0 without an answer
	exit int // curl's
}

func (a answer) good() bool { return a.code == 200 && a.exit == 0 }

func (a answer) String() string {
	return fmt.Sprintf("%s %s: HTTP %d, curl %d", a.at.Format("15:04:05.000"), a.url, a.code, a.exit)
}

// load starts a load; the pod is not ready yet.
func (n *Namespace) load(name string, urls ...string) {
	n.t.Helper()
	n.apply(fmt.Sprintf(loading, name, strings.Join(urls, " ")))
}

// answers are those of a load so far, in their order.
func (n *Namespace) answers(name string) (out []answer) {
	n.t.Helper()
	for line := range strings.Lines(n.run("kubectl logs " + name + " -c load")) {
		f := strings.Fields(line)
		if len(f) != 4 {
			continue // it is being written
		}
		at, err1 := strconv.ParseInt(f[0], 10, 64)
		code, err2 := strconv.Atoi(f[1])
		exit, err3 := strconv.Atoi(f[2])
		if err1 != nil || err2 != nil || err3 != nil {
			n.t.Fatalf("a load's line: %q", line)
		}
		out = append(out, answer{time.Unix(0, at), f[3], code, exit})
	}
	return out
}

// unharmed checks that no request to the hosts of a load has failed since a
// moment, and that there were enough of them.
func (n *Namespace) unharmed(name string, since time.Time, least int) {
	n.t.Helper()
	var sent int
	var bad []answer
	for _, a := range n.answers(name) {
		if a.at.Before(since) {
			continue
		}
		sent++
		if !a.good() {
			bad = append(bad, a)
		}
	}
	n.t.Logf("%s: %d requests, %d failed", name, sent, len(bad))
	if len(bad) > 0 {
		n.t.Errorf("%s: %d of %d requests failed, the first: %v", name, len(bad), sent, bad[:min(len(bad), 5)])
	}
	if sent < least {
		n.t.Errorf("%s: only %d requests were sent, too few; want %d", name, sent, least)
	}
}

// flips: edits reach running pods soon, and nothing else of theirs.
func flips(t *testing.T, s *Suite) {
	n := s.Namespace(t, "flips", injected)
	t.Cleanup(func() { s.undo(t, "kubectl apply -f deploy/settings.yaml") })
	n.run(httpbinEntry)
	n.run(googleEntry)
	n.load("known", "http://httpbin.org/status/200", "https://www.google.com/", server+"/get")
	n.load("unknown", "http://httpbin.example.com/status/200")
	n.ready("known", "unknown")
	eventually(t, "the declared hosts are known", func() error {
		if log := n.pod("pod/known").log(); !strings.Contains(log, "outbound|443||www.google.com") || !strings.Contains(log, "outbound|80||httpbin.org") {
			return fmt.Errorf("the log is\n%.2000s", log)
		}
		return nil
	})
	began := time.Now()
	var took []time.Duration
	for i := range 30 {
		mode, want := "REGISTRY_ONLY", 502
		if i%2 == 1 {
			mode, want = "ALLOW_ANY", 200
		}
		edit := time.Now()
		n.run(fmt.Sprintf(`kubectl -n istio-system patch configmap istio --type=merge -p '{"data":{"mesh":"accessLogFile: /dev/stdout\noutboundTrafficPolicy: {mode: %s}\n"}}'`, mode))
		eventually(t, fmt.Sprintf("edit %d, to %s, has its effect", i+1, mode), func() error {
			all := n.answers("unknown")
			at := slices.IndexFunc(all, func(a answer) bool { return a.at.After(edit) && a.code == want })
			if at < 0 {
				return fmt.Errorf("the last answer: %v", all[len(all)-1])
			}
			took = append(took, all[at].at.Sub(edit))
			return nil
		})
	}
	n.unharmed("known", began, 100)
	slices.Sort(took)
	t.Logf("from typing an edit to its effect on a running pod: median %s, largest of %d: %s",
		took[len(took)/2].Round(time.Millisecond), len(took), took[len(took)-1].Round(time.Millisecond))
}

// survives: what runs goes on, whatever becomes of those who configure it.
func survives(t *testing.T, s *Suite) {
	n := s.Namespace(t, "survives", injected)
	t.Cleanup(func() { s.undo(t, "kubectl apply -f deploy/settings.yaml") })
	n.run(httpbinEntry)
	n.run(googleEntry)
	n.run(toRegistryOnly)
	n.load("known", "http://httpbin.org/status/200", "https://www.google.com/", server+"/get")
	n.run("kubectl apply -f samples/sleep/sleep.yaml")
	n.ready("known")
	n.rolledOut("deployment/sleep")
	n.sees(google, ok2)
	eventually(t, "the load is answered", func() error {
		all := n.answers("known")
		if len(all) < 6 || slices.ContainsFunc(all[len(all)-6:], func(a answer) bool { return !a.good() }) {
			return fmt.Errorf("%v", all[max(0, len(all)-6):])
		}
		return nil
	})
	// An entry for a host, and its end, take effect: the control plane is there.
	reaches := func(what string) {
		t.Helper()
		n.run(strings.ReplaceAll(strings.ReplaceAll(googleEntry, "www.google.com", "edition.cnn.com"), "name: google", "name: cnn"))
		n.sees(cnn, ok2)
		n.run("kubectl delete serviceentry cnn")
		n.sees(cnn, "command terminated with exit code")
		t.Logf("%s: edits take effect again", what)
	}
	both := "deployment/outrider deployment/outrider-xds"
	up := fmt.Sprintf("for d in %s; do kubectl -n istio-system rollout status $d --timeout=%s; done", both, patience)
	for _, step := range []struct {
		what string
		do   func()
	}{
		{"one replica is killed", func() {
			n.run(`kubectl -n istio-system delete --force --grace-period=0 $(kubectl -n istio-system get pods -l app=outrider-xds -o name | head -n 1)`)
		}},
		{"all replicas are killed", func() {
			n.run("kubectl -n istio-system delete pods -l app.kubernetes.io/part-of=outrider --force --grace-period=0")
			s.bash(t, up)
		}},
		{"the control plane is unavailable", func() {
			n.run("kubectl -n istio-system scale " + both + " --replicas=0")
			n.run(fmt.Sprintf("kubectl -n istio-system wait pod -l app.kubernetes.io/part-of=outrider --for=delete --timeout=%s", patience))
			time.Sleep(5 * time.Second)
			n.run("kubectl -n istio-system scale " + both + " --replicas=2")
			s.bash(t, up)
		}},
		{"a new authority", func() {
			n.run("kubectl -n istio-system delete secret outrider-certs")
			time.Sleep(3 * time.Second)
			n.run("kubectl -n istio-system rollout restart " + both)
			s.bash(t, up)
		}},
		{"an object that cannot work", func() {
			// Denied at once, or accepted and then ignored.
			n.typed(strings.ReplaceAll(strings.ReplaceAll(googleEntry, "www.google.com", "192.0.2.1"), "name: google", "name: poison"))
		}},
		{"settings that Envoy rejects", func() {
			// Only Envoy can validate what is in the brackets.
			n.run(`kubectl get configmap istio -n istio-system -o yaml | sed 's/^    accessLogFile:/    accessLogFormat: "%CEL(no such thing)%"\n&/' | kubectl replace -n istio-system -f -`)
			eventually(t, "the pods have an event with the cause", func() error {
				out := n.run("kubectl get events --field-selector reason=SidecarRejectedConfiguration")
				if !strings.Contains(out, "pod/known") || !strings.Contains(out, "expression") {
					return fmt.Errorf("%s", out)
				}
				return nil
			})
			n.run(`kubectl get configmap istio -n istio-system -o yaml | sed '/accessLogFormat:/d' | kubectl replace -n istio-system -f -`)
		}},
		{"the API server is unavailable", func() {
			d := 20 * time.Second // a minute outlasts the Leases, too
			if *whole {
				d = time.Minute
			}
			n.withoutAPI(d)
		}},
	} {
		began := time.Now()
		step.do()
		reaches(step.what)
		time.Sleep(time.Until(began.Add(5 * time.Second))) // a step that is over at once shows little
		n.unharmed("known", began, 20)
	}
}

// withoutAPI stops the API server for a time: it does not respond, and holds every
// connection.
func (n *Namespace) withoutAPI(d time.Duration) {
	n.t.Helper()
	if !n.Own() {
		n.t.Log("skipped: the API server of a borrowed cluster is not ours to stop")
		return
	}
	for _, signal := range []string{"-STOP", "-CONT"} {
		if err := n.Signal("kube-apiserver", signal); err != nil {
			n.t.Fatal(err)
		}
		if signal == "-STOP" {
			time.Sleep(d)
		}
	}
	eventually(n.t, "the API server answers", func() error {
		out, err := n.Bash(ended, "kubectl get --raw /readyz --request-timeout=5s").CombinedOutput()
		if err != nil {
			return fmt.Errorf("%s%w", out, err)
		}
		return nil
	})
}
