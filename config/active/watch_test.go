package active

import (
	"context"
	"errors"
	"os"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/test/kube"
)

func TestMain(m *testing.M) { os.Exit(kube.Main(m)) }

// The same steps run with a fake client and with a real API server.
func TestWatchFake(t *testing.T) { steps(t, fake.NewClientset(), "istio-system") }

func TestWatchReal(t *testing.T) {
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
	put("istio-canary", map[string]string{"mesh": "m1"})
	put("istio", map[string]string{"mesh": "of another revision"})
	put("istio-sidecar-injector", map[string]string{"values": "of another revision"})

	got := make(chan config.Texts, 100)
	var deleted atomic.Value
	done := make(chan error, 1)
	w := newWatcher(config.LocationOf(namespace, "canary"), func(c content) {
		deleted.Store(!c.mesh.exists)
		got <- c.texts
	})
	go func() { done <- w.run(ctx, client) }()
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
	expect(config.Texts{Config: "c1", Values: "v4"})
	if deleted.Load() != true {
		t.Error("the deletion is not reported")
	}
	put("istio-canary", map[string]string{"mesh": "m1"})
	expect(config.Texts{Config: "c1", Values: "v4", Mesh: "m1"})
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("run ended with %v", err)
	}
}
