package attack

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/outrider-mesh/outrider/test/kit"
)

// burst: 500 pods are created at once while one replica of the webhook has a tenth of a
// core. All are injected, and the API server calls the webhook once for each.
func burst(t *testing.T, b *battery) {
	const pods, atOnce = 500, 50
	b.namespace(t, "burst", true)
	deployment := b.webhookDeployment(t)
	defer b.scale(t, deployment, 2, "")
	b.scale(t, deployment, 1, "100m")
	before := b.metric(t, "sidecar_injection_requests_total")
	var (
		mu     sync.Mutex
		took   []time.Duration
		failed []error
		group  sync.WaitGroup
		next   = make(chan int)
	)
	began := time.Now()
	for range atOnce {
		group.Go(func() {
			for i := range next {
				p := pod(fmt.Sprintf("burst-%d", i), "sink")
				p.Spec.SchedulerName = "none"
				start := time.Now()
				out, err := b.kube.CoreV1().Pods("burst").Create(ended, p, metav1.CreateOptions{})
				if err == nil && !injected(out) {
					err = fmt.Errorf("pod %s has no sidecar", p.Name)
				}
				mu.Lock()
				took = append(took, time.Since(start))
				if err != nil {
					failed = append(failed, err)
				}
				mu.Unlock()
			}
		})
	}
	for i := range pods {
		next <- i
	}
	close(next)
	group.Wait()
	calls := b.metric(t, "sidecar_injection_requests_total") - before
	t.Logf("%d pods in %s, %d at once, on one replica with 100m: %s; %v calls of the webhook", pods, time.Since(began).Round(100*time.Millisecond), atOnce, spread(took), calls)
	if len(failed) > 0 {
		t.Errorf("%d pods failed, the first: %v", len(failed), failed[0])
	}
	if calls != pods {
		t.Errorf("%v calls of the webhook for %d pods", calls, pods)
	}
}

// webhookDeployment is the name of the Deployment that serves the webhook.
func (b *battery) webhookDeployment(t *testing.T) string {
	t.Helper()
	w, err := b.kube.AdmissionregistrationV1().MutatingWebhookConfigurations().Get(ended, "outrider-sidecar-injector", metav1.GetOptions{})
	kit.Must(t, err)
	service, err := b.kube.CoreV1().Services(system).Get(ended, w.Webhooks[0].ClientConfig.Service.Name, metav1.GetOptions{})
	kit.Must(t, err)
	all, err := b.kube.AppsV1().Deployments(system).List(ended, metav1.ListOptions{})
	kit.Must(t, err)
	for _, d := range all.Items {
		matches := true
		for key, value := range service.Spec.Selector {
			matches = matches && d.Spec.Template.Labels[key] == value
		}
		if matches {
			return d.Name
		}
	}
	t.Fatalf("no Deployment behind Service %s", service.Name)
	return ""
}

// scale sets the replicas of a Deployment and their limit of processor time, if any, and
// waits until they are ready and alone.
func (b *battery) scale(t *testing.T, name string, replicas int, cpu string) {
	t.Helper()
	var limit any
	if cpu != "" {
		limit = cpu
	}
	d, err := b.kube.AppsV1().Deployments(system).Get(ended, name, metav1.GetOptions{})
	kit.Must(t, err)
	patch, err := json.Marshal(map[string]any{"spec": map[string]any{"replicas": replicas, "template": map[string]any{"spec": map[string]any{
		"containers": []any{map[string]any{"name": d.Spec.Template.Spec.Containers[0].Name, "resources": map[string]any{"limits": map[string]any{"cpu": limit}}}},
	}}}})
	kit.Must(t, err)
	_, err = b.kube.AppsV1().Deployments(system).Patch(ended, name, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
	kit.Must(t, err)
	eventually(t, "the Deployment is scaled", func() error {
		d, err := b.kube.AppsV1().Deployments(system).Get(ended, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		pods, err := b.kube.CoreV1().Pods(system).List(ended, metav1.ListOptions{LabelSelector: metav1.FormatLabelSelector(d.Spec.Selector)})
		if s := d.Status; err != nil || s.ObservedGeneration < d.Generation || int(s.ReadyReplicas) != replicas || int(s.UpdatedReplicas) != replicas || len(pods.Items) != replicas {
			return fmt.Errorf("%+v, %v", s, err) //nolint:errorlint // there may be no error
		}
		return nil
	})
}
