package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	reports "github.com/outrider-mesh/outrider/status"
)

// lower is what changes a sidecar so that it rejects a regular expression that the control
// plane allows: Envoy's limit of their size.
const lower = "sed 's/max_program_size.error_level: 32768/max_program_size.error_level: 500/'"

// longRoute has such an expression, for its own namespace.
const longRoute = `kubectl apply -f - <<EOF
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: httpbin}
spec:
  exportTo: ["."]
  hosts: [httpbin.org]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: DNS
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: httpbin}
spec:
  exportTo: ["."]
  hosts: [httpbin.org]
  http:
  - match: [{uri: {regex: "/[a-z]{900}"}}]
    route: [{destination: {host: httpbin.org}}]
  - route: [{destination: {host: httpbin.org}}]
EOF`

// sidecars: "outrider status" names a sidecar that rejects its configuration, with Envoy's
// message, and one that does not confirm it; with --watch it prints the report again.
func sidecars(t *testing.T, s *Suite) {
	n := s.Namespace(t, "sidecars")
	pod := func(name string) string {
		return fmt.Sprintf("{apiVersion: v1, kind: Pod, metadata: {name: %s}, spec: {terminationGracePeriodSeconds: 0, containers: [{name: sleep, image: curlimages/curl, imagePullPolicy: IfNotPresent, command: [/bin/sleep, infinity]}]}}", name)
	}
	n.run(fmt.Sprintf("outrider kube-inject -f - <<< '%s' | %s | kubectl apply -f -", pod("rejects"), lower))
	n.run(fmt.Sprintf("outrider kube-inject -f - <<< '%s' | kubectl apply -f -", pod("stopped")))
	n.ready("rejects", "stopped")
	if r := n.status(""); len(r.Sidecars) > 0 || r.Summary.Injected != 2 {
		t.Fatalf("before the edit: %+v", r)
	}
	watched := filepath.Join(n.Work, "watched")
	ctx, stop := context.WithTimeout(ended, patience)
	watch := n.Bash(ctx, fmt.Sprintf("exec outrider status --watch --interval 1s > %s", watched))
	if err := watch.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		stop() // ends its process, also after a failure
		_ = watch.Wait()
	}()
	eventually(t, "the report is printed", func() error { return has(watched, "2 pods of 2 workloads: 2 with a sidecar") })
	want := map[string]string{"rejects": reports.Rejecting}
	if s.Own() {
		if err := s.StopPod(string(n.pod("pod/stopped").UID)); err != nil {
			t.Fatal(err)
		}
		want["stopped"] = reports.Behind
	}
	n.run(longRoute)
	eventually(t, "the status names the sidecars", func() error {
		r := n.status("")
		for name, id := range want {
			if hasProblem(r, name, id) {
				delete(want, name) // the control plane closes the stream of a sidecar that does not respond
			}
		}
		if len(want) > 0 {
			return fmt.Errorf("not shown: %v: %+v, %+v", want, r.Sidecars, r.Replicas)
		}
		return nil
	})
	eventually(t, "the report is printed again", func() error { return has(watched, " rejects ", reports.Rejecting, "max program size") })
}

func hasProblem(r reports.Report, pod, id string) bool {
	for _, o := range r.Sidecars {
		if o.Pod == pod && o.ID == id {
			return true
		}
	}
	return false
}

// has fails while the file does not have the texts.
func has(file string, texts ...string) error {
	have, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	for _, text := range texts {
		if !strings.Contains(string(have), text) {
			return fmt.Errorf("%q is not in:\n%s", text, have)
		}
	}
	return nil
}
