package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/explain"
	"github.com/outrider-mesh/outrider/inject"
	"github.com/outrider-mesh/outrider/status"
	"github.com/outrider-mesh/outrider/test/kit"
	"github.com/outrider-mesh/outrider/test/kube"
)

// manyPods are those of a large cluster.
const manyPods = 5000

// pods creates pods of workloads of perWorkload pods each, injected with texts, several at
// once. They run, as far as the API server shows.
func createPods(t *testing.T, server *kube.Server, namespace string, n, perWorkload int, texts config.Texts) {
	t.Helper()
	cfg, problems := config.Parse(texts, config.Labels{})
	kit.Must(t, problems.Err())
	injector, problems := inject.Compile(cfg, inject.Environment{Namespace: "istio-system"})
	kit.Must(t, problems.Err())
	c := rest.CopyConfig(server.Config)
	c.QPS = -1
	client, err := kubernetes.NewForConfig(c)
	kit.Must(t, err)
	next := make(chan int)
	errs := make(chan error, 1)
	var wait sync.WaitGroup
	for range 16 {
		wait.Go(func() {
			for i := range next {
				if err := createPod(t, client, injector, namespace, i, perWorkload); err != nil {
					select {
					case errs <- err:
					default:
					}
				}
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wait.Wait()
	select {
	case err := <-errs:
		t.Fatal(err)
	default:
	}
}

func createPod(t *testing.T, client kubernetes.Interface, injector *inject.Injector, namespace string, i, perWorkload int) error {
	owner := fmt.Sprintf("web-%d", i/perWorkload)
	yes := true
	p := &corev1.Pod{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{
			GenerateName: owner + "-5c4-", Labels: map[string]string{"app": owner, "pod-template-hash": "5c4"},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: owner + "-5c4", UID: "1", Controller: &yes}},
		},
		Spec: corev1.PodSpec{NodeName: "node-1", Containers: []corev1.Container{{
			Name: "app", Image: "example.com/app:1", Ports: []corev1.ContainerPort{{ContainerPort: 8080}},
			Env: []corev1.EnvVar{{Name: "A", Value: "b"}, {Name: "DATABASE", Value: "postgres://db.shop.svc:5432/shop"}},
		}}},
	}
	text, err := json.Marshal(p)
	if err != nil {
		return err
	}
	r, err := injector.Inject(inject.Request{Pod: text, Namespace: namespace})
	if err != nil {
		return err
	}
	made := &corev1.Pod{}
	if err := json.Unmarshal(r.Tree().AppendTo(nil), made); err != nil {
		return err
	}
	_, err = client.CoreV1().Pods(namespace).Create(t.Context(), made, metav1.CreateOptions{})
	return err
}

// TestStatusOfManyPods: 5,000 pods on a real API server, in a bounded number of paged
// requests. What it takes is printed.
func TestStatusOfManyPods(t *testing.T) {
	server := kube.Require(t)
	installation := server.Namespace(t, nil)
	namespace := server.Namespace(t, map[string]string{"istio-injection": "enabled"})
	n := manyPods
	if os.Getenv("OUTRIDER_STATUS_PODS") == "" {
		n = 1000
	}
	start := time.Now()
	createPods(t, server, namespace, n, 20, config.Texts{})
	t.Logf("%d pods created in %s", n, time.Since(start).Round(100*time.Millisecond))
	configMap(t, server, installation, "istio-sidecar-injector", map[string]string{"values": "global: {proxy: {excludeIPRanges: 10.1.0.0/16}}\n"})
	path := writeKubeconfig(t, server)
	args := []string{"status", "-A", "-i", installation, "--kubeconfig", path, "--context", "there", "-o", "json"}
	start = time.Now()
	got := runWith(t, "", args...)
	took := time.Since(start)
	var r status.Report
	if err := json.Unmarshal([]byte(got.out), &r); err != nil || got.code != exitOK {
		t.Fatalf("%v: %+v", err, got)
	}
	if len(r.Workloads) != n/20 || r.Summary.Stale != n || r.Summary.Injected != n || r.Workloads[0].Differences[0].Name != "excludeOutboundIPRanges" {
		t.Errorf("%+v", r.Summary)
	}
	t.Logf("status -A of %d pods: %s", n, took.Round(time.Millisecond))
	_ = explain.APIVersion
	if strings.Contains(got.err, "error") {
		t.Error(got.err)
	}
}
