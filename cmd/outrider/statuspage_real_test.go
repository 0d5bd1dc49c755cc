package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/outrider-mesh/outrider/test/kit"
	"github.com/outrider-mesh/outrider/test/kube"
	"github.com/outrider-mesh/outrider/test/page"
)

// TestStatusPages runs the commands of docs/status.md and docs/preview.md on a real API
// server. The permissions that the page grants are enough for the user that it names.
func TestStatusPages(t *testing.T) {
	server := kube.Require(t)
	ctx := t.Context()
	kit.Must(t, server.CreateNamespace(ctx, "istio-system", nil))
	kit.Must(t, server.CreateNamespace(ctx, "shop", map[string]string{"istio-injection": "enabled"}))
	createPods(t, server, "istio-system", "shop", 3, 3)
	configMap(t, server, "istio-system", "istio-sidecar-injector", map[string]string{"values": "global: {proxy: {excludeIPRanges: 10.1.0.0/16}}\n"})
	path := writeKubeconfig(t, server)
	docs, err := filepath.Abs(filepath.Join("..", "..", "docs"))
	kit.Must(t, err)
	t.Chdir(t.TempDir())
	kit.Must(t, os.WriteFile("configmap.yaml", []byte(previewMap+"  values: 'global: {proxy: {excludeIPRanges: 10.2.0.0/16}}'\n"), 0o600))
	commands := 0
	for _, name := range []string{"status.md", "preview.md"} {
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
				if got.code != exitOK && name != "preview.md" || got.code > 1 || got.out == "" {
					t.Errorf("%s%+v", line, got)
				}
			}
		}
	}
	if commands < 10 {
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
