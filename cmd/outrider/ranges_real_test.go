package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/outrider-mesh/outrider/test/kube"
)

// TestMain runs the tests, or the program: where its name is that of a kubectl plugin, or a
// test has a process of its own.
func TestMain(m *testing.M) {
	if strings.HasPrefix(filepath.Base(os.Args[0]), "kubectl") || os.Getenv(programEnv) != "" {
		serveProfiles()
		main()
	}
	os.Exit(kube.Main(m))
}

// The ranges of the current cluster, with the permissions of the user.
func TestRanges_Cluster(t *testing.T) {
	server := kube.Require(t)
	node := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "n1", Labels: map[string]string{"kubernetes.azure.com/cluster": "c"}},
		Spec:       corev1.NodeSpec{PodCIDR: "10.244.1.0/24", PodCIDRs: []string{"10.244.1.0/24"}},
	}
	if _, err := server.Client.CoreV1().Nodes().Create(t.Context(), node, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Client.CoreV1().Nodes().Delete(context.Background(), "n1", metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
	t.Setenv("KUBECONFIG", server.Kubeconfig)

	got := runWith(t, "", "ranges")
	for _, want := range []string{
		"Platform: aks",
		"service   10.0.0.0/24     complete     ServiceCIDR (ServiceCIDR/kubernetes: spec.cidrs[0])",
		"pod       10.244.0.0/16   default      Azure Kubernetes Service, default that addresses in use confirm",
		`includeIPRanges: "10.0.0.0/24,10.244.0.0/16"`,
	} {
		if !strings.Contains(got.out, want) || got.code != 0 || got.err != "" {
			t.Errorf("code %d, standard error %q\n%s\nwant %q", got.code, got.err, got.out, want)
		}
	}

	// A provider's document is checked against what is in use.
	document := write(t, "aks.json", `{"networkProfile": {"networkPlugin": "kubenet", "podCidr": "10.244.0.0/15", "serviceCidr": "10.0.0.0/16"}}`)
	a := askRanges(t, 0, "--live", "-f", document)
	if strings.Join(append(a.Service, a.Pod...), " ") != "10.0.0.0/16 10.244.0.0/15" {
		t.Errorf("%+v", a)
	}
	other := write(t, "other.json", `{"networkProfile": {"networkPlugin": "kubenet", "podCidr": "10.42.0.0/16", "serviceCidr": "10.43.0.0/16"}}`)
	a = askRanges(t, 0, "--live", "-f", other)
	if w := strings.Join(a.Warnings, "\n"); !strings.Contains(w, "10.43.0.0/16 ignored: 10.0.0.1 of Service default/kubernetes is outside; the document may be stale or of another cluster") ||
		strings.Join(a.Service, " ") != "10.0.0.0/24" {
		t.Errorf("%+v", a)
	}

	// A user without permissions: no failure, no value, and what to do.
	text, err := os.ReadFile(server.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	nobody := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(nobody, bytes.ReplaceAll(text, []byte("  user:\n"), []byte("  user:\n    as: nobody\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	got = runWith(t, "", "ranges", "--kubeconfig", nobody)
	for _, want := range []string{"includeIPRanges: none", "provide the output of: kubectl get servicecidrs -o yaml", "provide the output of: kubectl -n kube-system get pods"} {
		if !strings.Contains(got.out, want) || got.code != 3 {
			t.Errorf("code %d\n%s\nwant %q", got.code, got.out, want)
		}
	}
	if !strings.Contains(got.err, "not read (forbidden): nodes, pods, pods in kube-system, services,") {
		t.Errorf("standard error %q", got.err)
	}
}
