package serve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/config/active"
	"github.com/outrider-mesh/outrider/inject"
	"github.com/outrider-mesh/outrider/internal/revision"
	"github.com/outrider-mesh/outrider/manifest"
	"github.com/outrider-mesh/outrider/test/kit"
	replica "github.com/outrider-mesh/outrider/test/kit/instance"
	"github.com/outrider-mesh/outrider/test/kube"
	"github.com/outrider-mesh/outrider/validate"
)

const (
	goodValues = "global:\n  hub: good.example\n"
	goodMesh   = "accessLogFile: /dev/stdout\noutboundTrafficPolicy:\n  mode: REGISTRY_ONLY\n"
)

// installation is a namespace with the two ConfigMaps.
type installation struct {
	*kube.Server
	t      testing.TB
	client kubernetes.Interface
	at     config.Location
	store  string
}

func newInstallation(t testing.TB, server *kube.Server, namespace string, rev revision.Revision) *installation {
	t.Helper()
	unlimited := rest.CopyConfig(server.Config)
	unlimited.QPS = -1
	client, err := kubernetes.NewForConfig(unlimited)
	kit.Must(t, err)
	return &installation{server, t, client, config.LocationOf(namespace, rev), rev.Name("outrider-last-good")}
}

// noEvents takes events, and keeps none.
type noEvents struct{}

func (noEvents) Eventf(_, _ runtime.Object, _, _, _, _ string, _ ...any) {}

// held is the configuration of one replica.
type held struct {
	*active.Holder
	*replica.Replica
	i *installation
}

// start starts the part of a replica that holds the configuration.
func (i *installation) start(version string, clients ...kubernetes.Interface) *held {
	i.t.Helper()
	client := append(clients, i.client)[0]
	h, err := active.New(active.Options{
		ConfigMaps: i.at, Client: client, Store: i.store, Version: version, StorePause: 10 * time.Millisecond,
		Environment: func(context.Context) (inject.Environment, error) { return inject.Environment{}, nil },
		Events:      noEvents{}, Log: replica.Log(version), Registry: prometheus.NewRegistry(),
	})
	kit.Must(i.t, err)
	h.SetRanges(nil, errors.New("not readable in this test"))
	return &held{h, replica.Run(i.t, version, h.Start), i}
}

// becomes waits for a status.
func (h *held) becomes(hash, source, reason string) {
	h.i.t.Helper()
	kit.Wait{Every: 5 * time.Millisecond}.Eventually(h.i.t, "the replica has "+hash+" from "+source, func() error {
		if s := h.Status(); s.Hash != hash || s.Source != source || !strings.Contains(s.NotApplied, reason) || (reason == "") != (s.NotApplied == "") {
			return fmt.Errorf("%s; want %q", s, reason)
		}
		return nil
	})
}

// put writes a ConfigMap.
func (i *installation) put(name string, data map[string]string, binary map[string][]byte, options metav1.UpdateOptions) error {
	api := i.client.CoreV1().ConfigMaps(i.at.Namespace)
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: data, BinaryData: binary}
	_, err := api.Update(i.t.Context(), cm, options)
	if err != nil && strings.Contains(err.Error(), "not found") {
		_, err = api.Create(i.t.Context(), cm, metav1.CreateOptions{})
	}
	return err
}

// putGood writes both ConfigMaps.
func (i *installation) putGood() {
	i.t.Helper()
	kit.Must(i.t, i.put(i.at.Injector, map[string]string{"values": goodValues}, nil, metav1.UpdateOptions{}))
	kit.Must(i.t, i.put(i.at.Mesh, map[string]string{"mesh": goodMesh}, nil, metav1.UpdateOptions{}))
}

// putBad writes one ConfigMap, and the other one as it was.
func (i *installation) putBad(b badConfiguration, options metav1.UpdateOptions) error {
	for name, data := range map[string]map[string]string{i.at.Injector: {"values": goodValues}, i.at.Mesh: {"mesh": goodMesh}} {
		cm := &corev1.ConfigMap{Data: maps.Clone(data)}
		if b.on(cm, name == i.at.Mesh) {
			return i.put(name, cm.Data, cm.BinaryData, options)
		}
	}
	return nil
}

// sameInFiles compares the answer to a bad configuration with what is found in a file with
// it: each error is there, word for word. Ranges of the cluster are not known in files.
func (i *installation) sameInFiles(b badConfiguration, denied error) {
	i.t.Helper()
	options := validate.Options{Location: i.at, Texts: config.Texts{Values: goodValues, Mesh: goodMesh}, Labels: i.at.Labels()}
	name := i.at.Injector
	cm := &corev1.ConfigMap{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"}, Data: map[string]string{"values": goodValues}}
	if !b.on(cm, false) {
		name, cm.Data = i.at.Mesh, map[string]string{"mesh": goodMesh}
		b.on(cm, true)
	}
	cm.Name, cm.Namespace = name, i.at.Namespace
	text, err := json.Marshal(cm)
	kit.Must(i.t, err)
	all := validate.New(options)
	all.Add(validate.Document{File: "a.json", Document: manifest.Document{Text: text, Line: 1}})
	report := all.Report()
	if report.Summary.Errors+report.Summary.Notes == 0 {
		i.t.Errorf("%s: nothing is found: %v", b.name, denied)
	}
	for n := range report.Findings {
		if f := &report.Findings[n]; f.Severity == validate.SeverityError && (denied == nil || !strings.Contains(denied.Error(), f.Message)) {
			i.t.Errorf("%s: %s\nis not the answer: %v", b.name, f.Text(), denied)
		}
	}
}

func (i *installation) delete(names ...string) {
	i.t.Helper()
	for _, name := range names {
		kit.Must(i.t, i.client.CoreV1().ConfigMaps(i.at.Namespace).Delete(i.t.Context(), name, metav1.DeleteOptions{}))
	}
}

// stored waits until a hash is stored as the newest.
func (i *installation) stored(hash string) {
	i.t.Helper()
	kit.Wait{Every: 5 * time.Millisecond}.Eventually(i.t, "the configuration is stored", func() error {
		cm, err := i.client.CoreV1().ConfigMaps(i.at.Namespace).Get(i.t.Context(), i.store, metav1.GetOptions{})
		if err != nil {
			return err
		}
		records, errs := config.ReadHistory(cm.Data, cm.BinaryData)
		if len(errs) > 0 || len(records) == 0 || !records[0].Known(hash) {
			return fmt.Errorf("%d records, %v", len(records), errs)
		}
		return nil
	})
}

// settled waits until a replica has a configuration of the ConfigMaps, and returns it.
func (h *held) settled() string {
	h.i.t.Helper()
	kit.Wait{Every: 5 * time.Millisecond}.Eventually(h.i.t, "a configuration is active", func() error {
		if s := h.Status(); s.Source != active.FromConfigMaps {
			return errors.New(s.String())
		}
		return nil
	})
	return h.Status().Hash
}

// Each bad configuration is denied where it is made, with the fix. Without the
// validating webhook the last good one stays active on a replica that runs, one that
// restarts and one that is new.
func TestLastGoodBadConfigurations(t *testing.T) {
	if len(badConfigurations) < 40 {
		t.Fatalf("%d bad configurations", len(badConfigurations))
	}
	i := startInstance(t, goodValues).ready()
	in := newInstallation(t, i.Server, i.namespace, i.options.Revision)
	in.putGood()
	running := in.start("running")
	hash := running.settled()
	i.validateEdits()
	for _, b := range badConfigurations {
		err := in.putBad(b, metav1.UpdateOptions{DryRun: []string{metav1.DryRunAll}})
		if err == nil || !strings.Contains(err.Error(), `admission webhook "configuration.validation.istio.io" denied the request: ConfigMap `) || !strings.Contains(err.Error(), b.want) {
			t.Errorf("%s: %v\nwant %s", b.name, err, b.want)
		}
		in.sameInFiles(b, err)
	}
	i.replica.Stop()
	r := i.Client.AdmissionregistrationV1().ValidatingWebhookConfigurations()
	i.must(r.Delete(t.Context(), "outrider-sidecar-injector-"+i.revision, metav1.DeleteOptions{}))
	in.stored(hash)
	for _, b := range badConfigurations {
		in.putGood()
		running.becomes(hash, active.FromConfigMaps, "")
		kit.Eventually(t, "the webhook is not called any more", func() error { return in.putBad(b, metav1.UpdateOptions{}) })
		running.becomes(hash, active.FromLastGood, b.want)
		restarted := in.start("restarted")
		restarted.becomes(hash, active.FromLastGood, b.want)
		third := in.start("third")
		third.becomes(hash, active.FromLastGood, b.want)
		if restarted.Current().Texts != (config.Texts{Values: goodValues, Mesh: goodMesh}) || third.Current().Hash() != hash {
			t.Errorf("%s: %+v", b.name, restarted.Current().Texts)
		}
		third.Stop()
		restarted.Stop()
	}
	in.stored(hash)
}

// A whole replica restarts while its ConfigMap is bad, and one while it is deleted:
// pods are injected as before, readiness has the reason, and so has the replica's Lease.
func TestLastGoodOverRestart(t *testing.T) {
	i := startInstance(t, excludeOne, func(o *Options) { o.storePause = 10 * time.Millisecond }).ready()
	in := newInstallation(t, i.Server, i.namespace, i.options.Revision)
	ns := i.workspace()
	_, hash, _ := strings.Cut(i.details(), "[+]configuration ok: ")
	hash, _, _ = strings.Cut(hash, " from configmap\n")
	in.stored(hash)
	same := func(want ...string) {
		t.Helper()
		i.restart()
		i.eventually("the replica is ready", i.readyz)
		pod, err := i.create(ns, sleepPod("probe"), metav1.DryRunAll)
		i.must(err)
		if got := initArguments(pod); !strings.Contains(got, "10.96.0.0/12") {
			t.Errorf("another configuration is active: %s", got)
		}
		body := i.details()
		for _, w := range append(want, "[+]configuration ok: "+hash+" from last-good; not applied: ") {
			if !strings.Contains(body, w) {
				t.Errorf("readyz has no %q: %s", w, body)
			}
		}
		i.eventually("the Lease has the status", func() string {
			out, err := i.kubectl("", "get", "leases", "-n", i.namespace, "-o", "jsonpath={.items[*].metadata.annotations}")
			if err != nil || !strings.Contains(out, `"outrider/config-source":"last-good"`) || !strings.Contains(out, `"outrider/config-hash":"`+hash+`"`) {
				return out
			}
			return ""
		})
	}
	i.setValues("global:\n  proxy:\n    excludeIPRanges: nonsense\n")
	same("excludeIPRanges", "nonsense")
	in.delete(in.at.Injector)
	same("ConfigMap " + i.namespace + "/" + in.at.Injector + " does not exist")
}

// details are those of the instance's readiness.
func (i *instance) details() string {
	i.t.Helper()
	resp, err := http.Get("http://" + i.health + "/readyz?verbose")
	i.must(err)
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	i.must(err)
	return string(text)
}

// What is stored is of use only as it was written; a replica that may not write it goes
// on, and the next one that may does.
func TestLastGoodStore(t *testing.T) {
	server := kube.Require(t)
	in := newInstallation(t, server, server.Namespace(t, nil), "")
	in.putGood()
	account := rest.ImpersonationConfig{UserName: "system:serviceaccount:" + in.at.Namespace + ":reader"}
	limited := rest.CopyConfig(server.Config)
	limited.Impersonate = account
	reader, err := kubernetes.NewForConfig(limited)
	kit.Must(t, err)
	kubectl := func(args ...string) {
		t.Helper()
		if out, err := server.Kubectl(t.Context(), args...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	kubectl("-n", in.at.Namespace, "create", "role", "reader", "--verb=get,list,watch", "--resource=configmaps")
	kubectl("-n", in.at.Namespace, "create", "rolebinding", "reader", "--role=reader", "--serviceaccount="+in.at.Namespace+":reader")
	denied := in.start("denied", reader)
	hash := denied.settled()
	time.Sleep(time.Second)
	if _, err := in.client.CoreV1().ConfigMaps(in.at.Namespace).Get(t.Context(), in.store, metav1.GetOptions{}); err == nil {
		t.Fatal("it was written without the right")
	}
	allowed := in.start("allowed")
	in.stored(hash)

	bad := badConfigurations[0]
	kit.Must(t, in.putBad(bad, metav1.UpdateOptions{}))
	allowed.becomes(hash, active.FromLastGood, bad.want)
	denied.becomes(hash, active.FromLastGood, bad.want)
	allowed.Stop()
	stored, err := in.client.CoreV1().ConfigMaps(in.at.Namespace).Get(t.Context(), in.store, metav1.GetOptions{})
	kit.Must(t, err)
	whole := stored.DeepCopy()
	stored.BinaryData[hash] = stored.BinaryData[hash][:50]
	_, err = in.client.CoreV1().ConfigMaps(in.at.Namespace).Update(t.Context(), stored, metav1.UpdateOptions{})
	kit.Must(t, err)
	cut := in.start("cut")
	cut.becomes("", "", bad.want)
	if cut.Ready(nil) == nil {
		t.Error("ready with what was cut")
	}
	whole.ResourceVersion = ""
	_, err = in.client.CoreV1().ConfigMaps(in.at.Namespace).Update(t.Context(), whole, metav1.UpdateOptions{})
	kit.Must(t, err)
	in.start("restored").becomes(hash, active.FromLastGood, bad.want)
	in.delete(in.at.Injector, in.at.Mesh)
	in.start("deleted").becomes(hash, active.FromLastGood, "do not exist")
	in.putGood()
	cut.becomes(hash, active.FromConfigMaps, "")
}
