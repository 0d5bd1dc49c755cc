package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	reports "github.com/outrider-mesh/outrider/status"
)

// compared: "outrider preview" names beforehand the workloads that "outrider status" names
// after an edit, and after the printed commands it names none; a pod that is older than its
// namespace's label has that as the cause.
func compared(t *testing.T, s *Suite) {
	n := s.Namespace(t, "compared", injected)
	later := s.Namespace(t, "later")
	t.Cleanup(func() { s.undo(t, "kubectl apply -f deploy/settings.yaml") })
	n.deployment("plain", 2, "a: b")
	n.deployment("own", 1, `traffic.sidecar.istio.io/includeOutboundIPRanges: 10.0.0.0/8`)
	n.deployment("none", 1, `sidecar.istio.io/inject: "false"`)
	later.deployment("early", 1, "a: b")
	n.rolledOut("deployment/plain", "deployment/own", "deployment/none")
	later.rolledOut("deployment/early")

	if r := n.status(); len(r.Workloads)+len(r.Missing) > 0 || r.Summary.Injected != 3 || len(r.Replicas) != 4 {
		t.Fatalf("before the edit: %+v", r)
	}
	const exclude, include = "", "192.0.2.0/24,2001:db8:ffff::/48" // of both families: with one, each pod has a warning
	var p reports.Preview
	text := n.fails("outrider preview -A --set global.proxy.includeIPRanges=" + include + " -o json 2>/dev/null")
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	if got := names(p.Workloads, func(w reports.PreviewWorkload) reports.Object { return w.Object }); !slices.Equal(got, []string{"compared/plain"}) {
		t.Fatalf("the preview names %v", got)
	}
	if w := p.Workloads[0]; !w.Changed || len(w.Pods) != 2 || !slices.Contains(w.Bypassed, servers+"/httpbin") || slices.Contains(w.Captured, servers+"/httpbin") {
		t.Errorf("the preview: %+v", w)
	}
	n.setRanges(include, exclude)

	r := n.status()
	if got := names(r.Workloads, func(w reports.Workload) reports.Object { return w.Object }); !slices.Equal(got, []string{"compared/plain"}) {
		t.Fatalf("after the edit the status names %v", got)
	}
	if d := r.Workloads[0].Differences; len(d) != 1 || d[0].Name != "includeOutboundIPRanges" || d[0].Is != include || d[0].Line == 0 {
		t.Errorf("differences: %+v", d)
	}
	if r.Active.Hash == "" || r.Active.Hash != p.To || r.Active.Source != "configmap" {
		t.Errorf("the active settings are %+v, the preview's %s", r.Active, p.To)
	}
	for _, o := range r.Replicas {
		if o.ConfigHash != p.To || o.Version == "" || len(o.Components) != 1 || o.Silent || (o.Components[0] == "xds") != (o.Connected != nil) {
			t.Errorf("replica %+v", o)
		}
	}
	n.run(r.Workloads[0].Command)
	n.rolledOut("deployment/plain")

	later.run("kubectl label namespace later " + injected)
	if r = later.status(); len(r.Workloads) > 0 || len(r.Missing) != 1 || r.Missing[0].Cause.ID != reports.LabelLater || !strings.Contains(r.Missing[0].Cause.Text, "by kubectl-label") {
		t.Fatalf("with a pod that is older than the label: %+v", r)
	}
	later.run(r.Missing[0].Command)
	later.rolledOut("deployment/early")
	if r = n.status(); len(r.Workloads)+len(r.Missing)+len(r.Warnings) > 0 || r.Summary.Injected != 4 {
		t.Errorf("after the commands: %+v", r)
	}
	n.run("outrider preview -A --set global.proxy.includeIPRanges=" + include) // changes nothing
}

// status is what the command prints about all pods.
func (n *Namespace) status() (r reports.Report) {
	n.t.Helper()
	text := n.run("outrider status -A -o json 2>/dev/null")
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		n.t.Fatalf("%v: %s", err, text)
	}
	return r
}

// names are those of workloads, once each.
func names[T any](all []T, of func(T) reports.Object) (out []string) {
	for _, w := range all {
		out = append(out, of(w).Namespace+"/"+of(w).Name)
	}
	return slices.Compact(out)
}

// deployment makes a Deployment whose pods have an annotation, and does not wait for it.
func (n *Namespace) deployment(name string, replicas int, annotation string) {
	n.t.Helper()
	n.apply(fmt.Sprintf(`apiVersion: apps/v1
kind: Deployment
metadata:
  name: %[1]s
spec:
  replicas: %[2]d
  selector: {matchLabels: {app: %[1]s}}
  template:
    metadata:
      labels: {app: %[1]s}
      annotations:
        %[3]s
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: sleep
        image: curlimages/curl
        imagePullPolicy: IfNotPresent
        command: [/bin/sleep, infinity]
`, name, replicas, annotation))
}
