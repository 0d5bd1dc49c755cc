package main

import (
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/outrider-mesh/outrider/test/kit"
	"github.com/outrider-mesh/outrider/test/kube"
)

// TestOutputsFitTheirSchemas: what each command prints with -o json about a real API server
// is what its schema in docs describes, and -o yaml is the same.
func TestOutputsFitTheirSchemas(t *testing.T) {
	server := kube.Require(t)
	installation, namespace := server.Namespace(t, nil), server.Namespace(t, map[string]string{"istio-injection": "enabled"})
	createPods(t, server, installation, namespace, 2, 1)
	newDeployment(t, server, namespace, "front", nil)
	configMap(t, server, installation, "istio-sidecar-injector", map[string]string{"values": "global: {proxy: {excludeIPRanges: 10.1.0.0/16}}\n"})
	storeHistory(t, server, installation, "0f4a3c2b1d5e6f70")
	path := writeKubeconfig(t, server)
	at := " --kubeconfig " + path + " --context there"
	in := at + " -i " + installation
	docs, err := filepath.Abs(filepath.Join("..", "..", "docs"))
	kit.Must(t, err)
	for line, cluster := range map[string]string{
		"check": in, "config history": in, "explain deployment/front -n " + namespace + " --to 192.0.2.1:80": in, "preview --set global.proxy.excludeIPRanges=10.2.0.0/16 -n " + namespace: in,
		"ranges": at, "status -n " + namespace: in, "validate -f -": "", "version": "",
	} {
		name := strings.TrimPrefix(strings.Join(strings.Fields(line)[:min(2, len(strings.Fields(line)))], " "), "config ")
		name, _, _ = strings.Cut(name, " ")
		got := runWith(t, badEntry, append(strings.Fields(line+cluster), "-o", "json")...)
		if err := valid(t, filepath.Join(docs, name+".schema.json"), got.out); err != nil {
			t.Errorf("%s: %v\n%s", line, err, got.out)
		}
		if err := valid(t, filepath.Join(docs, name+".schema.json"), strings.Replace(got.out, "outrider.dev/v1", "outrider.dev/v0", 1)); err == nil {
			t.Errorf("%s: another version is valid, too", line)
		}
		text := runWith(t, badEntry, append(strings.Fields(line+cluster), "-o", "yaml")...)
		converted, err := yaml.YAMLToJSON([]byte(text.out))
		if err == nil {
			err = valid(t, filepath.Join(docs, name+".schema.json"), string(converted))
		}
		if err != nil || !strings.Contains(text.out, "apiVersion: outrider.dev/v1\n") {
			t.Errorf("%s -o yaml: %v: %+v", line, err, text)
		}
	}
}
