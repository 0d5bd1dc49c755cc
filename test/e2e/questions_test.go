package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	reports "github.com/outrider-mesh/outrider/status"
)

// questionsPage is followed by the scenario of that name.
const questionsPage = "docs/questions.md"

// questions does what docs/questions.md asks of its readers. The edit on the page concerns
// the workload of the page alone: "outrider preview" names that workload beforehand,
// "outrider status" names the same one afterwards, and none once the printed commands are
// run; workloads in another namespace have annotations in place of the settings.
func questions(t *testing.T, s *Suite) {
	other := s.Namespace(t, "own-settings", injected)
	other.deployment("own", 1, `traffic.sidecar.istio.io/includeOutboundIPRanges: 10.0.0.0/8`)
	other.deployment("none", 1, `sidecar.istio.io/inject: "false"`)
	n := s.namespace(t, "shop")
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(n.report())
			s.undo(t, "kubectl delete namespace shop --ignore-not-found --wait=false; kubectl apply -f deploy/settings.yaml")
		}
	})
	// A reader reads on: that a label was written after a pod was created shows in times in
	// seconds.
	reads := map[string]string{"kubectl get pods -n shop": "sleep 2"}
	ran := n.follow(questionsPage, reads, "Why is my pod not injected?", "Why does my request not go through the sidecar?", "Why is my request blocked?")
	other.rolledOut("deployment/own", "deployment/none")

	if r := n.status("-A"); len(r.Workloads)+len(r.Missing) > 0 || r.Summary.Injected != 2 || len(r.Replicas) != 4 {
		t.Fatalf("before the edit: %+v", r)
	}
	p := n.preview(editedRanges)
	ran += n.follow(questionsPage, nil, "What will this edit do?")
	ran += n.follow(questionsPage, map[string]string{"| kubectl apply -f -": "sleep 2; outrider status -A -o json > $WORK/edited.json"}, "Which pods still run with the old ranges?")
	n.named(p)
	if r := n.status("-A"); len(r.Workloads)+len(r.Missing)+len(r.Warnings) > 0 || r.Summary.Injected != 2 {
		t.Errorf("after the commands: %+v", r)
	}
	n.run("outrider preview -A --set global.proxy.includeIPRanges=" + editedRanges) // changes nothing
	if ran += n.follow(questionsPage, nil, "Clean up"); ran < 25 {
		t.Errorf("%d commands were run; the page has lost its blocks", ran)
	}
}

// editedRanges are those of the page's edit. Nothing of the cluster is in them.
const editedRanges = "198.51.100.0/24,2001:db8:51::/48"

// preview is what the command prints about all pods, which names the workload of the page.
func (n *Namespace) preview(include string) (p reports.Preview) {
	n.t.Helper()
	text := n.fails("outrider preview -A --set global.proxy.includeIPRanges=" + include + " -o json 2>/dev/null")
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		n.t.Fatalf("%v: %s", err, text)
	}
	if got := names(p.Workloads, func(w reports.PreviewWorkload) reports.Object { return w.Object }); !slices.Equal(got, []string{"shop/sleep"}) {
		n.t.Fatalf("the preview names %v", got)
	}
	if w := p.Workloads[0]; !w.Changed || len(w.Pods) != 1 || !slices.Contains(w.Bypassed, servers+"/httpbin") || slices.Contains(w.Captured, servers+"/httpbin") {
		n.t.Errorf("the preview: %+v", w)
	}
	return p
}

// named: the status after the edit, in $WORK/edited.json, names what the preview did.
func (n *Namespace) named(p reports.Preview) {
	n.t.Helper()
	text, err := os.ReadFile(filepath.Join(n.Work, "edited.json"))
	if err != nil {
		n.t.Fatal(err)
	}
	var r reports.Report
	if err := json.Unmarshal(text, &r); err != nil {
		n.t.Fatalf("%v: %s", err, text)
	}
	if got := names(r.Workloads, func(w reports.Workload) reports.Object { return w.Object }); !slices.Equal(got, []string{"shop/sleep"}) {
		n.t.Fatalf("after the edit the status names %v", got)
	}
	if d := r.Workloads[0].Differences; len(d) != 1 || d[0].Name != "includeOutboundIPRanges" || d[0].Is != editedRanges || d[0].Line == 0 {
		n.t.Errorf("differences: %+v", d)
	}
	if r.Active.Hash == "" || r.Active.Hash != p.To || r.Active.Source != "configmap" {
		n.t.Errorf("the active settings are %+v, the preview's %s", r.Active, p.To)
	}
	for _, o := range r.Replicas {
		if o.ConfigHash != p.To || o.Version == "" || len(o.Components) != 1 || o.Silent || (o.Components[0] == "xds") != (o.Connected != nil) {
			n.t.Errorf("replica %+v", o)
		}
	}
}

// status is what the command prints about pods.
func (n *Namespace) status(flags string) (r reports.Report) {
	n.t.Helper()
	text := n.run("outrider status " + flags + " -o json 2>/dev/null")
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
