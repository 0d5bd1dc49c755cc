package main

import (
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"

	"github.com/outrider-mesh/outrider/test/kube"
)

// writeKubeconfig writes a kubeconfig with one context, named there, for the real
// API server. It is not the current one.
func writeKubeconfig(t *testing.T, server *kube.Server) string {
	t.Helper()
	c, there := server.Config, "there"
	config := api.NewConfig()
	config.Clusters[there] = &api.Cluster{Server: c.Host, CertificateAuthorityData: c.CAData}
	config.AuthInfos[there] = &api.AuthInfo{ClientCertificateData: c.CertData, ClientKeyData: c.KeyData, Token: c.BearerToken}
	config.Contexts[there] = &api.Context{Cluster: there, AuthInfo: there}
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		t.Fatal(err)
	}
	return path
}

func configMap(t *testing.T, server *kube.Server, namespace, name string, data map[string]string) {
	t.Helper()
	m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: data}
	if _, err := server.Client.CoreV1().ConfigMaps(namespace).Create(t.Context(), m, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// The configuration of a real API server's ConfigMaps is what is injected with.
func TestClusterConfiguration(t *testing.T) {
	server := kube.Require(t)
	namespace := server.Namespace(t, nil)
	configMap(t, server, namespace, "istio-sidecar-injector", map[string]string{
		"config": "neverInjectSelector: [{matchLabels: {app: never}}]\n",
		"values": `{"global": {"proxy": {"excludeIPRanges": "10.9.0.0/16"}}}`,
	})
	configMap(t, server, namespace, "istio-sidecar-injector-canary", map[string]string{"values": `{"revision": "canary", "global": {"proxy": {"excludeIPRanges": "10.10.0.0/16"}}}`})
	configMap(t, server, namespace, "istio-canary", map[string]string{"mesh": "defaultConfig: {concurrency: 7}\n"})
	configMap(t, server, namespace, "bad", map[string]string{"values": "global:\n  proxy:\n    excludeIPRanges: 10.0.0.0/99\n"})
	path := writeKubeconfig(t, server)
	values := write(t, "values.yaml", "global: {proxy: {excludeIPRanges: 10.11.0.0/16}}\n")
	there := []string{"--kubeconfig", path, "--context", "there", "-i", namespace}

	for name, c := range map[string]struct {
		args     []string
		code     int
		out, err string
	}{
		"by context":      {nil, 0, "- 10.9.0.0/16\n", "note: ConfigMap " + namespace + "/istio not found; using built-in defaults"},
		"by name":         {[]string{"--injectConfigMapName", "istio-sidecar-injector", "--meshConfigMapName", "istio-canary"}, 0, `- "7"` + "\n", ""},
		"by revision":     {[]string{"--revision", "canary"}, 0, "- 10.10.0.0/16\n", ""},
		"a file is first": {[]string{"--valuesFile", values}, 0, "- 10.11.0.0/16\n", ""},
		"none of a name":  {[]string{"--injectConfigMapName", "nope"}, 1, "", "get ConfigMap " + namespace + "/nope: not found"},
		"no mesh of name": {[]string{"--meshConfigMapName", "nope"}, 1, "", "get ConfigMap " + namespace + "/nope: not found"},
		"a bad one":       {[]string{"--injectConfigMapName", "bad"}, 1, "", "ConfigMap " + namespace + `/bad, key "values":3:`},
		"another context": {[]string{"--context", "elsewhere"}, 1, "", `context "elsewhere" does not exist (see --kubeconfig, --context)`},
		"another version": {[]string{"--kubernetes-version", "1.28"}, 0, "  - args:\n", ""},
	} {
		got := runWith(t, deployment("a: b"), append(append([]string{"kube-inject", "-f", "-"}, there...), c.args...)...)
		if got.code != c.code || !strings.Contains(got.out, c.out) || !strings.Contains(got.err, c.err) || c.code != 0 && got.out != "" {
			t.Errorf("%s: code %d, stderr %s", name, got.code, got.err)
		}
		if native := strings.Contains(got.out, "restartPolicy: Always"); c.code == 0 && native == (name == "another version") {
			t.Errorf("%s: native sidecar: %v", name, native)
		}
	}
	never := strings.Replace(deployment("a: b"), "        app: sleep\n", "        app: never\n", 1)
	if got := runWith(t, never, append([]string{"kube-inject", "-f", "-"}, there...)...); got.out != never || !strings.Contains(got.err, "skipped: ") {
		t.Errorf("a selector of the cluster's: %+v", got)
	}
}

// A cluster that does not answer is named within the time of a request.
func TestClusterUnavailable(t *testing.T) {
	config := api.NewConfig()
	config.Clusters["unavailable"] = &api.Cluster{Server: "https://127.0.0.1:1"}
	config.Contexts["unavailable"] = &api.Context{Cluster: "unavailable"}
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		t.Fatal(err)
	}
	got := runWith(t, service, "kube-inject", "-f", "-", "--context", "unavailable", "--kubeconfig", path)
	if got.code != 1 || got.out != "" || !strings.Contains(got.err, "get ConfigMap istio-system/istio-sidecar-injector: ") || !strings.Contains(got.err, "127.0.0.1:1") {
		t.Errorf("%+v", got)
	}
}
