package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/internal/revision"
	"github.com/outrider-mesh/outrider/test/kube"
)

// reported is a watcher whose results go to a StatusWriter.
type reported struct {
	*watched
	writer *StatusWriter
	stop   func()
}

func report(t *testing.T, of revision.Revision) *reported {
	t.Helper()
	r := &reported{watched: &watched{Server: kube.Require(t), t: t}}
	r.kubectl("", "apply", "--server-side", "-f", "../../deploy/crds")
	r.kubectl("", "wait", "--for=condition=Established", "--timeout=30s", "-f", "../../deploy/crds")
	t.Cleanup(func() { // other tests here start without the CRDs
		if out, err := r.Kubectl(context.Background(), "delete", "--ignore-not-found", "-f", "../../deploy/crds").CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
	client, err := kubernetes.NewForConfig(r.Config)
	r.must(err)
	objects, err := dynamic.NewForConfig(r.Config)
	r.must(err)
	log := funcr.New(func(prefix, args string) { t.Log(prefix, args) }, funcr.Options{})
	r.writer, err = NewStatusWriter(StatusOptions{Dynamic: objects, Revision: of, Log: log, Registry: prometheus.NewRegistry(), PerSecond: 1000})
	r.must(err)
	r.Watcher, err = New(Options{Client: client, Dynamic: objects, Quiet: 10 * time.Millisecond, Built: r.writer.Offer, Log: log})
	r.must(err)
	c, _ := config.Parse(config.Texts{}, config.Labels{})
	r.SetMesh(egress.CompileMesh(c.Mesh))
	r.stop = background(t, r.Start, r.writer.Run)
	return r
}

// background runs functions until the test ends or stop is called.
func background(t *testing.T, all ...func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, len(all))
	for _, f := range all {
		go func() { done <- f(ctx) }()
	}
	ended := false
	stop = func() {
		cancel()
		for range all {
			if ended {
				return
			}
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		ended = true
	}
	t.Cleanup(stop)
	return stop
}

// read is a field of an object, by JSONPath.
func (r *reported) read(ns, name, path string) string {
	r.t.Helper()
	out, err := r.Kubectl(r.t.Context(), "get", "-n", ns, name, "-o", "jsonpath="+path).CombinedOutput()
	if err != nil {
		return err.Error() + ": " + string(out)
	}
	return string(out)
}

const conditionText = `{.status.observedGeneration} {range .status.conditions[*]}{.type}={.status} {.reason} {.observedGeneration}: {.message}|{end}`

// wantStatus waits until the object's conditions are as wanted.
func (r *reported) wantStatus(ns, name, want string) {
	r.t.Helper()
	got := ""
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if got = r.read(ns, name, conditionText); got == want {
			return
		}
	}
	r.t.Fatalf("status of %s:\n%s\nwant\n%s", name, got, want)
}

func TestStatusConditions(t *testing.T) {
	r := report(t, "")
	ns := r.Namespace(t, nil)
	r.kubectl(entry("v1", ns, "bin", "httpbin.org"), "apply", "-f", "-")
	r.wantStatus(ns, "se/bin", "1 Accepted=True Accepted 1: accepted|")
	r.kubectl("", "wait", "-n", ns, "--for=condition=Accepted", "--timeout=10s", "se/bin")
	since := r.read(ns, "se/bin", "{.status.conditions[0].lastTransitionTime}")
	if _, err := time.Parse(time.RFC3339, since); err != nil {
		t.Errorf("lastTransitionTime: %v", err)
	}

	// A limit.
	r.kubectl(strings.Replace(entry("v1", ns, "ports", "httpbin.org"), `"ports":[`, `"ports":[`+strings.Repeat(`{"number":8080,"name":"x","protocol":"TCP"},`, 100), 1), "apply", "-f", "-")
	r.wantStatus(ns, "se/ports", "1 Accepted=False OverBudget 1: error: spec.ports: 101 ports exceed the limit of 100 for an object, and all of it is ignored; remove ports, or raise --egress-max-object-ports|")
	r.kubectl("", "delete", "-n", ns, "se/ports")

	// Problems and the observed generation; a new message alone keeps lastTransitionTime.
	r.kubectl(strings.Replace(entry("v1beta1", ns, "bin", "httpbin.org"), `"resolution"`, `"subjectAltNames":["a"],"resolution"`, 1), "apply", "-f", "-")
	r.wantStatus(ns, "se/bin", "2 Accepted=True Warnings 2: warning: spec.subjectAltNames: no effect: the sidecar does not originate TLS; remove it|")
	if now := r.read(ns, "se/bin", "{.status.conditions[0].lastTransitionTime}"); now != since {
		t.Errorf("lastTransitionTime changed from %s to %s without a change of status", since, now)
	}
	// The conditions and fields of others are kept.
	time.Sleep(1100 * time.Millisecond) // the times are in seconds
	r.kubectl("", "patch", "-n", ns, "se/bin", "--subresource=status", "--type=json", "-p",
		`[{"op":"add","path":"/status/conditions/0","value":{"type":"Reconciled","status":"True","reason":"r","message":"m","observedGeneration":"1"}},{"op":"add","path":"/status/theirs","value":"kept"}]`)
	r.kubectl(entry("v1", ns, "bin", "*"), "apply", "-f", "-")
	r.wantStatus(ns, "se/bin", `3 Reconciled=True r 1: m|Accepted=False Invalid 3: error: spec.hosts[0]: "*": wildcard host "*" is not allowed; use a name such as httpbin.org or *.example.com|`)
	if now := r.read(ns, "se/bin", "{.status.conditions[1].lastTransitionTime}"); now == since {
		t.Error("lastTransitionTime did not change with the status")
	}
	if theirs := r.read(ns, "se/bin", "{.status.theirs}"); theirs != "kept" {
		t.Errorf("the field of another writer: %q", theirs)
	}

	// A conflict is reported by the overridden object.
	r.kubectl(entry("v1", ns, "bin", "httpbin.org"), "apply", "-f", "-")
	r.kubectl(entry("v1alpha3", ns, "late", "httpbin.org"), "apply", "-f", "-")
	r.wantStatus(ns, "se/late", `1 Accepted=True Warnings 1: warning: spec.hosts: "httpbin.org": no effect on port 80: conflicts with ServiceEntry `+ns+`/bin, which takes precedence; merge the objects|`)
	r.kubectl("", "delete", "-n", ns, "se/bin")
	r.wantStatus(ns, "se/late", "1 Accepted=True Accepted 1: accepted|")

	r.kubectl(`{"apiVersion":"networking.istio.io/v1","kind":"VirtualService","metadata":{"namespace":"`+ns+`","name":"late"},
		"spec":{"hosts":["httpbin.org"],"http":[{"timeout":"-1s","route":[{"destination":{"host":"httpbin.org"}}]}]}}`, "apply", "-f", "-")
	r.wantStatus(ns, "vs/late", `1 Accepted=False Invalid 1: error: spec.http[0].timeout: "-1s": duration must be at least 1ms; use a duration such as 3s, or 0s for none|`)
}

// Only changes are written: not again after a restart, nor after others' writes. A
// condition that others remove is restored with the next result.
func TestStatusIsWrittenOnlyOnChange(t *testing.T) {
	r := report(t, "canary")
	ns := r.Namespace(t, nil)
	const n = 30
	var list strings.Builder
	for i := range n {
		fmt.Fprintln(&list, entry("v1", ns, fmt.Sprintf("e%d", i), fmt.Sprintf("h%d.example", i)))
	}
	r.kubectl(list.String(), "apply", "-f", "-")
	for i := range n {
		r.wantStatus(ns, fmt.Sprintf("se/e%d", i), "1 Accepted-canary=True Accepted 1: accepted|")
	}
	versions := func() string {
		return r.read(ns, "se", `{range .items[*]}{.metadata.name}={.metadata.resourceVersion} {end}`)
	}
	before := versions()
	for n := range 3 { // results without a change for these
		r.kubectl(entry("v1", ns+"", "other", fmt.Sprintf("o%d.example", n)), "apply", "-f", "-")
		r.wantStatus(ns, "se/other", fmt.Sprintf("%d Accepted-canary=True Accepted %d: accepted|", n+1, n+1))
	}
	r.kubectl("", "delete", "-n", ns, "se/other")
	r.stop()
	again := background(t, r.Start, r.writer.Run) // another leader
	time.Sleep(500 * time.Millisecond)
	if after := versions(); after != before {
		t.Errorf("written again:\n%s\n%s", before, after)
	}
	// The condition is removed, and an unrelated object changes.
	r.kubectl("", "patch", "-n", ns, "se/e0", "--subresource=status", "--type=merge", "-p", `{"status": {"conditions": []}}`)
	r.kubectl(entry("v1", ns, "other", "o.example"), "apply", "-f", "-")
	r.wantStatus(ns, "se/e0", "1 Accepted-canary=True Accepted 1: accepted|")

	// The watcher's state of an object is outdated: after the conflict the write is
	// made from the current object, and nothing of it is lost.
	again()
	result := *r.writer.latest.Load()
	r.kubectl("", "patch", "-n", ns, "se/e1", "--subresource=status", "--type=merge", "-p", `{"status": {"conditions": [{"type": "Theirs", "status": "True"}]}}`)
	found := 0
	for i := range result.Objects {
		if o := &result.Objects[i]; o.Meta.Name == "e1" && o.Meta.Namespace == ns {
			o.status = nil
			o.resource = strings.Split(strings.Split(before, "e1=")[1], " ")[0]
			found++
		}
	}
	r.writer.written = map[string]lastWrite{}
	r.must(r.writer.pass(t.Context(), r.offer(result)))
	r.wantStatus(ns, "se/e1", "1 Theirs=True  : |Accepted-canary=True Accepted 1: accepted|")
	if found != 1 {
		t.Fatal("object e1 not found")
	}
}

// offer offers a result and returns the writer's copy.
func (r *reported) offer(result Result) *Result {
	r.writer.Offer(result)
	return r.writer.latest.Load()
}

// An object that was deleted, recreated, or has another spec by now is not an error
// and is not written to.
func TestStatusOfChangedObjects(t *testing.T) {
	r := report(t, "")
	ns := r.Namespace(t, nil)
	r.kubectl(entry("v1", ns, "a", "a.example")+entry("v1", ns, "b", "b.example")+entry("v1", ns, "c", "c.example"), "apply", "-f", "-")
	for _, name := range []string{"a", "b", "c"} {
		r.wantStatus(ns, "se/"+name, "1 Accepted=True Accepted 1: accepted|")
	}
	r.stop()
	result := *r.writer.latest.Load()
	for i := range result.Objects {
		result.Objects[i].status = nil // so that there is a change to write
	}
	r.writer.written = map[string]lastWrite{}
	r.kubectl("", "delete", "-n", ns, "se/a", "se/b")
	r.kubectl(entry("v1", ns, "b", "b.example")+entry("v1", ns, "c", "other.example"), "apply", "-f", "-")
	r.must(r.writer.pass(t.Context(), r.offer(result)))
	if got := r.read(ns, "se/b", "{.status}"); got != "" {
		t.Errorf("written to another object: %s", got)
	}
	if got := r.read(ns, "se/c", "{.status.observedGeneration}"); got != "1" {
		t.Errorf("written for another spec: %s", got)
	}
}

// A CRD without the status subresource is one error per pass.
func TestStatusWithoutSubresource(t *testing.T) {
	r := report(t, "")
	ns := r.Namespace(t, nil)
	r.kubectl(entry("v1", ns, "a", "a.example")+entry("v1", ns, "b", "b.example"), "apply", "-f", "-")
	r.wantStatus(ns, "se/b", "1 Accepted=True Accepted 1: accepted|")
	r.stop()
	var ops []map[string]string
	for i := range 3 {
		ops = append(ops, map[string]string{"op": "remove", "path": fmt.Sprintf("/spec/versions/%d/subresources", i)})
	}
	patch, err := json.Marshal(ops)
	r.must(err)
	r.kubectl("", "patch", "crd", "serviceentries.networking.istio.io", "--type=json", "-p", string(patch))
	result := *r.writer.latest.Load()
	for i := range result.Objects {
		result.Objects[i].status = nil
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		r.writer.written = map[string]lastWrite{}
		err := r.writer.pass(t.Context(), r.offer(result))
		if err != nil && strings.Contains(err.Error(), "2 writes failed, the first: update status of ServiceEntry "+ns+"/a: the CRD has no status subresource") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the error: %v", err)
		}
	}
}
