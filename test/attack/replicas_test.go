package attack

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/outrider-mesh/outrider/test/kit"
)

// system is the namespace of the product.
const system = "istio-system"

// state is what an attack must not change.
type state struct {
	restarts map[string]int32 // by pod
	tally    tally
}

func (b *battery) replicas(t *testing.T) []corev1.Pod {
	t.Helper()
	list, err := b.kube.CoreV1().Pods(system).List(ended, metav1.ListOptions{})
	kit.Must(t, err)
	return slices.DeleteFunc(list.Items, func(p corev1.Pod) bool { return p.DeletionTimestamp != nil })
}

// recovered waits until what the attack before has left is over: all replicas are
// ready, so that each attack is measured alone.
func (b *battery) recovered(t *testing.T) {
	t.Helper()
	eventually(t, "the replicas are ready", func() error {
		list, err := b.kube.AppsV1().Deployments(system).List(ended, metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, d := range list.Items {
			if d.Status.ReadyReplicas < *d.Spec.Replicas {
				return fmt.Errorf("Deployment %s: %d replicas are ready", d.Name, d.Status.ReadyReplicas)
			}
		}
		return nil
	})
}

func (b *battery) state(t *testing.T) state {
	t.Helper()
	s := state{restarts: map[string]int32{}, tally: b.neighbor.tally(t)}
	for _, p := range b.replicas(t) {
		for _, c := range p.Status.ContainerStatuses {
			s.restarts[p.Name] += c.RestartCount
		}
	}
	return s
}

// untouched compares the state with the one before an attack: the same replicas,
// none restarted, and no failed request of the neighbor.
func (b *battery) untouched(t *testing.T, before state) {
	t.Helper()
	after := b.state(t)
	for name, n := range after.restarts {
		if n > before.restarts[name] {
			t.Errorf("%s restarted %d times", name, n-before.restarts[name])
		}
	}
	sent, failed := after.tally.OK-before.tally.OK, after.tally.Failed-before.tally.Failed
	t.Logf("the neighbor's requests: %d succeeded, %d failed", sent, failed)
	if failed > 0 {
		t.Errorf("%d of the neighbor's requests failed: %q", failed, after.tally.Failures)
	}
	if sent == 0 {
		t.Error("the neighbor sent no request")
	}
	b.memory(t)
}

// memory prints the replicas' most memory, and fails where it reached the limit.
func (b *battery) memory(t *testing.T) {
	t.Helper()
	for _, p := range b.replicas(t) {
		peak, err := b.MemoryPeak(string(p.UID))
		kit.Must(t, err)
		limit := p.Spec.Containers[0].Resources.Limits.Memory().Value()
		t.Logf("%s: memory at most %d MiB of %d MiB", p.Name, peak>>20, limit>>20)
		if limit > 0 && peak >= limit {
			t.Errorf("%s reached its memory limit", p.Name)
		}
	}
}

// webhook are the addresses of the replicas that the API server calls.
func (b *battery) webhook(t *testing.T) string {
	t.Helper()
	w, err := b.kube.AdmissionregistrationV1().MutatingWebhookConfigurations().Get(ended, "outrider-sidecar-injector", metav1.GetOptions{})
	kit.Must(t, err)
	service := w.Webhooks[0].ClientConfig.Service.Name
	list, err := b.kube.DiscoveryV1().EndpointSlices(system).List(ended, metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=" + service})
	kit.Must(t, err)
	s, err := b.kube.CoreV1().Services(system).Get(ended, service, metav1.GetOptions{})
	kit.Must(t, err)
	for _, p := range s.Spec.Ports {
		if found := endpoints(list.Items, p.Name); p.Port == 443 && len(found) > 0 {
			return strings.Join(found, " ")
		}
	}
	t.Fatalf("Service %s has no endpoints", service)
	return ""
}

// targets are the addresses of the ready replicas that serve a port of the Services
// in the product's namespace: 15012 of the control plane, 443 of the webhook.
func (b *battery) targets(t *testing.T, port int32) string {
	t.Helper()
	services, err := b.kube.CoreV1().Services(system).List(ended, metav1.ListOptions{})
	kit.Must(t, err)
	var out []string
	for _, s := range services.Items {
		for _, p := range s.Spec.Ports {
			if p.Port != port {
				continue
			}
			slices, err := b.kube.DiscoveryV1().EndpointSlices(system).List(ended, metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=" + s.Name})
			kit.Must(t, err)
			out = append(out, endpoints(slices.Items, p.Name)...)
		}
	}
	if len(out) == 0 {
		t.Fatalf("no Service in %s has endpoints of port %d", system, port)
	}
	return strings.Join(out, " ")
}

func endpoints(list []discoveryv1.EndpointSlice, port string) (out []string) {
	for _, s := range list {
		for _, p := range s.Ports {
			if s.AddressType != discoveryv1.AddressTypeIPv4 || p.Name == nil || *p.Name != port || p.Port == nil {
				continue
			}
			for _, e := range s.Endpoints {
				out = append(out, fmt.Sprintf("%s:%d", e.Addresses[0], *p.Port))
			}
		}
	}
	return out
}

// metric is the sum of a metric's samples over the replicas, of those whose line has
// all the labels.
func (b *battery) metric(t *testing.T, name string, labels ...string) (sum float64) {
	t.Helper()
	for _, p := range b.replicas(t) {
		text, err := b.kube.CoreV1().RESTClient().Get().Namespace(system).Resource("pods").Name(p.Name + ":15014").
			SubResource("proxy").Suffix("metrics").DoRaw(ended)
		kit.Must(t, err)
		for line := range strings.Lines(string(text)) {
			rest, ok := strings.CutPrefix(line, name)
			if !ok || rest == "" || rest[0] != '{' && rest[0] != ' ' || slices.ContainsFunc(labels, func(l string) bool { return !strings.Contains(line, l) }) {
				continue
			}
			v, err := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndexByte(line, ' '):]), 64)
			kit.Must(t, err)
			sum += v
		}
	}
	return sum
}
