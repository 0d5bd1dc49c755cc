package main

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/outrider-mesh/outrider/config"
)

// What restore writes: the texts of both ConfigMaps, and nothing else of them.
func TestConfigRestore(t *testing.T) {
	at := config.LocationOf("istio-system", "")
	old := config.Texts{Values: "global: {hub: a}", Mesh: "connectTimeout: 7s"}
	client := fake.NewClientset(&corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: at.Namespace, Name: at.Injector, Labels: map[string]string{"app.kubernetes.io/managed-by": "Helm"}},
		Data:       map[string]string{"other": "key"}, BinaryData: map[string][]byte{"values": {0xff}},
	})
	record, err := config.NewRecord("aa", time.Unix(0, 0), "v1", at, old)
	if err != nil {
		t.Fatal(err)
	}
	e := &earlier{client: client, at: at, records: config.History{record}}
	var out strings.Builder
	if err := e.restore(t.Context(), earlierOptions{}, old, &out); err != nil {
		t.Fatal(err)
	}
	if want := "configmap/istio-sidecar-injector restored\nconfigmap/istio created\n"; out.String() != want {
		t.Errorf("%s, want %s", out.String(), want)
	}
	maps := client.CoreV1().ConfigMaps(at.Namespace)
	injector, err := maps.Get(t.Context(), at.Injector, metav1.GetOptions{})
	if err != nil || injector.Data["values"] != old.Values || injector.Data["other"] != "key" || len(injector.BinaryData) != 0 || len(injector.Labels) != 1 {
		t.Errorf("%+v, %v", injector, err)
	}
	if _, ok := injector.Data["config"]; ok {
		t.Error("a key was added that neither has")
	}
	mesh, err := maps.Get(t.Context(), at.Mesh, metav1.GetOptions{})
	if err != nil || mesh.Data["mesh"] != old.Mesh {
		t.Errorf("%+v, %v", mesh, err)
	}
	out.Reset()
	if err := e.restore(t.Context(), earlierOptions{}, old, &out); err != nil || strings.Count(out.String(), "unchanged") != 2 {
		t.Errorf("again: %s, %v", out.String(), err)
	}
}
