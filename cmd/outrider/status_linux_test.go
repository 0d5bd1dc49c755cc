package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/inject"
	"github.com/outrider-mesh/outrider/status"
	"github.com/outrider-mesh/outrider/test/kit"
	"github.com/outrider-mesh/outrider/test/kube"
)

// createPods creates pods of workloads of perWorkload pods each, injected with the defaults,
// several at once. They run, as far as the API server shows.
func createPods(t *testing.T, server *kube.Server, installation, namespace string, n, perWorkload int) {
	t.Helper()
	cfg, problems := config.Parse(config.Texts{}, config.Labels{})
	kit.Must(t, problems.Err())
	injector, problems := inject.Compile(cfg, inject.Environment{Namespace: installation})
	kit.Must(t, problems.Err())
	c := rest.CopyConfig(server.Config)
	c.QPS = -1
	client, err := kubernetes.NewForConfig(c)
	kit.Must(t, err)
	endPods(t, client, namespace)
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

// endPods deletes the pods of a namespace with the test: others count those of all namespaces.
func endPods(t *testing.T, client kubernetes.Interface, namespace string) {
	t.Helper()
	t.Cleanup(func() {
		now := int64(0)
		kit.Must(t, client.CoreV1().Pods(namespace).DeleteCollection(context.Background(), metav1.DeleteOptions{GracePeriodSeconds: &now}, metav1.ListOptions{}))
	})
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

// proxied counts the requests that a command sends, by what they are, and fails for a list
// that is not paged.
func proxied(t *testing.T, server *kube.Server) (kubeconfig string, requests func() []string) {
	t.Helper()
	target, err := url.Parse(server.Config.Host)
	kit.Must(t, err)
	transport, err := rest.TransportFor(server.Config)
	kit.Must(t, err)
	var mu sync.Mutex
	var all []string
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.Transport = transport
	counting := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		mu.Lock()
		all = append(all, q.Method+" "+q.URL.RequestURI())
		mu.Unlock()
		proxy.ServeHTTP(w, q)
	}))
	t.Cleanup(counting.Close)
	config := api.NewConfig()
	config.Clusters["there"] = &api.Cluster{Server: counting.URL}
	config.AuthInfos["there"] = &api.AuthInfo{}
	config.Contexts["there"] = &api.Context{Cluster: "there", AuthInfo: "there"}
	path := filepath.Join(t.TempDir(), "kubeconfig")
	kit.Must(t, clientcmd.WriteToFile(*config, path))
	return path, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(all)
	}
}

// TestStatusOfManyPods: pods on a real API server are compared in a bounded number of paged
// requests. With OUTRIDER_STATUS_PODS=5000 it prints what a large cluster takes; see
// "make bench-status".
func TestStatusOfManyPods(t *testing.T) {
	server := kube.Require(t)
	installation := server.Namespace(t, nil)
	namespace := server.Namespace(t, map[string]string{"istio-injection": "enabled"})
	n, perWorkload := manyPods(t, 600)
	start := time.Now()
	createPods(t, server, installation, namespace, n, perWorkload)
	t.Logf("%d pods of %d workloads created in %s", n, n/perWorkload, time.Since(start).Round(100*time.Millisecond))
	configMap(t, server, installation, "istio-sidecar-injector", map[string]string{"values": "global: {proxy: {excludeIPRanges: 10.1.0.0/16}}\n"})
	args := []string{"status", "-A", "-i", installation, "--context", "there", "-o", "json", "--kubeconfig"}
	if os.Getenv("OUTRIDER_STATUS_PODS") != "" {
		measureMany(t, n, perWorkload, append(args, writeKubeconfig(t, server)))
	}
	path, requests := proxied(t, server)
	got := runWith(t, "", append(args, path)...)
	checkMany(t, got.out, n, perWorkload)
	all := requests()
	t.Logf("%d requests", len(all))
	if pages := (n + 499) / 500; len(all) > 20+pages {
		t.Errorf("%d requests:\n%s", len(all), strings.Join(all, "\n"))
	}
	for _, q := range all {
		list := regexp.MustCompile(`/(pods|namespaces|leases|events|endpointslices|mutatingwebhookconfigurations)(\?|$)`)
		if list.MatchString(q) && !strings.Contains(q, "limit=500") || strings.Contains(q, "resourceVersion=0") || !strings.HasPrefix(q, "GET ") {
			t.Errorf("not a paged list: %s", q)
		}
	}
}

// measureMany prints what the program takes.
func measureMany(t *testing.T, n, perWorkload int, args []string) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "outrider")
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", program, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for range 3 {
		text, seconds, megabytes := measured(t, program, args...)
		t.Logf("status -A of %d pods: %.2f s, %.0f MB of memory at most", n, seconds, megabytes)
		checkMany(t, text, n, perWorkload)
	}
}

func checkMany(t *testing.T, text string, n, perWorkload int) {
	t.Helper()
	var r status.Report
	kit.Must(t, json.Unmarshal([]byte(text), &r))
	if len(r.Workloads) != n/perWorkload || r.Summary.Stale != n || r.Summary.Injected != n {
		t.Fatalf("%+v", r.Summary)
	}
	for _, w := range r.Workloads {
		if len(w.Pods) != perWorkload || len(w.Differences) != 1 || w.Differences[0].Name != "excludeOutboundIPRanges" {
			t.Fatalf("%+v", w)
		}
	}
}

// measured runs the program, and returns its output, its time and its peak of memory.
func measured(t *testing.T, program string, args ...string) (text string, seconds, megabytes float64) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	start := time.Now()
	kit.Must(t, cmd.Start())
	done, ended := make(chan float64), make(chan struct{})
	go func() { done <- peakOf(cmd.Process.Pid, ended) }()
	err := cmd.Wait()
	seconds = time.Since(start).Seconds()
	close(ended)
	if megabytes = <-done; err != nil {
		t.Fatalf("%v\n%s", err, errs.String())
	}
	return out.String(), seconds, megabytes
}

// TestLargePods: a page of pods that is too large is read again in smaller ones, so that a
// tenant cannot fill the memory of those who list all pods.
func TestLargePods(t *testing.T) {
	server := kube.Require(t)
	installation := server.Namespace(t, nil)
	namespace := server.Namespace(t, nil)
	configMap(t, server, installation, "istio-sidecar-injector", map[string]string{"config": "policy: enabled\n"})
	const n = 30
	large := strings.Repeat("x", 1<<20)
	for i := range n {
		_, err := server.Client.CoreV1().Pods(namespace).Create(t.Context(), &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("large-%d", i)},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "app", Env: []corev1.EnvVar{{Name: "A", Value: large}}}}},
		}, metav1.CreateOptions{})
		kit.Must(t, err)
	}
	t.Cleanup(func() {
		now := int64(0)
		kit.Must(t, server.Client.CoreV1().Pods(namespace).DeleteCollection(context.Background(), metav1.DeleteOptions{GracePeriodSeconds: &now}, metav1.ListOptions{}))
	})
	path, requests := proxied(t, server)
	got := runWith(t, "", "status", "-n", namespace, "-i", installation, "--kubeconfig", path, "--context", "there", "-o", "json")
	var r status.Report
	if err := json.Unmarshal([]byte(got.out), &r); err != nil || r.Summary.Pods != n {
		t.Fatalf("%v: %+v", err, got)
	}
	var lists []string
	for _, q := range requests() {
		if strings.Contains(q, "/pods?") {
			lists = append(lists, q)
		}
	}
	if len(lists) < 3 || !strings.Contains(lists[len(lists)-1], "limit=7") {
		t.Errorf("%q", lists)
	}
}

// TestStatusWithFewRights: who may list the pods of one namespace, and get the two ConfigMaps,
// learns what follows from these, and which right is missing for the rest.
func TestStatusWithFewRights(t *testing.T) {
	server := kube.Require(t)
	installation := server.Namespace(t, nil)
	namespace := server.Namespace(t, map[string]string{"istio-injection": "enabled"})
	configMap(t, server, installation, "istio-sidecar-injector", map[string]string{"values": "global: {proxy: {excludeIPRanges: 10.1.0.0/16}}\n"})
	createPods(t, server, installation, namespace, 2, 2)
	grant := func(in, resource string, verbs ...string) { grant(t, server, in, []string{resource}, verbs...) }
	path := tenantKubeconfig(t, server)
	run := func(args ...string) ran {
		return runWith(t, "", append(args, "-i", installation, "--kubeconfig", path, "--context", "there")...)
	}
	fails := func(got ran, wants ...string) {
		t.Helper()
		for _, want := range wants {
			if got.code == exitOK || !strings.Contains(got.err, want) {
				t.Errorf("%q: %+v", want, got)
			}
		}
	}
	fails(run("status", "-n", namespace), `cannot get resource "configmaps"`, "requires the permission to get ConfigMaps istio-sidecar-injector and istio in namespace "+installation)
	grant(installation, "configmaps", "get")
	fails(run("status", "-n", namespace), `cannot list resource "pods"`, "requires the permission to list pods: ask for list on pods in that namespace")
	grant(namespace, "pods", "list")
	fails(run("status", "-A"), "list pods of all namespaces: ", "name a namespace with -n")
	got := run("status", "-n", namespace)
	for _, want := range []string{
		"deployment/web-0", "excludeOutboundIPRanges", "kubectl rollout restart -n " + namespace + " deployment/web-0", "warning: get namespace " + namespace,
		"warning: list leases", "warning: list mutatingwebhookconfigurations", "pods without a sidecar that should have one are not found", "warning: list events",
	} {
		if got.code != exitOK || !strings.Contains(got.out, want) {
			t.Errorf("%q: %+v", want, got)
		}
	}
	if got := run("preview", "-n", namespace, "--set", "global.proxy.excludeIPRanges=10.2.0.0/16"); got.code != 1 || !strings.Contains(got.out, "excludeOutboundIPRanges: 10.1.0.0/16 -> 10.2.0.0/16") || !strings.Contains(got.out, "warning: list services") {
		t.Errorf("%+v", got)
	}
}
