package serve

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

const tokenPath = "/var/run/secrets/kubernetes.io/serviceaccount"

// The API server calls the webhook again for a pod that its own admission plugins change
// after the first call. Nothing of the injected containers needs that.
func TestWebhookIsCalledOncePerPod(t *testing.T) {
	i := startInstance(t, "{}").ready()
	ns := i.workspace()
	own := func(mounts ...corev1.VolumeMount) corev1.Container {
		return corev1.Container{Name: "istio-proxy", Image: "auto", VolumeMounts: mounts}
	}
	volume := corev1.Volume{Name: "mine", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
		Sources: []corev1.VolumeProjection{{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token"}}},
	}}}
	const none, mine = "outrider-no-api-token", "mine"
	began := i.metric("sidecar_injection_requests_total")
	tests := []struct {
		name  string
		proxy string // the volume at the path of the token in istio-proxy
		edit  func(*corev1.Pod)
	}{
		{"an ordinary pod", none, func(*corev1.Pod) {}},
		{"a classic sidecar", none, func(p *corev1.Pod) { p.Annotations["sidecar.istio.io/nativeSidecar"] = "false" }},
		{"without a token of its own", none, func(p *corev1.Pod) { p.Spec.AutomountServiceAccountToken = new(false) }},
		{"with an init container", none, func(p *corev1.Pod) {
			p.Spec.InitContainers = []corev1.Container{{Name: "first", Image: "first"}}
		}},
		{"with an own istio-proxy", none, func(p *corev1.Pod) { p.Spec.Containers = append(p.Spec.Containers, own()) }},
		{"with an own istio-init", none, func(p *corev1.Pod) {
			p.Spec.InitContainers = []corev1.Container{{Name: "istio-init", Image: "auto"}}
		}},
		{"with an own istio-proxy that has a volume there", mine, func(p *corev1.Pod) {
			p.Spec.Volumes = []corev1.Volume{volume}
			p.Spec.Containers = append(p.Spec.Containers, own(corev1.VolumeMount{Name: "mine", MountPath: tokenPath}))
		}},
		{"with a volume there by the annotation", mine, func(p *corev1.Pod) {
			p.Annotations["sidecar.istio.io/userVolume"] = `{"mine": {"emptyDir": {}}}`
			p.Annotations["sidecar.istio.io/userVolumeMount"] = `{"mine": {"mountPath": "` + tokenPath + `"}}`
		}},
	}
	for n, tt := range tests {
		pod, err := i.create(ns, sleepPod(fmt.Sprintf("once-%d", n), tt.edit))
		i.must(err)
		i.counts(began+float64(n+1), "sidecar_injection_requests_total")
		for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
			at := slices.IndexFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.MountPath == tokenPath })
			got := ""
			if at >= 0 {
				got = c.VolumeMounts[at].Name
			}
			switch {
			case c.Name == "istio-proxy" && got != tt.proxy, c.Name == "istio-init" && got != none:
				t.Errorf("%s: %s mounts volume %q at the path of the API token", tt.name, c.Name, got)
			case !strings.HasPrefix(c.Name, "istio-") && strings.HasPrefix(got, "kube-api-access-") != (pod.Spec.AutomountServiceAccountToken == nil):
				t.Errorf("%s: %s mounts volume %q at the path of the API token", tt.name, c.Name, got)
			}
		}
	}
	i.replica.Stop() // all requests are counted now
	if calls := i.metric("sidecar_injection_requests_total") - began; calls != float64(len(tests)) {
		t.Errorf("the webhook is called %v times for %d pods", calls, len(tests))
	}
}
