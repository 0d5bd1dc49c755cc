package mesh

import (
	"os"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// The sample keeps its objects, with host aliases and CA certificates added.
func TestWithExternalHosts(t *testing.T) {
	sample, err := os.ReadFile("../../samples/sleep/sleep.yaml")
	if err != nil {
		t.Fatal(err)
	}
	out, err := withExternalHosts(string(sample), []corev1.HostAlias{{IP: "10.0.0.1", Hostnames: []string{"httpbin.org"}}}, "PEM")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Count(out, "\nkind: "), strings.Count(string(sample), "\nkind: "); got != want {
		t.Errorf("%d objects, want %d", got, want)
	}
	documents := strings.Split(out, "\n---\n")
	var d appsv1.Deployment
	if err := yaml.UnmarshalStrict([]byte(documents[len(documents)-1]), &d); err != nil {
		t.Fatal(err)
	}
	pod := d.Spec.Template
	c := pod.Spec.Containers[0]
	if len(pod.Spec.HostAliases) != 1 || pod.Annotations["world-ca"] != "PEM" || len(pod.Spec.Volumes) != 1 ||
		c.Image != "curlimages/curl" || c.VolumeMounts[0].Name != pod.Spec.Volumes[0].Name || c.Env[0].Value != "/etc/world/ca.pem" {
		t.Errorf("%+v", d)
	}
}
