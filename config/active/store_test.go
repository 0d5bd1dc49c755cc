package active

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/inject"
)

// site is a namespace that replicas share. The twin on a real API server is serve's
// TestLastGood.
type site struct {
	t      *testing.T
	client *fake.Clientset
	maps   config.Location
}

const storeName = "outrider-last-good"

func newSite(t *testing.T) *site {
	return &site{t, fake.NewClientset(), config.LocationOf("istio-system", "")}
}

// put writes both ConfigMaps.
func (s *site) put(texts config.Texts) content {
	s.t.Helper()
	api := s.client.CoreV1().ConfigMaps(s.maps.Namespace)
	var c content
	for name, data := range map[string]map[string]string{
		s.maps.Injector: {"config": texts.Config, "values": texts.Values}, s.maps.Mesh: {"mesh": texts.Mesh},
	} {
		cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: s.maps.Namespace, Name: name}, Data: data}
		if _, err := api.Update(s.t.Context(), cm, metav1.UpdateOptions{}); apierrors.IsNotFound(err) {
			_, err = api.Create(s.t.Context(), cm, metav1.CreateOptions{})
			if err != nil {
				s.t.Fatal(err)
			}
		}
		c.set(s.maps, name, cm)
	}
	return c
}

// start is a replica that has read what is stored, and has not read the ConfigMaps.
func (s *site) start(version string) *held {
	s.t.Helper()
	h := &held{t: s.t}
	var err error
	h.Holder, err = New(Options{
		ConfigMaps: s.maps, Client: s.client, Store: storeName, Version: version,
		Environment: func(context.Context) (inject.Environment, error) { return inject.Environment{}, nil },
		Events:      &h.events, Log: logr.Discard(), Registry: prometheus.NewRegistry(),
	})
	if err != nil {
		s.t.Fatal(err)
	}
	h.environment.Store(&inject.Environment{})
	if !h.readStore(s.t.Context()) {
		s.t.Fatal("nothing was read")
	}
	return h
}

// stored are the latest hashes of what is stored, newest first.
func (s *site) stored() string {
	s.t.Helper()
	cm, err := s.client.CoreV1().ConfigMaps(s.maps.Namespace).Get(s.t.Context(), storeName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return ""
	}
	if err != nil {
		s.t.Fatal(err)
	}
	records, errs := config.ReadHistory(cm.Data, cm.BinaryData)
	if len(errs) > 0 {
		s.t.Fatal(errs)
	}
	var out []string
	for _, r := range records {
		out = append(out, r.Latest())
	}
	return strings.Join(out, " ")
}

func (h *held) wrote(want bool) {
	h.t.Helper()
	if done, err := h.tryWrite(h.t.Context()); err != nil || done != want {
		h.t.Errorf("written: %v, %v, want %v", done, err, want)
	}
}

var (
	good    = config.Texts{Values: "global: {hub: good}"}
	earlier = config.Texts{Values: "global: {hub: earlier}"}
	bad     = config.Texts{Values: "global: {hub: bad, proxy: {privileged: 3}}"}
)

func TestOnlyConfigMapsAreStored(t *testing.T) {
	s := newSite(t)
	h := s.start("v1")
	h.Holder.load(content{})
	if h.Status().Source != FromDefaults {
		t.Errorf("%+v", h.Status())
	}
	h.wrote(false) // the defaults of a cluster without ConfigMaps
	h.Holder.load(s.put(good))
	h.wrote(true)
	h.wrote(false)
	first := s.stored()
	if first != h.Current().Hash() {
		t.Errorf("stored %s, active %s", first, h.Current().Hash())
	}
	h.Holder.load(s.put(bad))
	h.wrote(false)

	restarted := s.start("v1")
	restarted.Holder.load(s.put(bad))
	restarted.wrote(false) // it is active, and not of the ConfigMaps
	if got := restarted.Status(); got.Hash != first || got.Source != FromLastGood || !got.Rejected || !strings.Contains(got.NotApplied, "global.proxy.privileged: 3: must be true or false") {
		t.Errorf("%+v", got)
	}
	restarted.recorded("ConfigurationRejected: configuration " + first + " remains active: ")
	restarted.Holder.load(s.put(earlier))
	restarted.wrote(true)
	if got := s.stored(); got != restarted.Current().Hash()+" "+first {
		t.Errorf("stored %s", got)
	}
	restarted.Holder.load(s.put(good))
	restarted.wrote(true)
	if got := s.stored(); !strings.HasPrefix(got, first+" ") {
		t.Errorf("stored %s, after going back to %s", got, first)
	}
}

// An edit that is followed by a bad one at once is stored all the same.
func TestGoodEditBeforeBadOneIsStored(t *testing.T) {
	s := newSite(t)
	h := s.start("v1")
	h.Holder.load(s.put(good))
	h.Holder.load(s.put(bad))
	h.wrote(true)
	if s.stored() != h.Current().Hash() {
		t.Errorf("stored %s", s.stored())
	}
}

// A replica that has not seen the newest edit yet stores nothing: it would make what it
// has the newest.
func TestReplicaThatLagsStoresNothing(t *testing.T) {
	s := newSite(t)
	late, h := s.start("v1"), s.start("v1")
	late.Holder.load(s.put(earlier))
	h.Holder.load(s.put(good))
	h.wrote(true)
	late.wrote(false)
	first := h.Current().Hash()
	if s.stored() != first {
		t.Errorf("stored %s", s.stored())
	}
	// A conflict is another replica's write: what is stored is read again.
	next := config.Texts{Values: "global: {hub: next}"}
	h.Holder.load(s.put(next))
	raced := 0
	s.client.PrependReactor("update", "configmaps", func(clienttesting.Action) (bool, runtime.Object, error) {
		raced++
		return raced == 1, nil, apierrors.NewConflict(schema.GroupResource{Resource: "configmaps"}, storeName, errors.New("modified"))
	})
	if err := h.write(t.Context()); err != nil || raced != 2 {
		t.Errorf("%v, %d writes", err, raced)
	}
	if got := s.stored(); got != h.Current().Hash()+" "+first {
		t.Errorf("stored %s", got)
	}
}

// A ConfigMap that does not exist keeps what it had, over restarts, and on replicas
// that are started later; one without keys means the defaults.
func TestDeletedConfigMapsKeepTheirContents(t *testing.T) {
	s := newSite(t)
	h := s.start("v1")
	both := config.Texts{Values: "global: {hub: good}", Mesh: "connectTimeout: 7s"}
	h.Holder.load(s.put(both))
	h.wrote(true)
	hash := h.Current().Hash()
	events := []string{"", "ConfigurationDeleted: ConfigMaps istio-system/istio-sidecar-injector and istio-system/istio do not exist; configuration " + hash +
		", with its contents, remains active; to go back to it: outrider config restore " + hash}
	restarted := s.start("v1")
	for name, replica := range map[string]*held{"running": h, "restarted": restarted} {
		replica.events = nil
		replica.Holder.load(content{})
		if st := replica.Status(); st.Hash != hash || st.Source != FromLastGood || st.Rejected || !strings.HasSuffix(st.NotApplied, "do not exist") {
			t.Errorf("%s: %+v", name, st)
		}
		replica.recorded(events[1])
		replica.wrote(false)
	}
	// One is created again.
	c := content{}
	c.set(s.maps, s.maps.Injector, &corev1.ConfigMap{Data: map[string]string{"values": "global: {hub: next}"}})
	restarted.Holder.load(c)
	if now := restarted.Current(); now.Texts.Mesh != both.Mesh || now.Config.Values.Global.Hub != "next" || restarted.Status().Source != FromLastGood {
		t.Errorf("%+v, %+v", now.Texts, restarted.Status())
	}
	// Both are, without keys: the defaults, on purpose.
	c.set(s.maps, s.maps.Injector, &corev1.ConfigMap{})
	c.set(s.maps, s.maps.Mesh, &corev1.ConfigMap{})
	restarted.Holder.load(c)
	if now := restarted.Current(); now.Texts != (config.Texts{}) || restarted.Status().Source != FromConfigMaps {
		t.Errorf("%+v, %+v", now.Texts, restarted.Status())
	}
	// Keys that are not read are no wish for the defaults.
	c.set(s.maps, s.maps.Mesh, &corev1.ConfigMap{Data: map[string]string{"mesh.yaml": "connectTimeout: 1s"}})
	restarted.Holder.load(c)
	if st := restarted.Status(); !st.Rejected || !strings.Contains(st.NotApplied, `ConfigMap istio-system/istio: data: has the key "mesh.yaml", which is not read`) {
		t.Errorf("%+v", st)
	}
}

// A bad ConfigMap that is deleted leaves a new cluster without configuration until the
// next one: the defaults may allow what it was to forbid.
func TestDeletedBadConfigMapIsNoWishForDefaults(t *testing.T) {
	s := newSite(t)
	h := s.start("v1")
	h.Holder.load(s.put(bad))
	h.Holder.load(content{})
	if st := h.Status(); st.Hash != "" || h.Ready(nil) == nil {
		t.Errorf("%+v", st)
	}
}

// tamper edits what is stored.
func (s *site) tamper(edit func(*corev1.ConfigMap)) {
	s.t.Helper()
	api := s.client.CoreV1().ConfigMaps(s.maps.Namespace)
	cm, err := api.Get(s.t.Context(), storeName, metav1.GetOptions{})
	if err == nil {
		edit(cm)
		_, err = api.Update(s.t.Context(), cm, metav1.UpdateOptions{})
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

func TestChangedStoreIsIgnored(t *testing.T) {
	s := newSite(t)
	h := s.start("v1")
	h.Holder.load(s.put(good))
	h.wrote(true)
	hash := h.Current().Hash()
	s.tamper(func(cm *corev1.ConfigMap) { cm.BinaryData[hash] = cm.BinaryData[hash][:40] })
	s.put(bad)
	restarted := s.start("v1")
	restarted.recorded("LastGoodIgnored: ConfigMap outrider-last-good: configuration " + hash + " does not have the SHA-256 checksum of its line: it was changed or cut")
	restarted.Holder.load(s.put(bad))
	restarted.recorded("ConfigurationRejected: no valid configuration; pods are denied")
	if restarted.Current() != nil {
		t.Error("a changed record is active")
	}
	// The replica that is running writes it again.
	h.Holder.load(s.put(good))
	h.wrote(true)
	if s.stored() != hash {
		t.Errorf("stored %s", s.stored())
	}
}

// Of what this version does not accept nothing is active, and an earlier configuration
// only if this version has applied it.
func TestVersions(t *testing.T) {
	s := newSite(t)
	one := s.start("v1")
	one.Holder.load(s.put(earlier))
	one.wrote(true)
	two := s.start("v2") // accepts what version 1 rejects, which is simulated
	two.Holder.load(s.put(good))
	two.wrote(true)
	s.tamper(func(cm *corev1.ConfigMap) {
		record, err := config.NewRecord("two", time.Now(), "v2", s.maps, bad)
		if err != nil {
			t.Fatal(err)
		}
		records, _ := config.ReadHistory(cm.Data, cm.BinaryData)
		records, _ = records[1:].With(record, bad)
		if cm.Data, cm.BinaryData, err = records.Data(); err != nil {
			t.Fatal(err)
		}
	})
	content := s.put(bad)
	restarted := s.start("v1")
	restarted.Holder.load(content)
	if now := restarted.Current(); now == nil || now.Texts != earlier {
		t.Fatalf("version 1 has applied the earlier one, and restarts with %+v", now)
	}
	restarted.recorded("LastGoodRejected: last good configuration two, applied by version v2, is not accepted by version v1: ", "ConfigurationRejected")
	restarted.wrote(false)
	upgraded := s.start("v3")
	upgraded.Holder.load(content)
	if now := upgraded.Current(); now != nil {
		t.Fatalf("version 3 has applied none, and starts with %+v", now.Texts)
	}
	upgraded.recorded("LastGoodRejected: last good configuration two", "ConfigurationRejected: no valid configuration; pods are denied")
}

// The ranges of the names in range lists are kept as they are over lost evidence
// without a restart.
func TestRangesOverRestart(t *testing.T) {
	const (
		services = `{"apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "spec": {"cidrs": ["10.96.0.0/16"]}}`
		grown    = `{"apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "spec": {"cidrs": ["10.98.0.0/16"]}}`
		pool     = `{"apiVersion": "crd.projectcalico.org/v1", "kind": "IPPool", "spec": {"cidr": "10.244.0.0/16"}}`
	)
	s := newSite(t)
	h := s.start("v1")
	c := s.put(config.Texts{Values: "global: {proxy: {includeIPRanges: cluster}}"})
	h.Holder.load(c)
	h.wrote(false)
	h.read(services, pool)
	h.wrote(true)
	h.read(services, pool)
	h.wrote(false)
	h.read(services, grown, pool)
	h.wrote(true)
	const all = "10.96.0.0/16,10.98.0.0/16,10.244.0.0/16"
	for name, read := range map[string]func(*held){
		"nothing": func(h *held) { h.SetRanges(nil, errors.New("forbidden")) },
		"a part":  func(h *held) { h.read(services) },
		"all":     func(h *held) { h.read(services, grown, pool) },
	} {
		for kind, content := range map[string]content{"good": c, "bad": s.put(bad)} {
			restarted := s.start("v1")
			read(restarted)
			restarted.Holder.load(content)
			if restarted.Current() == nil {
				t.Fatalf("%s is read, the ConfigMaps are %s: not active: %q", name, kind, restarted.events)
			}
			restarted.captured(all)
			if lost := strings.Contains(strings.Join(restarted.events, "\n"), "RangesEvidenceLost"); lost != (name != "all") && kind == "good" {
				t.Errorf("%s is read: lost evidence is reported: %v", name, lost)
			}
		}
		s.put(config.Texts{Values: c.texts.Values})
	}
}

// What cannot be stored is reported once, and tried again.
func TestStoreCannotBeWritten(t *testing.T) {
	s := newSite(t)
	forbidden := apierrors.NewForbidden(schema.GroupResource{Resource: "configmaps"}, storeName, errors.New("no"))
	deny := true
	s.client.PrependReactor("*", "configmaps", func(a clienttesting.Action) (bool, runtime.Object, error) {
		stored := a.GetVerb() == "create"
		if get, ok := a.(clienttesting.GetAction); ok {
			stored = get.GetName() == storeName
		}
		return deny && stored, nil, forbidden
	})
	deny = false
	c := s.put(good)
	deny = true
	h := s.start("v1")
	h.Holder.load(c)
	for range 2 {
		if err := h.write(t.Context()); !apierrors.IsForbidden(err) {
			t.Fatal(err)
		}
	}
	h.recorded("LastGoodNotStored: configuration " + h.Current().Hash() + " is active and not stored: get ConfigMap istio-system/outrider-last-good: ")
	deny = false
	if err := h.write(t.Context()); err != nil || s.stored() != h.Current().Hash() {
		t.Errorf("%v, stored %s", err, s.stored())
	}
}
