package watch

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/internal/problem"
	"github.com/outrider-mesh/outrider/test/kube"
)

func TestMain(m *testing.M) { os.Exit(kube.Main(m)) }

// Both twins run the same steps: a client with a memory, and a real API server.
func TestRunFake(t *testing.T) { steps(t, fake.NewClientset(), "istio-system") }

func TestRunReal(t *testing.T) {
	server := kube.Require(t)
	client, err := kubernetes.NewForConfig(server.Config)
	if err != nil {
		t.Fatal(err)
	}
	steps(t, client, server.Namespace(t, nil))
}

func steps(t *testing.T, client kubernetes.Interface, namespace string) {
	ctx, cancel := context.WithCancel(t.Context())
	maps := client.CoreV1().ConfigMaps(namespace)
	put := func(name string, data map[string]string) {
		t.Helper()
		cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace}, Data: data}
		_, err := maps.Update(ctx, cm, metav1.UpdateOptions{})
		if err != nil {
			_, err = maps.Create(ctx, cm, metav1.CreateOptions{})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	o := Options{Namespace: namespace, Revision: "canary"}
	put("istio-canary", map[string]string{"mesh": "m1"})
	put("istio", map[string]string{"mesh": "of another revision"})
	put("istio-sidecar-injector", map[string]string{"values": "of another revision"})

	got := make(chan config.Texts, 100)
	gone := make(chan string, 1)
	o.Gone = func(name string) { gone <- name }
	done := make(chan error, 1)
	go func() { done <- Run(ctx, client, o, func(texts config.Texts) { got <- texts }) }()
	expect := func(want config.Texts) {
		t.Helper()
		select {
		case texts := <-got:
			if texts != want {
				t.Fatalf("got %+v, want %+v", texts, want)
			}
		case <-time.After(30 * time.Second):
			t.Fatal("no callback")
		}
	}
	expect(config.Texts{Mesh: "m1"})
	put("istio-sidecar-injector-canary", map[string]string{"config": "c1", "values": "v1"})
	expect(config.Texts{Config: "c1", Values: "v1", Mesh: "m1"})
	put("istio-canary", map[string]string{"mesh": "m1", "unrelated": "key"}) // no callback: the texts are the same
	for _, v := range []string{"v2", "v3", "v4"} {                           // one burst, one callback, the last value
		put("istio-sidecar-injector-canary", map[string]string{"config": "c1", "values": v})
	}
	for texts := range got {
		if texts.Values == "v4" {
			break
		}
	}
	if err := maps.Delete(ctx, "istio-canary", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if name := <-gone; name != "istio-canary" {
		t.Errorf("gone: %s", name)
	}
	put("istio-sidecar-injector-canary", map[string]string{"values": "v5"})
	expect(config.Texts{Values: "v5", Mesh: "m1"})
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Run ended with %v", err)
	}
}

func TestNames(t *testing.T) {
	for _, o := range []Options{{Namespace: "n"}, {Namespace: "n", Revision: "default"}} {
		if o.Injector() != "istio-sidecar-injector" || o.Mesh() != "istio" {
			t.Errorf("%s, %s", o.Injector(), o.Mesh())
		}
	}
	_, ps := config.Parse(config.Texts{Values: "globl: 1"}, Options{Namespace: "n", Revision: "r"}.Labels())
	if want := `ConfigMap n/istio-sidecar-injector-r, key "values":1:1: globl: unknown key`; !strings.HasPrefix(ps[0].String(), want) {
		t.Errorf("got %s", ps[0])
	}
}

func TestStoreKeepsLastGood(t *testing.T) {
	var s Store[string]
	if s.Current() != nil {
		t.Fatal("something before the first offer")
	}
	hub := func(c *config.Config) (string, problem.List) { return c.Values.Global.Hub, nil }
	offer := func(values string, compile func(*config.Config) (string, problem.List)) (problem.List, bool) {
		return s.Offer(config.Texts{Values: values}, config.Labels{}, compile)
	}
	if ps, ok := offer("global: {hub: a, x: y}", hub); !ok || len(ps.Warnings()) != 1 || s.Current().Value != "a" || len(s.Current().Warnings) != 1 {
		t.Fatalf("%v, %v", ps, ok)
	}
	first := s.Current()
	if ps, ok := offer("global: {hub: b, proxy: {privileged: 3}}", hub); ok || len(ps.Errors()) != 1 || s.Current() != first || len(s.Rejected()) != 1 {
		t.Errorf("a text with an error: %v, %v, %+v", ps, ok, s.Current())
	}
	fails := func(*config.Config) (string, problem.List) {
		return "half", problem.List{{Severity: problem.Error, Source: "template", Rule: "does not compile"}}
	}
	if ps, ok := offer("global: {hub: c}", fails); ok || len(ps) != 1 || s.Current() != first {
		t.Errorf("a template with an error: %v, %v, %+v", ps, ok, s.Current())
	}
	if _, ok := offer("global: {hub: d}", hub); !ok || s.Current().Value != "d" || s.Current().Config.Values.Global.Hub != "d" || s.Rejected() != nil {
		t.Errorf("a good one after bad ones: %+v", s.Current())
	}
}
