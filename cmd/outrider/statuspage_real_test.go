package main

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/outrider-mesh/outrider/test/kit"
	"github.com/outrider-mesh/outrider/test/kube"
	"github.com/outrider-mesh/outrider/test/page"
	"github.com/outrider-mesh/outrider/test/world"
)

// TestStatusPages runs the commands of docs/status.md, docs/preview.md and docs/explain.md on
// a real API server, where names of the internet are those of the tests' internet. The
// permissions that the page grants are enough for the user that it names.
func TestStatusPages(t *testing.T) {
	server := kube.Require(t)
	ctx := t.Context()
	kit.Must(t, server.CreateNamespace(ctx, "istio-system", nil))
	kit.Must(t, server.CreateNamespace(ctx, "shop", map[string]string{"istio-injection": "enabled"}))
	createPods(t, server, "istio-system", "shop", 3, 3)
	configMap(t, server, "istio-system", "istio-sidecar-injector", map[string]string{"values": "global: {proxy: {excludeIPRanges: 10.1.0.0/16}}\n"})
	newDeployment(t, server, "shop", "web", nil)
	_, err := server.Client.CoreV1().Pods("shop").Create(ctx, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "web-7d4b9c-x2x"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "app"}}},
	}, metav1.CreateOptions{})
	kit.Must(t, err)
	resolveInWorld(t)
	path := writeKubeconfig(t, server)
	docs, err := filepath.Abs(filepath.Join("..", "..", "docs"))
	kit.Must(t, err)
	t.Chdir(t.TempDir())
	kit.Must(t, os.WriteFile("configmap.yaml", []byte(previewMap+"  values: 'global: {proxy: {excludeIPRanges: 10.2.0.0/16}}'\n"), 0o600))
	commands := 0
	for _, name := range []string{"status.md", "preview.md", "explain.md"} {
		text, err := os.ReadFile(filepath.Join(docs, name))
		kit.Must(t, err)
		for _, block := range page.Of(string(text), "sh") {
			for line := range strings.Lines(block.Body) {
				commands++
				words := strings.Fields(line)
				if words[0] == "kubectl" {
					if out, err := server.Kubectl(ctx, words[1:]...).CombinedOutput(); err != nil {
						t.Errorf("%s%v: %s", line, err, out)
					}
					continue
				}
				got := runWith(t, "", append(words[1:], "--kubeconfig", path, "--context", "there")...)
				if strings.Contains(line, "google") && !strings.Contains(got.out, "  IPv4 203.0.113.20 port 443 (tls, SNI www.google.com): ") {
					t.Errorf("%s%+v", line, got)
				}
				if got.code != exitOK && name != "preview.md" || got.code > 1 || got.out == "" {
					t.Errorf("%s%+v", line, got)
				}
			}
		}
	}
	if commands < 13 {
		t.Errorf("only %d commands found", commands)
	}
	config, err := clientcmd.LoadFromFile(path)
	kit.Must(t, err)
	config.AuthInfos["there"].Impersonate = "jane"
	kit.Must(t, clientcmd.WriteToFile(*config, path))
	got := runWith(t, "", "status", "-n", "shop", "--kubeconfig", path, "--context", "there")
	if got.code != exitOK || !strings.Contains(got.out, "kubectl rollout restart -n shop deployment/web-0") || strings.Contains(got.out, "outrider-last-good") {
		t.Errorf("%+v", got)
	}
}

// resolveInWorld resolves names as the tests' internet does, on the loopback interface.
func resolveInWorld(t *testing.T) {
	t.Helper()
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	kit.Must(t, err)
	go func() {
		query := make([]byte, 4096)
		for {
			n, from, err := server.ReadFrom(query)
			if err != nil {
				return
			}
			if reply, err := world.Answer(query[:n]); err == nil {
				_, _ = server.WriteTo(reply, from)
			}
		}
	}()
	before := net.DefaultResolver
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", server.LocalAddr().String())
	}}
	t.Cleanup(func() {
		net.DefaultResolver = before
		_ = server.Close()
	})
}
