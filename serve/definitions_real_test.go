package serve

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/outrider-mesh/outrider/test/kube"
)

const entries = "serviceentries.networking.istio.io"

// definer runs the runnable on a server of its own, for a definition belongs to
// the whole server and other tests here define too.
type definer struct {
	*kube.Server
	t     *testing.T
	mu    sync.Mutex
	lines []string
}

func newDefiner(t *testing.T) *definer {
	t.Helper()
	kube.Require(t) // says why where there is none
	s, err := kube.Start(t.Context(), kube.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return &definer{Server: s, t: t}
}

// with makes the runnable for a client.
func (d *definer) with(config *rest.Config) *definitions {
	d.t.Helper()
	mgr, err := ctrl.NewManager(config, ctrl.Options{Metrics: metricsserver.Options{BindAddress: "0"}, Logger: logr.Discard()})
	if err != nil {
		d.t.Fatal(err)
	}
	out, err := newDefinitions(mgr, funcr.New(func(_, args string) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.lines = append(d.lines, args)
	}, funcr.Options{}))
	if err != nil {
		d.t.Fatal(err)
	}
	return out
}

// log is what was logged since it was last asked.
func (d *definer) log() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := strings.Join(d.lines, "\n")
	d.lines = nil
	return out
}

// start runs it to its end.
func (d *definer) start(def *definitions) {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), 20*time.Second)
	defer cancel()
	if err := def.Start(ctx); err != nil || ctx.Err() != nil {
		d.t.Fatalf("%v, %v; log %s", err, ctx.Err(), d.log())
	}
}

// stored is a definition as the server has it, byte for byte.
func (d *definer) stored(def *definitions, name string) string {
	d.t.Helper()
	got, err := def.client.Get(d.t.Context(), name, metav1.GetOptions{})
	if err != nil {
		d.t.Fatal(err)
	}
	text, err := json.Marshal(got)
	if err != nil {
		d.t.Fatal(err)
	}
	return string(text)
}

func (d *definer) kubectl(args ...string) string {
	d.t.Helper()
	out, err := d.Kubectl(d.t.Context(), args...).CombinedOutput()
	if err != nil {
		d.t.Fatalf("kubectl %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// foreign is a definition as another mesh may have made it: an older one, with
// a field that ours has not, and without the version v1.
const foreign = `{"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
 "metadata": {"name": "serviceentries.networking.istio.io", "labels": {"release": "istio"}, "annotations": {"helm.sh/resource-policy": "keep"}},
 "spec": {"group": "networking.istio.io", "scope": "Namespaced",
  "names": {"kind": "ServiceEntry", "listKind": "ServiceEntryList", "plural": "serviceentries", "singular": "serviceentry"},
  "versions": [{"name": "v1beta1", "served": true, "storage": true, "subresources": {"status": {}}, "schema": {"openAPIV3Schema": {
   "type": "object", "properties": {"spec": {"type": "object", "properties": {"hosts": {"type": "array", "items": {"type": "string"}}, "theirs": {"type": "string"}}}}}}}]}}`

// One server goes through a definition's life, so the parts are in order.
func TestDefinitionsAreCreatedAndNeverChanged(t *testing.T) {
	d := newDefiner(t)
	def := d.with(d.Config)

	d.start(def)
	if log := d.log(); strings.Count(log, "CustomResourceDefinition created") != 2 {
		t.Errorf("at first: %s", log)
	}
	d.kubectl("wait", "--for=condition=Established", "--timeout=20s", "crd/"+entries, "crd/virtualservices.networking.istio.io")

	// Replicas start together, and again: nothing is written.
	before := d.stored(def, entries)
	var together sync.WaitGroup
	for range 3 {
		together.Go(func() { d.start(def) })
	}
	together.Wait()
	if log := d.log(); strings.Count(log, "found and left as it is") != 6 || strings.Contains(log, "error") {
		t.Errorf("again: %s", log)
	}
	if after := d.stored(def, entries); after != before {
		t.Errorf("changed from\n%s\nto\n%s", before, after)
	}

	// One that another mesh made stays, byte for byte, and what it lacks is said.
	d.kubectl("delete", "crd", entries, "--wait=true")
	var theirs unstructured.Unstructured
	if err := json.Unmarshal([]byte(foreign), &theirs); err != nil {
		t.Fatal(err)
	}
	if _, err := def.client.Create(t.Context(), &theirs, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	d.kubectl("wait", "--for=condition=Established", "--timeout=20s", "crd/"+entries)
	before = d.stored(def, entries)
	d.start(def)
	if after := d.stored(def, entries); after != before {
		t.Errorf("somebody's own changed from\n%s\nto\n%s", before, after)
	}
	if log := d.log(); !strings.Contains(log, `"missing"=["version v1" "status of v1" "version v1alpha3" "status of v1alpha3"]`) {
		t.Errorf("what is missing: %s", log)
	}
	// So says the command that the files name.
	out, err := d.Kubectl(t.Context(), "create", "-f", "../deploy/crds/").CombinedOutput()
	if err == nil || strings.Count(string(out), "(AlreadyExists)") != 2 {
		t.Errorf("kubectl create: %v\n%s", err, out)
	}
	if after := d.stored(def, entries); after != before {
		t.Errorf("kubectl create changed\n%s\nto\n%s", before, after)
	}

	// One that is being deleted is waited for, and then made.
	d.kubectl("patch", "crd", entries, "--type=merge", "-p", `{"metadata": {"finalizers": ["example.com/hold"]}}`)
	d.kubectl("delete", "crd", entries, "--wait=false")
	var wanted *unstructured.Unstructured
	all, err := embeddedDefinitions()
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range all {
		if w.GetName() == entries {
			wanted = w
		}
	}
	if err := def.ensure(t.Context(), wanted); err == nil || !strings.Contains(err.Error(), "is being deleted") {
		t.Errorf("while it is being deleted: %v", err)
	}
	d.kubectl("patch", "crd", entries, "--type=merge", "-p", `{"metadata": {"finalizers": null}}`)
	d.kubectl("wait", "--for=delete", "--timeout=20s", "crd/"+entries)
	d.start(def)
	if got := d.stored(def, entries); !strings.Contains(got, `"app":"outrider"`) {
		t.Errorf("not made anew: %s", got)
	}
}

// Without the right, the log says what to do, and nothing else fails.
func TestDefinitionsWithoutTheRight(t *testing.T) {
	server := kube.Require(t)
	d := &definer{Server: server, t: t}
	config := rest.CopyConfig(server.Config)
	config.Impersonate = rest.ImpersonationConfig{UserName: "nobody"}
	def := d.with(config)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := def.Start(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if log := d.log(); !strings.Contains(log, "forbidden") || !strings.Contains(log, "kubectl create -f deploy/crds/") {
		t.Errorf("log: %s", log)
	}
}
