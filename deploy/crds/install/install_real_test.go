package install

import (
	"context"
	"encoding/json"
	"errors"
	"os"
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

func TestMain(m *testing.M) { os.Exit(kube.Main(m)) }

const entries = "serviceentries.networking.istio.io"

// harness runs the Installer on an API server of its own, because a CRD is
// cluster-scoped and other tests create the same ones.
type harness struct {
	*kube.Server
	t     *testing.T
	mu    sync.Mutex
	lines []string
}

func newHarness(t *testing.T) *harness {
	t.Helper()
	kube.Require(t) // reports why there is none
	s, err := kube.Start(t.Context(), kube.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return &harness{Server: s, t: t}
}

// with returns an Installer that uses a client configuration.
func (h *harness) with(config *rest.Config) *Installer {
	h.t.Helper()
	mgr, err := ctrl.NewManager(config, ctrl.Options{Metrics: metricsserver.Options{BindAddress: "0"}, Logger: logr.Discard()})
	if err != nil {
		h.t.Fatal(err)
	}
	out, err := New(mgr, false, funcr.New(func(_, args string) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.lines = append(h.lines, args)
	}, funcr.Options{}))
	if err != nil {
		h.t.Fatal(err)
	}
	return out
}

// log returns the lines logged since the last call.
func (h *harness) log() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := strings.Join(h.lines, "\n")
	h.lines = nil
	return out
}

// start runs an Installer until it is done.
func (h *harness) start(in *Installer) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), 20*time.Second)
	defer cancel()
	if err := in.Start(ctx); err != nil || ctx.Err() != nil {
		h.t.Fatalf("%v, %v; log %s", err, ctx.Err(), h.log())
	}
}

// stored returns a CRD as the server has it, byte for byte.
func (h *harness) stored(in *Installer, name string) string {
	h.t.Helper()
	got, err := in.client.Get(h.t.Context(), name, metav1.GetOptions{})
	if err != nil {
		h.t.Fatal(err)
	}
	text, err := json.Marshal(got)
	if err != nil {
		h.t.Fatal(err)
	}
	return string(text)
}

func (h *harness) kubectl(args ...string) string {
	h.t.Helper()
	out, err := h.Kubectl(h.t.Context(), args...).CombinedOutput()
	if err != nil {
		h.t.Fatalf("kubectl %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// foreign is a CRD as another mesh may have created it: older, with a field that
// ours lacks, and without the version v1.
const foreign = `{"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
 "metadata": {"name": "serviceentries.networking.istio.io", "labels": {"release": "istio"}, "annotations": {"helm.sh/resource-policy": "keep"}},
 "spec": {"group": "networking.istio.io", "scope": "Namespaced",
  "names": {"kind": "ServiceEntry", "listKind": "ServiceEntryList", "plural": "serviceentries", "singular": "serviceentry"},
  "versions": [{"name": "v1beta1", "served": true, "storage": true, "subresources": {"status": {}}, "schema": {"openAPIV3Schema": {
   "type": "object", "properties": {"spec": {"type": "object", "properties": {"hosts": {"type": "array", "items": {"type": "string"}}, "theirs": {"type": "string"}}}}}}}]}}`

// The steps follow the life of one CRD on one server, so they run in order.
func TestInstaller_CreatesMissingAndNeverChangesExisting(t *testing.T) {
	h := newHarness(t)
	in := h.with(h.Config)

	h.start(in)
	if log := h.log(); strings.Count(log, "CustomResourceDefinition created") != 4 {
		t.Errorf("at first: %s", log)
	}
	h.kubectl("wait", "--for=condition=Established", "--timeout=20s", "crd/"+entries, "crd/virtualservices.networking.istio.io")

	// Replicas start together, a second time: nothing is written.
	before := h.stored(in, entries)
	var together sync.WaitGroup
	for range 3 {
		together.Go(func() { h.start(in) })
	}
	together.Wait()
	if log := h.log(); strings.Count(log, "existing CustomResourceDefinition kept") != 12 || strings.Contains(log, "error") {
		t.Errorf("again: %s", log)
	}
	if after := h.stored(in, entries); after != before {
		t.Errorf("changed from\n%s\nto\n%s", before, after)
	}

	// A CRD of another mesh is kept byte for byte, and its missing features are logged.
	h.kubectl("delete", "crd", entries, "--wait=true")
	var theirs unstructured.Unstructured
	if err := json.Unmarshal([]byte(foreign), &theirs); err != nil {
		t.Fatal(err)
	}
	if _, err := in.client.Create(t.Context(), &theirs, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	h.kubectl("wait", "--for=condition=Established", "--timeout=20s", "crd/"+entries)
	before = h.stored(in, entries)
	h.start(in)
	if after := h.stored(in, entries); after != before {
		t.Errorf("a CRD of another mesh changed from\n%s\nto\n%s", before, after)
	}
	if log := h.log(); !strings.Contains(log, `"missing"=["version v1" "status of v1" "version v1alpha3" "status of v1alpha3"]`) {
		t.Errorf("missing features: %s", log)
	}
	// The command in the comment of the files does the same.
	out, err := h.Kubectl(t.Context(), "create", "-f", "../").CombinedOutput()
	if err == nil || strings.Count(string(out), "(AlreadyExists)") != 4 {
		t.Errorf("kubectl create: %v\n%s", err, out)
	}
	if after := h.stored(in, entries); after != before {
		t.Errorf("kubectl create changed\n%s\nto\n%s", before, after)
	}

	// A CRD that is being deleted is waited for, and then created again.
	h.kubectl("patch", "crd", entries, "--type=merge", "-p", `{"metadata": {"finalizers": ["example.com/hold"]}}`)
	h.kubectl("delete", "crd", entries, "--wait=false")
	var wanted *unstructured.Unstructured
	all, err := embedded()
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range all {
		if w.GetName() == entries {
			wanted = w
		}
	}
	if err := in.ensure(t.Context(), wanted); err == nil || !strings.Contains(err.Error(), "is being deleted") {
		t.Errorf("while it is being deleted: %v", err)
	}
	h.kubectl("patch", "crd", entries, "--type=merge", "-p", `{"metadata": {"finalizers": null}}`)
	h.kubectl("wait", "--for=delete", "--timeout=20s", "crd/"+entries)
	h.start(in)
	if got := h.stored(in, entries); !strings.Contains(got, `"app":"outrider"`) {
		t.Errorf("not created again: %s", got)
	}
}

// Without permission the log has the manual command, and nothing else fails.
func TestInstaller_Forbidden(t *testing.T) {
	server := kube.Require(t)
	h := &harness{Server: server, t: t}
	config := rest.CopyConfig(server.Config)
	config.Impersonate = rest.ImpersonationConfig{UserName: "nobody"}
	in := h.with(config)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := in.Start(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if log := h.log(); !strings.Contains(log, "forbidden") || !strings.Contains(log, "kubectl create -f deploy/crds/") {
		t.Errorf("log: %s", log)
	}
}
