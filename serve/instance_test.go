package serve

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admission/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/klog/v2"

	"github.com/outrider-mesh/outrider/certs"
	"github.com/outrider-mesh/outrider/internal/revision"
	"github.com/outrider-mesh/outrider/test/kit"
	replica "github.com/outrider-mesh/outrider/test/kit/instance"
	"github.com/outrider-mesh/outrider/test/kit/testca"
	"github.com/outrider-mesh/outrider/test/kube"
	"github.com/outrider-mesh/outrider/webhook/registration"
)

func TestMain(m *testing.M) {
	klog.SetLogger(logr.Discard())
	os.Exit(kube.Main(m))
}

// instance is one webhook of its own revision, with ConfigMaps of its own, in
// front of the shared API server.
type instance struct {
	*kube.Server
	t                   testing.TB
	revision, namespace string
	registry            *prometheus.Registry
	url, health, xds    string
	ca                  []byte
	replica             *replica.Replica
	options             Options
}

var instances atomic.Int32

// startInstance serves by the given key "values", and registers the webhook;
// an empty text means that there are no ConfigMaps.
func startInstance(t testing.TB, values string, edits ...func(*Options)) *instance {
	t.Helper()
	server := kube.Require(t)
	i := &instance{
		Server: server, t: t, registry: prometheus.NewRegistry(),
		revision: fmt.Sprintf("r%d", instances.Add(1)), namespace: server.Namespace(t, nil),
	}
	if values != "" {
		i.setValues(values)
	}
	dir := t.TempDir()
	ca, cert, key, err := testca.Files(time.Now().Add(-time.Hour), 24*time.Hour, "127.0.0.1")
	i.must(err)
	i.must(os.WriteFile(filepath.Join(dir, certs.CertificateFile), cert, 0o600))
	i.must(os.WriteFile(filepath.Join(dir, certs.KeyFile), key, 0o600))
	address := kit.FreeAddress(t)
	i.ca, i.url, i.health, i.xds = ca, "https://"+address, kit.FreeAddress(t), kit.FreeAddress(t)

	options := Options{
		Cluster: server.Config, Namespace: i.namespace, Revision: revision.Revision(i.revision), CertDir: dir,
		Address: address, XDSAddress: i.xds, MetricsAddress: "0", HealthAddress: i.health,
		ShutdownDelay: 300 * time.Millisecond, Registry: i.registry,
		Log: replica.Log(i.revision),
	}
	for _, edit := range edits {
		edit(&options)
	}
	i.options = options
	i.replica = replica.Run(t, "serve", func(ctx context.Context) error { return Run(ctx, options) })
	i.register()
	return i
}

// restart ends the replica and runs another one, with metrics of its own.
func (i *instance) restart() {
	i.t.Helper()
	i.replica.Stop()
	i.registry = prometheus.NewRegistry()
	options := i.options
	options.Registry = i.registry
	i.replica = replica.Run(i.t, "serve", func(ctx context.Context) error { return Run(ctx, options) })
}

func (i *instance) must(err error) {
	i.t.Helper()
	kit.Must(i.t, err)
}

func (i *instance) register() {
	i.t.Helper()
	r := registration.Options{Revision: revision.Revision(i.revision), Namespace: i.namespace, URL: i.url, CABundle: i.ca}
	// Edits of the ConfigMaps are not validated, as if the webhook were unavailable: what
	// follows from an invalid one is under test here. validateEdits changes that.
	validation := r.Validating()
	validation.Webhooks = slices.DeleteFunc(validation.Webhooks, func(w admissionregistrationv1.ValidatingWebhook) bool {
		return strings.HasSuffix(*w.ClientConfig.URL, registration.ConfigurationPath)
	})
	replica.Register(i.t, i.Client, r.Mutating(), validation)
}

// ready waits until the instance is ready, and the API server calls it.
func (i *instance) ready() *instance {
	i.t.Helper()
	i.eventually("the instance is ready", func() string { return i.readyz() })
	ns := i.workspace()
	before := i.metric("sidecar_injection_requests_total", "injected")
	i.eventually("the API server calls the webhook", func() string {
		pod, err := i.create(ns, sleepPod("probe"), metav1.DryRunAll)
		if err != nil {
			return err.Error()
		}
		if !injected(pod) {
			return "not injected"
		}
		return ""
	})
	i.counts(before+1, "sidecar_injection_requests_total", "injected") // it is counted now
	return i
}

// readyz is empty when ready, else what is missing.
func (i *instance) readyz() string {
	if err := replica.Readyz(i.health); err != nil {
		return err.Error()
	}
	return ""
}

// eventually repeats check until it returns nothing.
func (i *instance) eventually(what string, check func() string) {
	i.t.Helper()
	kit.Wait{Every: 10 * time.Millisecond}.Eventually(i.t, what, func() error {
		if missing := check(); missing != "" {
			return errors.New(missing)
		}
		return nil
	})
}

// workspace is a namespace whose pods this instance injects.
func (i *instance) workspace() string {
	i.t.Helper()
	return i.Namespace(i.t, map[string]string{"istio.io/rev": i.revision})
}

// setValues writes the key "values" of the instance's ConfigMap.
func (i *instance) setValues(values string) {
	i.t.Helper()
	maps := i.Client.CoreV1().ConfigMaps(i.namespace)
	cm := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "istio-sidecar-injector-" + i.revision},
		Data:       map[string]string{"values": values},
	}
	_, err := maps.Update(i.t.Context(), cm, metav1.UpdateOptions{})
	if err != nil && strings.Contains(err.Error(), "not found") {
		_, err = maps.Create(i.t.Context(), cm, metav1.CreateOptions{})
	}
	i.must(err)
}

func (i *instance) create(ns string, pod *corev1.Pod, dryRun ...string) (*corev1.Pod, error) {
	return i.Client.CoreV1().Pods(ns).Create(i.t.Context(), pod, metav1.CreateOptions{DryRun: dryRun})
}

// metric sums the samples of a counter or gauge whose labels have the values.
func (i *instance) metric(name string, values ...string) float64 {
	i.t.Helper()
	families, err := i.registry.Gather()
	i.must(err)
	sum := 0.0
	for _, f := range families {
		for _, m := range f.GetMetric() {
			got := ""
			for _, l := range m.GetLabel() {
				got += l.GetValue() + "|"
			}
			all := f.GetName() == name
			for _, v := range values {
				all = all && strings.Contains(got, v+"|")
			}
			if all {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

// counts waits until a counter has a value. A request is counted after it is answered,
// which may be after the API server's answer.
func (i *instance) counts(want float64, name string, values ...string) {
	i.t.Helper()
	i.eventually(fmt.Sprintf("%s %v is %v", name, values, want), func() string {
		if got := i.metric(name, values...); got != want {
			return fmt.Sprint(got)
		}
		return ""
	})
}

// review sends a pod straight to the webhook over HTTPS.
func (i *instance) review(ns string, pod []byte) *admissionv1.AdmissionResponse {
	i.t.Helper()
	rv := admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"},
		Request: &admissionv1.AdmissionRequest{
			UID: "raw", Namespace: ns, Operation: admissionv1.Create,
			Kind:     metav1.GroupVersionKind{Version: "v1", Kind: "Pod"},
			Resource: metav1.GroupVersionResource{Version: "v1", Resource: "pods"},
			Object:   runtime.RawExtension{Raw: pod},
		},
	}
	body, err := json.Marshal(rv)
	i.must(err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(i.ca)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	defer client.CloseIdleConnections()
	resp, err := client.Post(i.url+registration.InjectPath, "application/json", bytes.NewReader(body))
	i.must(err)
	defer func() { _ = resp.Body.Close() }()
	rv = admissionv1.AdmissionReview{}
	i.must(json.NewDecoder(resp.Body).Decode(&rv))
	return rv.Response
}

func sleepPod(name string, edits ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": "sleep"}, Annotations: map[string]string{}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Name: "sleep", Image: "curlimages/curl", Command: []string{"/bin/sleep", "infinity"},
		}}},
	}
	for _, edit := range edits {
		edit(p)
	}
	return p
}

// injected reports whether the pod has exactly one sidecar and one init
// container of ours.
func injected(p *corev1.Pod) bool {
	count := map[string]int{}
	for _, c := range append(append([]corev1.Container{}, p.Spec.InitContainers...), p.Spec.Containers...) {
		count[c.Name]++
	}
	return count["istio-proxy"] == 1 && count["istio-init"] == 1 && p.Annotations["sidecar.istio.io/status"] != ""
}

// initArguments are the redirect's, which carry the effective ranges.
func initArguments(p *corev1.Pod) string {
	for _, c := range p.Spec.InitContainers {
		if c.Name == "istio-init" {
			return strings.Join(append(c.Command, c.Args...), " ")
		}
	}
	return ""
}
