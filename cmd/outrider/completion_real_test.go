package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/ranges"
	"github.com/outrider-mesh/outrider/test/kit"
	"github.com/outrider-mesh/outrider/test/kube"
)

// completed are the names that a completion prints, and its directive.
func completed(t *testing.T, args ...string) (names []string, directive string) {
	t.Helper()
	got := runWith(t, "", append([]string{"__complete"}, args...)...)
	lines := strings.Split(strings.TrimSpace(got.out), "\n")
	if got.code != exitOK || len(lines) == 0 {
		t.Fatalf("%q: %+v", args, got)
	}
	return lines[:len(lines)-1], lines[len(lines)-1]
}

// cobra's directives.
const (
	noFiles, noFilesNoSpace, files = ":4", ":6", ":0"
)

// newDeployment makes a Deployment in a namespace of the API server.
func newDeployment(t *testing.T, server *kube.Server, namespace, name string, annotations map[string]string) {
	t.Helper()
	labels := map[string]string{"app": name}
	_, err := server.Client.AppsV1().Deployments(namespace).Create(t.Context(), &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels, Annotations: annotations},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "app"}}},
			},
		},
	}, metav1.CreateOptions{})
	kit.Must(t, err)
}

// storeHistory stores a configuration and the ranges of the cluster as the webhook does.
func storeHistory(t *testing.T, server *kube.Server, installation, hash string) {
	t.Helper()
	record, err := config.NewRecord(hash, time.Now(), "v1", config.LocationOf(installation, ""), config.Texts{})
	kit.Must(t, err)
	documents, err := ranges.Read([]ranges.Document{{Name: "kubeadm", Text: "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\nnetworking: {podSubnet: 10.100.0.0/14, serviceSubnet: 10.200.0.0/16}\n"}})
	kit.Must(t, err)
	record.Ranges, err = json.Marshal(map[string]any{"ranges": json.RawMessage(documents.NamedRanges(ranges.Options{}).Stored())})
	kit.Must(t, err)
	data, stored, err := config.History{record}.Data()
	kit.Must(t, err)
	_, err = server.Client.CoreV1().ConfigMaps(installation).Create(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "outrider-last-good"}, Data: data, BinaryData: stored,
	}, metav1.CreateOptions{})
	kit.Must(t, err)
}

// register creates a webhook configuration, until the end of the test.
func register(t *testing.T, server *kube.Server, c *admissionregistrationv1.MutatingWebhookConfiguration) {
	t.Helper()
	client := server.Client.AdmissionregistrationV1().MutatingWebhookConfigurations()
	_, err := client.Create(t.Context(), c, metav1.CreateOptions{})
	kit.Must(t, err)
	t.Cleanup(func() { kit.Must(t, client.Delete(context.Background(), c.Name, metav1.DeleteOptions{})) })
}

// TestCompletion: names of a real API server complete arguments and flags.
func TestCompletion(t *testing.T) {
	server := kube.Require(t)
	installation, namespace := server.Namespace(t, nil), server.Namespace(t, nil)
	createPods(t, server, installation, namespace, 3, 1)
	newDeployment(t, server, namespace, "shop-front", nil)
	configMap(t, server, installation, "own-injector", map[string]string{"config": ""})
	storeHistory(t, server, installation, "0f4a3c2b1d5e6f70")
	webhook := &admissionregistrationv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{
		Name: "outrider-sidecar-injector-canary", Labels: map[string]string{"app": "sidecar-injector", "istio.io/rev": "canary"},
	}}
	istio := &admissionregistrationv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{
		Name: "istio-sidecar-injector-other", Labels: map[string]string{"app": "sidecar-injector", "istio.io/rev": "other"},
	}}
	register(t, server, webhook)
	register(t, server, istio)
	where := strings.NewReplacer(
		"AT", "--kubeconfig "+writeKubeconfig(t, server)+" --context there", "IN", "-i "+installation,
		"SHOP", namespace, "SHO", namespace[:len(namespace)-1],
	)
	for _, tt := range []struct {
		args, want, directive string
	}{
		{"explain AT -n SHOP web-1", "web-1-5c4-", noFiles},
		{"explain AT -n SHOP dae", "daemonset/", noFilesNoSpace},
		{"explain AT -n SHOP deploy/sh", "deploy/shop-front", noFiles},
		{"explain AT -n SHOP service/sh", "", noFiles},
		{"explain AT -n SHOP web-1 ", "", noFiles},
		{"explain AT -n SHO", namespace, noFiles},
		{"explain AT --protocol tl", "tls", noFiles},
		{"status AT --namespace=SHO", namespace, noFiles},
		{"status AT -r ca", "canary", noFiles},
		{"status AT -r ot", "", noFiles}, // of Istio
		{"status AT --context ", "there", noFiles},
		{"status AT --user ", "there", noFiles},
		{"status AT --cluster t", "there", noFiles},
		{"status AT --cluster x", "", noFiles},
		{"status AT -o w", "wide", noFiles},
		{"status AT -l a", "", noFiles},
		{"status AT ", "", noFiles},
		{"check AT -n SHOP --proxy web-2", "web-2-5c4-", noFiles},
		{"kube-inject AT IN --injectConfigMapName own", "own-injector", noFiles},
		{"kube-inject AT -f ", "", files},
		{"kube-inject AT -o ", "", files},
		{"validate ", "", files},
		{"config restore AT IN ", "0f4a3c2b1d5e6f70", noFiles},
		{"ranges AT --platform talo", "talos", noFiles},
	} {
		names, directive := completed(t, strings.Split(where.Replace(tt.args), " ")...)
		if directive != tt.directive || (tt.want == "") != (len(names) == 0) || tt.want != "" && (len(names) != 1 || !strings.HasPrefix(names[0], tt.want)) {
			t.Errorf("%s: %q %s", tt.args, names, directive)
		}
	}
	completesAsPlugin(t, server, namespace)
}

// completesAsPlugin: a real kubectl runs the plugin, and its program for completion.
func completesAsPlugin(t *testing.T, server *kube.Server, namespace string) {
	t.Helper()
	dir := t.TempDir()
	self, err := os.Executable()
	kit.Must(t, err)
	for _, name := range []string{"kubectl-outrider", completionProgram} {
		kit.Must(t, os.Symlink(self, filepath.Join(dir, name)))
	}
	for args, want := range map[string]string{
		"outrider explain --help":                                "kubectl outrider explain (POD",
		"__complete outrider expl":                               "explain\tExplain why",
		"__complete outrider explain -n " + namespace + " web-0": "\nweb-0-5c4-",
		"__complete outrider status --names":                     "--namespace",
	} {
		cmd := server.Kubectl(t.Context(), strings.Split(args, " ")...)
		cmd.Env = append(cmd.Env, "PATH="+dir+string(os.PathListSeparator)+os.Getenv("PATH"))
		out, err := cmd.Output()
		if err != nil || !strings.Contains("\n"+string(out), want) {
			t.Errorf("kubectl %s: %v: %s", args, err, out)
		}
	}
}

// TestCompletionIsBounded: with more objects than a completion reads, an API server that does
// not respond, and a program for credentials that does not end, a shell gets its prompt back.
func TestCompletionIsBounded(t *testing.T) {
	server := kube.Require(t)
	installation, namespace := server.Namespace(t, nil), server.Namespace(t, nil)
	createPods(t, server, installation, namespace, completionNames+20, 1)
	path, requests := proxied(t, server)
	names, _ := completed(t, "explain", "--kubeconfig", path, "--context", "there", "-n", namespace, "web-")
	if len(names) != completionNames {
		t.Errorf("%d names", len(names))
	}
	all := requests()
	if len(all) != 1 || !strings.Contains(all[0], fmt.Sprintf("limit=%d", completionPage)) {
		t.Errorf("%q", all)
	}
	stalled, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and never responds
	kit.Must(t, err)
	t.Cleanup(func() { _ = stalled.Close() })
	for name, user := range map[string]*api.AuthInfo{
		"the server":  {},
		"credentials": {Exec: &api.ExecConfig{APIVersion: "client.authentication.k8s.io/v1", Command: "sleep", Args: []string{"20"}, InteractiveMode: api.NeverExecInteractiveMode}},
		"no program":  {Exec: &api.ExecConfig{APIVersion: "client.authentication.k8s.io/v1", Command: "/no/such", InteractiveMode: api.NeverExecInteractiveMode}},
	} {
		config := api.NewConfig()
		config.Clusters["there"] = &api.Cluster{Server: "https://" + stalled.Addr().String()}
		config.AuthInfos["there"] = user
		config.Contexts["there"] = &api.Context{Cluster: "there", AuthInfo: "there"}
		path := filepath.Join(t.TempDir(), "kubeconfig")
		kit.Must(t, clientcmd.WriteToFile(*config, path))
		if names, directive := completed(t, "explain", "--kubeconfig", path, "--context", "there", "-n", "shop", "we"); len(names) > 0 || directive != noFiles {
			t.Errorf("%s: %q %s", name, names, directive)
		}
	}
}
