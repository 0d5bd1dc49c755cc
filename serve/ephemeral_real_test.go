package serve

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// kubectl debug adds a container to a running pod: none that bypasses its sidecar, whatever
// labels and annotations the pod has by then.
func TestDebugContainers(t *testing.T) {
	i := startInstance(t, "{}").ready()
	ns, other := i.workspace(), i.Namespace(t, nil)
	_, err := i.Client.CoreV1().ConfigMaps(i.namespace).Create(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "istio-" + i.revision}, Data: map[string]string{"mesh": "outboundTrafficPolicy: {mode: REGISTRY_ONLY}\n"},
	}, metav1.CreateOptions{})
	i.must(err)
	for _, namespace := range []string{ns, other} {
		_, err := i.create(namespace, sleepPod("sleep"))
		i.must(err)
	}
	names := 0
	debug := func(namespace, custom string, args ...string) string {
		names++
		line := append([]string{"debug", "-n", namespace, "sleep", "--image=example.com/debug:1", fmt.Sprintf("--container=debug-%d", names)}, args...)
		if custom != "" {
			file := filepath.Join(t.TempDir(), "custom.json")
			i.must(os.WriteFile(file, []byte(custom), 0o600))
			line = append(line, "--custom="+file)
		}
		out, _ := i.kubectl("", line...)
		return out
	}
	const denied, bypass, user = "denied the request: pod sleep: spec.ephemeralContainers[", "bypasses REGISTRY_ONLY: container debug-", `{"securityContext":{"runAsUser":1337}}`
	i.eventually("the API server asks about ephemeral containers by the mesh configuration", func() string {
		if out := debug(ns, "", "--profile=sysadmin"); !strings.Contains(out, "securityContext.privileged: true: "+bypass) {
			return out
		}
		return ""
	})
	for _, tt := range []struct {
		name, custom string
		args         []string
		want         string // "" for no message
	}{
		{"the restricted profile", "", []string{"--profile=restricted"}, ""},
		{"the general profile", "", nil, ""},
		{"the general profile, beside the sidecar", "", []string{"--target=istio-proxy"}, `"SYS_PTRACE": ` + bypass},
		{"the profile for networks", "", []string{"--profile=netadmin"}, `securityContext.capabilities.add: "NET_ADMIN": ` + bypass},
		{"the sidecar's uid", user, nil, `securityContext.runAsUser: 1337: the sidecar's uid, which the redirect exempts: the container would bypass the sidecar; use another runAsUser`},
		{"the sidecar's uid, beside the sidecar", user, []string{"--target=istio-proxy"}, denied},
		{"its gid, which is not exempt", `{"securityContext":{"runAsGroup":1337}}`, []string{"--profile=restricted"}, ""},
		{"the administration socket", `{"volumeMounts":[{"name":"outrider-admin","mountPath":"/a"}]}`, nil, `volumeMounts[0].name: "outrider-admin": a volume of the sidecar`},
		{"the sidecar's token", `{"volumeMounts":[{"name":"outrider-xds","mountPath":"/a"}]}`, nil, denied},
		{"root", `{"securityContext":{"runAsUser":0}}`, nil, "securityContext.runAsUser: 0: " + bypass},
	} {
		out := debug(ns, tt.custom, tt.args...)
		if tt.want == "" && (strings.Contains(out, "denied") || strings.Contains(out, "Warning")) || !strings.Contains(out, tt.want) {
			t.Errorf("%s: %s\nwant %s", tt.name, out, tt.want)
		}
	}
	if out := debug(other, user); strings.Contains(out, "denied") || strings.Contains(out, "Warning") {
		t.Errorf("a pod without a sidecar: %s", out)
	}
	for _, line := range []string{"label -n %s pod sleep --overwrite sidecar.istio.io/inject=false", "annotate -n %s pod sleep sidecar.istio.io/status-", "label namespace %s istio.io/rev-"} {
		if out, err := i.kubectl("", strings.Fields(fmt.Sprintf(line, ns))...); err != nil {
			t.Fatal(out)
		}
		if out := debug(ns, user); !strings.Contains(out, denied) {
			t.Errorf("after kubectl %s: %s", line, out)
		}
	}
}

// An update of a running pod can replace the images of its containers: that of the sidecar with
// a warning.
func TestReplacedImages(t *testing.T) {
	i := startInstance(t, "{}").ready()
	ns := i.workspace()
	i.validateEdits()
	_, err := i.Client.CoreV1().ConfigMaps(i.namespace).Create(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "istio-" + i.revision}, Data: map[string]string{"mesh": "outboundTrafficPolicy: {mode: REGISTRY_ONLY}\n"},
	}, metav1.CreateOptions{})
	i.must(err)
	_, err = i.create(ns, sleepPod("sleep"))
	i.must(err)
	set := func(container, image string) string {
		out, _ := i.kubectl("", "set", "image", "-n", ns, "--dry-run=server", "pod/sleep", container+"="+image)
		return out
	}
	i.eventually("a warning about another program in the sidecar", func() string {
		if out := set("istio-proxy", "example.com/sh:1"); !strings.Contains(out, `.image: "example.com/sh:1": bypasses REGISTRY_ONLY: replaces the program of an injected container`) || !strings.Contains(out, "image updated") {
			return out
		}
		return ""
	})
	for container, image := range map[string]string{"sleep": "example.com/sh:1", "istio-proxy": "docker.io/envoyproxy/envoy:v1.39.0"} {
		if out := set(container, image); strings.Contains(out, "Warning") || !strings.Contains(out, "image updated") {
			t.Errorf("%s=%s: %s", container, image, out)
		}
	}
}
