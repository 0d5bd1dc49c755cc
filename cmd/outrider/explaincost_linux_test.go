package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/outrider-mesh/outrider/test/kit"
	"github.com/outrider-mesh/outrider/test/kube"
	"github.com/outrider-mesh/outrider/webhook/registration"
)

// createServices creates n Services, each with two EndpointSlices of endpoints addresses,
// several at once. Every tenth one is headless.
func createServices(t *testing.T, server *kube.Server, namespace string, n, endpoints int) {
	t.Helper()
	c := rest.CopyConfig(server.Config)
	c.QPS = -1
	client, err := kubernetes.NewForConfig(c)
	kit.Must(t, err)
	if n > few {
		moreAddresses(t, client, namespace)
	}
	next := make(chan int)
	var wait sync.WaitGroup
	for range 16 {
		wait.Go(func() {
			for i := range next {
				if err := createService(t, client, namespace, i, endpoints); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wait.Wait()
	t.Cleanup(func() { // other tests read the Services of all namespaces
		all, err := client.CoreV1().Services(namespace).List(context.Background(), metav1.ListOptions{})
		kit.Must(t, err)
		for i := range all.Items {
			kit.Must(t, client.CoreV1().Services(namespace).Delete(context.Background(), all.Items[i].Name, metav1.DeleteOptions{}))
		}
	})
}

// few Services have addresses of the range that the API server has.
const few = 60

// moreAddresses adds a range of addresses of Services, which the API server keeps.
func moreAddresses(t *testing.T, client kubernetes.Interface, namespace string) {
	t.Helper()
	_, err := client.NetworkingV1().ServiceCIDRs().Create(t.Context(), &networkingv1.ServiceCIDR{
		ObjectMeta: metav1.ObjectMeta{Name: "many"}, Spec: networkingv1.ServiceCIDRSpec{CIDRs: []string{"10.200.0.0/16"}},
	}, metav1.CreateOptions{})
	kit.Must(t, err)
	kit.Eventually(t, "Services have addresses of the range", func() error {
		_, err := client.CoreV1().Services(namespace).Create(t.Context(), &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{GenerateName: "probe-"},
			Spec:       corev1.ServiceSpec{ClusterIP: fmt.Sprintf("10.200.250.%d", time.Now().UnixNano()%250+1), Ports: []corev1.ServicePort{{Port: 80}}},
		}, metav1.CreateOptions{})
		return err
	})
}

func createService(t *testing.T, client kubernetes.Interface, namespace string, i, endpoints int) error {
	s := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("many-%d", i)},
		Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}},
	}
	if i%10 == 0 {
		s.Spec.ClusterIP = corev1.ClusterIPNone
	}
	if _, err := client.CoreV1().Services(namespace).Create(t.Context(), s, metav1.CreateOptions{}); err != nil {
		return err
	}
	port, name := int32(8080), "http"
	for j := range 2 {
		slice := &discoveryv1.EndpointSlice{
			ObjectMeta:  metav1.ObjectMeta{Name: fmt.Sprintf("many-%d-%d", i, j), Labels: map[string]string{discoveryv1.LabelServiceName: s.Name}},
			AddressType: discoveryv1.AddressTypeIPv4, Ports: []discoveryv1.EndpointPort{{Name: &name, Port: &port}},
		}
		for k := range endpoints {
			at := (i*2+j)*endpoints + k
			slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{
				Addresses: []string{fmt.Sprintf("10.%d.%d.%d", 100+at/60000, at/250%240, at%250+1)},
				TargetRef: &corev1.ObjectReference{Kind: "Pod", Namespace: namespace, Name: fmt.Sprintf("pod-%d", at)},
			})
		}
		if _, err := client.DiscoveryV1().EndpointSlices(namespace).Create(t.Context(), slice, metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	return nil
}

// TestExplainOfManyServices: a destination on a real API server with many Services is
// explained in a bounded number of paged requests. With OUTRIDER_EXPLAIN_SERVICES=5000 it
// prints what a large cluster takes; see "make bench-explain".
func TestExplainOfManyServices(t *testing.T) {
	server := kube.Require(t)
	installation := server.Namespace(t, nil)
	namespace := server.Namespace(t, map[string]string{"istio-injection": "enabled"})
	configMap(t, server, installation, "istio-sidecar-injector", map[string]string{"config": "policy: enabled\n"})
	newDeployment(t, server, namespace, "web", nil)
	n := few
	if text := os.Getenv("OUTRIDER_EXPLAIN_SERVICES"); text != "" {
		_, err := fmt.Sscan(text, &n)
		kit.Must(t, err)
	}
	createServices(t, server, namespace, n, 10)
	storeHistory(t, server, installation, "0f4a3c2b1d5e6f70")
	register(t, server, registration.Options{Namespace: installation, Service: "outrider"}.Mutating())
	args := []string{"explain", "deployment/web", "-n", namespace, "-i", installation, "--to", "many-7." + namespace + ":80", "--protocol", "http", "--context", "there", "--kubeconfig"}
	if n > few {
		program := filepath.Join(t.TempDir(), "outrider")
		build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", program, ".")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		path := writeKubeconfig(t, server)
		for range 3 {
			_, seconds, megabytes := measured(t, program, append(args, path)...)
			t.Logf("explain --to with %d Services: %.2f s, %.0f MB of memory at most", n, seconds, megabytes)
		}
	}
	path, requests := proxied(t, server)
	got := runWith(t, "", append(args, path)...)
	if got.code != exitOK || !strings.Contains(got.out, " port 80 (http, Host many-7."+namespace+"): redirected and forwarded") || !strings.Contains(got.out, "Service "+namespace+"/many-7") {
		t.Fatalf("%+v", got)
	}
	all := requests()
	t.Logf("%d requests", len(all))
	if len(all) > 25+n/500+2*n/500 {
		t.Errorf("%d requests:\n%s", len(all), strings.Join(all, "\n"))
	}
	for _, q := range all {
		list := regexp.MustCompile(`/(pods|services|endpointslices|nodes|serviceentries|virtualservices|sidecars)(\?|$)`)
		if list.MatchString(q) && !strings.Contains(q, "limit=500") {
			t.Errorf("not a paged list: %s", q)
		}
	}
}
