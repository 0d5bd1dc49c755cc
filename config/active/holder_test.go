package active

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	meshconfig "istio.io/api/mesh/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/inject"
	"github.com/outrider-mesh/outrider/ranges"
)

// events keeps what is recorded.
type events []string

func (e *events) Eventf(_, _ runtime.Object, _, reason, _, note string, args ...any) {
	*e = append(*e, reason+": "+fmt.Sprintf(note, args...))
}

// held is a Holder whose environment is known, as after its start, and what it
// was seen to do.
type held struct {
	*Holder
	t         *testing.T
	events    events
	compiled  int // mesh configurations
	snapshots []*Snapshot
}

func newHeld(t *testing.T) *held {
	t.Helper()
	h := &held{t: t}
	maps := config.LocationOf("istio-system", "")
	var err error
	h.Holder, err = New(Options{
		ConfigMaps: maps,
		Client:     fake.NewClientset(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: maps.Namespace, Name: maps.Injector}}),
		Environment: func(context.Context) (inject.Environment, error) {
			return inject.Environment{}, nil
		},
		Events: &h.events, Log: logr.Discard(), Registry: prometheus.NewRegistry(),
		CompileMesh: func(c *meshconfig.MeshConfig) *egress.Mesh { h.compiled++; return egress.CompileMesh(c) },
	})
	if err != nil {
		t.Fatal(err)
	}
	h.Subscribe(func(s *Snapshot) { h.snapshots = append(h.snapshots, s) })
	h.environment.Store(&inject.Environment{})
	return h
}

// load is what the watcher calls, where both ConfigMaps exist.
func (h *held) load(texts config.Texts) {
	h.Holder.load(content{texts: texts, injector: part{exists: true}, mesh: part{exists: true}})
}

// recorded compares the events since the last call.
func (h *held) recorded(parts ...string) {
	h.t.Helper()
	if len(h.events) != len(parts) {
		h.t.Fatalf("%d events, want %d: %q", len(h.events), len(parts), h.events)
	}
	for i, p := range parts {
		if !strings.Contains(h.events[i], p) {
			h.t.Errorf("event %q, want %q", h.events[i], p)
		}
	}
	h.events = nil
}

// captured compares the ranges that the next pod has redirected.
func (h *held) captured(want string) {
	h.t.Helper()
	i := h.Injector()
	if i == nil {
		h.t.Fatal("no configuration is active")
	}
	r, err := i.Inject(inject.Request{Pod: []byte(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"},"spec":{"containers":[{"name":"a","image":"i"}]}}`)})
	if err != nil {
		h.t.Fatal(err)
	}
	if got := r.Settings.IncludeIPRanges.String(); got != want {
		h.t.Errorf("captured %s, want %s", got, want)
	}
}

// read is a complete reading of the documents.
func (h *held) read(texts ...string) (complete bool) {
	h.t.Helper()
	f, err := ranges.Read([]ranges.Document{{Name: "d", Text: strings.Join(texts, "\n"), Answer: true}})
	if err != nil {
		h.t.Fatal(err)
	}
	return h.SetRanges(f, nil)
}

// The twin on a real API server is serve's TestClusterRangesAreFollowed.
func TestRanges(t *testing.T) {
	const (
		services = `{"apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "spec": {"cidrs": ["10.96.0.0/16"]}}`
		grown    = `{"apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "spec": {"cidrs": ["10.98.0.0/16"]}}`
		pool     = `{"apiVersion": "crd.projectcalico.org/v1", "kind": "IPPool", "spec": {"cidr": "10.244.0.0/16"}}`
	)
	h := newHeld(t)
	h.load(config.Texts{Values: "global: {proxy: {includeIPRanges: cluster}}"})
	h.recorded("ConfigurationRejected: no valid configuration; pods are denied")
	if h.read(services) {
		t.Error("Services alone are a complete reading")
	}
	h.recorded("pod ranges: not in the documents; provided by: kubectl")
	h.read(services)
	h.recorded() // the same again is not reported again
	if h.Injector() != nil || h.Ready(nil) == nil {
		t.Fatal("an incomplete reading is active")
	}
	if !h.read(services, pool) {
		t.Error("Services and pods are no complete reading")
	}
	h.captured("10.96.0.0/16,10.244.0.0/16")
	if err := h.Ready(nil); err != nil {
		t.Error(err)
	}
	h.events = nil
	h.read(services, pool)
	h.recorded()
	h.read(services, grown, pool)
	h.captured("10.96.0.0/16,10.98.0.0/16,10.244.0.0/16")
	h.recorded("ConfigurationApplied")
	h.read(services, grown) // the pools may not be read any more
	h.captured("10.96.0.0/16,10.98.0.0/16,10.244.0.0/16")
	h.recorded("ConfigurationApplied", `RangesEvidenceLost: source for "cluster" lost: pod ranges: `)
	h.load(config.Texts{Values: "global: {tag: other, proxy: {includeIPRanges: cluster}}"})
	h.captured("10.96.0.0/16,10.98.0.0/16,10.244.0.0/16")
	h.events = nil
	h.load(config.Texts{Values: "global: {platform: k3s, proxy: {includeIPRanges: cluster}}"}) // another question
	h.captured("10.42.0.0/16,10.96.0.0/16,10.98.0.0/16")
	h.events = nil
	h.load(config.Texts{Values: "global: {proxy: {includeIPRanges: nonsense/}}"})
	h.recorded("remains active")
	h.read(services, pool) // reported once; the active configuration follows
	h.recorded()
	h.captured("10.96.0.0/16,10.244.0.0/16")
	if h.SetRanges(nil, errors.New("no connection")) {
		t.Error("an error is a complete reading")
	}
	h.captured("10.96.0.0/16,10.244.0.0/16")
}

// A rejected edit changes nothing, whichever part of it has the error.
func TestLastGoodConfigurationStays(t *testing.T) {
	h := newHeld(t)
	good := config.Texts{Values: "global: {hub: a, x: y}"}
	h.load(good)
	h.recorded("ConfigurationApplied")
	first := h.Current()
	if first.Texts != good || first.Config.Values.Global.Hub != "a" || first.Injector.Config().Hash != first.Config.Hash || len(first.Warnings) != 1 {
		t.Errorf("%+v", first)
	}
	for part, texts := range map[string]config.Texts{
		"values":   {Values: "global: {hub: b, proxy: {privileged: 3}}"},
		"template": {Config: "templates: {sidecar: '{{ .NoSuch'}"},
		"mesh":     {Mesh: "accessLogFormat: '%NOT_A_COMMAND%'"},
	} {
		h.load(texts)
		h.recorded("ConfigurationRejected: configuration " + first.Hash() + " remains active: ")
		if h.Current() != first {
			t.Errorf("%s with an error: %+v", part, h.Current())
		}
	}
	h.load(config.Texts{Values: "global: {hub: d}"})
	h.recorded("ConfigurationApplied")
	if s := h.Current(); s.Config.Values.Global.Hub != "d" || len(s.Warnings) != 0 {
		t.Errorf("a valid one after invalid ones: %+v", s)
	}
	if len(h.snapshots) != 2 || h.snapshots[0] != first || h.snapshots[1] != h.Current() {
		t.Errorf("subscribers had %d snapshots", len(h.snapshots))
	}
}

// An edit compiles its mesh configuration once: validation, the Snapshot and its
// subscribers share it, and new ranges compile none.
func TestEditCompilesMeshOnce(t *testing.T) {
	h := newHeld(t)
	h.load(config.Texts{Mesh: "accessLogFile: /dev/stdout"})
	h.load(config.Texts{Mesh: "accessLogFile: /dev/stderr"})
	if h.compiled != 2 {
		t.Errorf("%d mesh configurations compiled by two edits", h.compiled)
	}
	last := h.snapshots[len(h.snapshots)-1]
	h.read(`{"apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "spec": {"cidrs": ["10.96.0.0/16"]}}`)
	if next := h.Current(); h.compiled != 2 || next == last || next.Mesh != last.Mesh {
		t.Errorf("%d mesh configurations compiled after new ranges", h.compiled)
	}
	model, problems := egress.Build(egress.Input{Mesh: h.Current().Mesh})
	if h.compiled != 2 || model == nil || len(problems) != 0 {
		t.Errorf("%d mesh configurations compiled after a model: %v", h.compiled, problems)
	}
	h.load(config.Texts{Mesh: "accessLogFormat: '%NOT_A_COMMAND%'"})
	if h.compiled != 3 {
		t.Errorf("%d mesh configurations compiled after a rejected edit", h.compiled)
	}
}

// Check reports what load would, and activates nothing.
func TestCheck(t *testing.T) {
	h := newHeld(t)
	h.load(config.Texts{Values: "global: {hub: a}", Mesh: "connectTimeout: 1s"})
	before := h.Current()
	problems, ok := h.Check(func(texts *config.Texts) {
		if texts.Values != "global: {hub: a}" {
			t.Errorf("the active texts are %+v", texts)
		}
		texts.Mesh = "connectTimeout: 1s\naccessLogFormat: '%NOT_A_COMMAND%'"
	})
	if want := `ConfigMap istio-system/istio, key "mesh":2:18: accessLogFormat: "%NOT_A_COMMAND%": `; !ok || len(problems) != 1 || !strings.HasPrefix(problems[0].String(), want) {
		t.Errorf("%v, %v, want %s", ok, problems, want)
	}
	if h.Current() != before || len(h.snapshots) != 1 {
		t.Error("Check activated something")
	}
	h.environment.Store(nil)
	if _, ok := h.Check(func(*config.Texts) {}); ok {
		t.Error("an edit is validated before the environment is known")
	}
}
