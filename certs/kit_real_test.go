package certs

import (
	"encoding/base64"
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"

	"github.com/outrider-mesh/outrider/internal/election"
	"github.com/outrider-mesh/outrider/internal/revision"
	"github.com/outrider-mesh/outrider/test/kit"
	"github.com/outrider-mesh/outrider/test/kit/instance"
	"github.com/outrider-mesh/outrider/test/kube"
	"github.com/outrider-mesh/outrider/webhook/registration"
)

func TestMain(m *testing.M) {
	klog.SetLogger(logr.Discard()) // client-go's own log lines about elections
	os.Exit(kube.Main(m))
}

// installation is one revision on the shared API server: its webhook
// configurations and its replicas.
type installation struct {
	*kube.Server
	t                   testing.TB
	revision, namespace string
	lifetimes           Lifetimes
	behind              atomic.Int64 // how far the replicas' clocks are behind, in nanoseconds
}

var installations, replicaCount atomic.Int32

// quick are seconds where the real ones are minutes.
var quick = Timing{
	Election: election.Timing{Lease: 3 * time.Second, Renew: 2 * time.Second, Retry: 200 * time.Millisecond},
	Report:   300 * time.Millisecond, Resync: 300 * time.Millisecond,
}

func install(t testing.TB) *installation {
	t.Helper()
	s := kube.Require(t)
	i := &installation{Server: s, t: t, revision: fmt.Sprintf("c%d", installations.Add(1)), namespace: s.Namespace(t, nil)}
	i.lifetimes = DefaultLifetimes
	r := registration.Options{Revision: revision.Revision(i.revision), Namespace: i.namespace, Service: "outrider"}
	instance.Register(t, i.Client, r.Mutating(), r.Validating())
	return i
}

func (i *installation) registration() string { return "outrider-sidecar-injector-" + i.revision }

func (i *installation) must(err error) {
	i.t.Helper()
	kit.Must(i.t, err)
}

// replica is a running Manager.
type replica struct {
	*Manager
	registry *prometheus.Registry
	stop     func() // and wait
}

func (i *installation) start(edits ...func(*Options)) *replica {
	i.t.Helper()
	r := &replica{registry: prometheus.NewRegistry()}
	name := fmt.Sprintf("replica-%d", replicaCount.Add(1))
	o := Options{
		Cluster: i.Config, Namespace: i.namespace, Revision: i.revision, Registration: i.registration(),
		Identity: name, Hosts: []string{"outrider." + i.namespace + ".svc", "127.0.0.1"},
		Lifetimes: i.lifetimes, Timing: quick, Registry: r.registry,
		Now: func() time.Time { return time.Now().Add(-time.Duration(i.behind.Load())) },
		Log: instance.Log(name),
	}
	for _, e := range edits {
		e(&o)
	}
	var err error
	r.Manager, err = New(o)
	i.must(err)
	r.stop = instance.Run(i.t, name, r.Start).Stop
	return r
}

// ready starts a replica and waits until it is ready.
func (i *installation) ready(edits ...func(*Options)) *replica {
	i.t.Helper()
	r := i.start(edits...)
	i.eventually("the replica is ready", func() error { return r.Ready(nil) })
	return r
}

func (i *installation) eventually(what string, check func() error) {
	i.t.Helper()
	kit.Wait{Every: 10 * time.Millisecond}.Eventually(i.t, what, check)
}

func (i *installation) mutating() *admissionregistrationv1.MutatingWebhookConfiguration {
	i.t.Helper()
	c, err := i.Client.AdmissionregistrationV1().MutatingWebhookConfigurations().Get(i.t.Context(), i.registration(), metav1.GetOptions{})
	i.must(err)
	return c
}

// bundles are the distinct caBundles of both webhook configurations.
func (i *installation) bundles() (out []string) {
	i.t.Helper()
	seen := map[string]bool{}
	for _, w := range i.mutating().Webhooks {
		seen[string(w.ClientConfig.CABundle)] = true
	}
	c, err := i.Client.AdmissionregistrationV1().ValidatingWebhookConfigurations().Get(i.t.Context(), i.registration(), metav1.GetOptions{})
	i.must(err)
	for _, w := range c.Webhooks {
		seen[string(w.ClientConfig.CABundle)] = true
	}
	return sorted(seen)
}

// wipe removes the caBundle of every mutating webhook.
func (i *installation) wipe() {
	i.t.Helper()
	patch := ""
	for n := range i.mutating().Webhooks {
		patch += fmt.Sprintf(`,{"op":"replace","path":"/webhooks/%d/clientConfig/caBundle","value":""}`, n)
	}
	_, err := i.Client.AdmissionregistrationV1().MutatingWebhookConfigurations().Patch(i.t.Context(), i.registration(),
		types.JSONPatchType, []byte("["+patch[1:]+"]"), metav1.PatchOptions{})
	i.must(err)
}

// registered waits until every webhook has one bundle of so many CA certificates.
func (i *installation) registered(caCerts int) string {
	i.t.Helper()
	var bundle string
	i.eventually(fmt.Sprintf("%d CA certificates are registered", caCerts), func() error {
		all := i.bundles()
		if len(all) != 1 {
			return fmt.Errorf("%d different bundles", len(all))
		}
		bundle = all[0]
		roots, err := parseBundle([]byte(bundle))
		if err == nil && len(roots) != caCerts {
			err = fmt.Errorf("%d CA certificates", len(roots))
		}
		return err
	})
	return bundle
}

func (i *installation) secret() *corev1.Secret { return i.secretOf(SecretName) }

func (i *installation) secretOf(base string) *corev1.Secret {
	i.t.Helper()
	s, err := i.Client.CoreV1().Secrets(i.namespace).Get(i.t.Context(), base+"-"+i.revision, metav1.GetOptions{})
	i.must(err)
	return s
}

func (i *installation) configMap(namespace string) (*corev1.ConfigMap, error) {
	return i.Client.CoreV1().ConfigMaps(namespace).Get(i.t.Context(), ConfigMapName+"-"+i.revision, metav1.GetOptions{})
}

// holding waits until the namespace's ConfigMap has the text.
func (i *installation) holding(namespace, bundle string) {
	i.t.Helper()
	i.eventually("ConfigMap in "+namespace, func() error {
		c, err := i.configMap(namespace)
		if err == nil && (c.Data[keyBundle] != bundle || c.Data[keySDSCA] != sdsCA || c.Data[keySDSToken] != sdsToken || len(c.Data) != 3) {
			err = fmt.Errorf("holds %q", c.Data)
		}
		return err
	})
}

// value is a sample of a metric whose labels have all the values.
func (r *replica) value(t testing.TB, name string, labels ...string) float64 {
	t.Helper()
	families, err := r.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		for _, m := range f.GetMetric() {
			has := map[string]bool{}
			for _, l := range m.GetLabel() {
				has[l.GetValue()] = true
			}
			all := f.GetName() == name
			for _, l := range labels {
				all = all && has[l]
			}
			if all {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

func base64Of(b []byte) string { return base64.StdEncoding.EncodeToString(b) }
