package serve

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/outrider-mesh/outrider/annotation"
	"github.com/outrider-mesh/outrider/config"
)

// Each version of Envoy is the image of a revision. A namespace gets it by its revision,
// and a pod by an annotation, whatever its namespace has.
func TestEnvoyVersionByRevisionNamespaceAndPod(t *testing.T) {
	image := func(version string) string { return "docker.io/envoyproxy/envoy:distroless-v" + version }
	versions := config.EnvoyVersions()
	if len(versions) < 2 {
		t.Fatalf("one version of Envoy in the table: %v", versions)
	}
	one := startInstance(t, "{}").ready()
	other := startInstance(t, "global: {proxy: {image: '"+image(versions[1].Version)+"'}}\n").ready()
	ns := one.workspace()
	check := func(what, version string, edits ...func(*corev1.Pod)) {
		t.Helper()
		pod, err := one.create(ns, sleepPod("a", edits...), metav1.DryRunAll)
		one.must(err)
		for _, c := range append(pod.Spec.InitContainers, pod.Spec.Containers...) {
			if c.Name == "istio-proxy" && c.Image == image(version) {
				return
			}
		}
		t.Errorf("%s: the sidecar's image is not %s", what, image(version))
	}
	pinned := func(p *corev1.Pod) {
		p.Annotations = map[string]string{annotation.ProxyImage: image(versions[1].Version)}
	}
	check("the default", versions[0].Version)
	check("one pod", versions[1].Version, pinned)
	move := `{"metadata":{"labels":{"istio.io/rev":"` + other.revision + `"}}}`
	_, err := one.Client.CoreV1().Namespaces().Patch(t.Context(), ns, types.MergePatchType, []byte(move), metav1.PatchOptions{})
	one.must(err)
	one.eventually("the other revision's webhook is called", func() string {
		pod, err := one.create(ns, sleepPod("a"), metav1.DryRunAll)
		if err != nil || pod.Annotations["istio.io/rev"] != other.revision {
			return "not yet"
		}
		return ""
	})
	check("the namespace of another revision", versions[1].Version)
	pinned = func(p *corev1.Pod) {
		p.Annotations = map[string]string{annotation.ProxyImage: image(versions[0].Version)}
	}
	check("one pod of it", versions[0].Version, pinned)
}
