package deploy

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/outrider-mesh/outrider/test/kube"
)

// attack is what a stolen service account tries: kubectl with arguments, and an
// object on its standard input.
type attack struct {
	name, account string
	args          string
	object        string
}

const (
	bothAccounts = "outrider outrider-xds"
	created      = "create -f -"
)

// attacks are writes of objects that are not the product's.
func attacks(ns string) []attack {
	meta := func(kind, group, name, namespace string) string {
		return fmt.Sprintf("{apiVersion: %s, kind: %s, metadata: {name: %s, namespace: %q}", group, kind, name, namespace)
	}
	lease := func(name, namespace string) string {
		return meta("Lease", "coordination.k8s.io/v1", name, namespace) + ", spec: {holderIdentity: me, leaseDurationSeconds: 3600}}"
	}
	crd := func(plural, group, more string) string {
		return "{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: " + plural + "." + group + "}, spec: {group: " + group +
			", scope: Namespaced, names: {kind: Any, plural: " + plural + "}, versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]" + more + "}}"
	}
	event := func(namespace, controller, kind string) string {
		return meta("Event", "events.k8s.io/v1", "a", namespace) + ", eventTime: '2026-01-01T00:00:00.000000Z', type: Normal, reason: A, action: A, reportingController: " + controller +
			", reportingInstance: a, regarding: {kind: " + kind + ", name: a, namespace: " + namespace + "}}"
	}
	hook := func(operations string) string {
		return "patch mutatingwebhookconfiguration " + configurationName + " --type=json -p [" + operations + "]"
	}
	replace := func(path, value string) string {
		return hook(`{"op":"replace","path":"` + path + `","value":` + value + `}`)
	}
	return []attack{
		{"ConfigMap of the EKS authenticator", bothAccounts, created, meta("ConfigMap", "v1", "aws-auth", "kube-system") + ", data: {mapUsers: all}}"},
		{"the ConfigMap's name with other keys", bothAccounts, created, meta("ConfigMap", "v1", "outrider-ca", "kube-system") + ", data: {a: b}}"},
		{"a ConfigMap with a finalizer", bothAccounts, created, "{apiVersion: v1, kind: ConfigMap, metadata: {name: outrider-ca, namespace: " + ns + ", finalizers: [a/b]}, data: {ca.pem: a}}"},
		{"a generated name", bothAccounts, created, "{apiVersion: v1, kind: ConfigMap, metadata: {generateName: outrider-ca, namespace: " + ns + "}, data: {ca.pem: a}}"},
		{"the configuration", bothAccounts, "patch -n " + namespace + " configmap istio --type=merge -p {\"data\":{\"mesh\":\"\"}}", ""},
		{"last good configurations of the other component", "outrider", "patch -n " + namespace + " configmap outrider-xds-last-good --type=merge -p {\"data\":{\"history\":\"\"}}", ""},
		{"last good configurations of the other component", "outrider-xds", "patch -n " + namespace + " configmap outrider-last-good --type=merge -p {\"data\":{\"history\":\"\"}}", ""},
		{"last good configurations elsewhere", bothAccounts, created, meta("ConfigMap", "v1", "outrider-last-good", ns) + ", data: {history: a}}"},
		{"no last good configurations", bothAccounts, "delete -n " + namespace + " configmap outrider-last-good outrider-xds-last-good", ""},
		{"last good configurations for ever", "outrider", "patch -n " + namespace + " configmap outrider-last-good --type=merge -p {\"immutable\":true}", ""},
		{"another key beside them", "outrider-xds", "patch -n " + namespace + " configmap outrider-xds-last-good --type=merge -p {\"data\":{\"mesh\":\"\"}}", ""},
		{"a ConfigMap of another owner", bothAccounts, "delete -n " + ns + " configmap outrider-ca", ""},
		{"Secret of another name", bothAccounts, created, meta("Secret", "v1", "other", namespace) + "}"},
		{"Secret in another namespace", bothAccounts, created, meta("Secret", "v1", "outrider-certs", "kube-system") + ", type: kubernetes.io/tls, data: {tls.crt: '', tls.key: ''}}"},
		{"Secret with the token of another account", bothAccounts, created, "{apiVersion: v1, kind: Secret, type: kubernetes.io/service-account-token, metadata: {name: outrider-certs, namespace: " + namespace + ", annotations: {kubernetes.io/service-account.name: default}}}"},
		{"Secret of the CA key with the token of another account", bothAccounts, created, "{apiVersion: v1, kind: Secret, type: kubernetes.io/service-account-token, metadata: {name: outrider-ca-key, namespace: " + namespace + ", annotations: {kubernetes.io/service-account.name: default}}}"},
		{"Secret of the CA key of another type", bothAccounts, created, meta("Secret", "v1", "outrider-ca-key", namespace) + ", type: kubernetes.io/basic-auth, data: {username: ''}}"},
		{"Secret of the CA key in another namespace", bothAccounts, created, meta("Secret", "v1", "outrider-ca-key", "kube-system") + "}"},
		{"Lease of the scheduler", bothAccounts, created, lease("other-scheduler", "kube-system")},
		{"Lease of a node", bothAccounts, created, lease("node", "kube-node-lease")},
		{"another Lease in its namespace", bothAccounts, created, lease("istio-leader", namespace)},
		{"Lease of the other component", "outrider", created, lease("outrider-status", namespace)},
		{"Lease of the other component", "outrider-xds", created, lease("outrider-leader", namespace)},
		{"any CRD", bothAccounts, created, crd("anys", "example.com", "")},
		{"a CRD with a conversion webhook", bothAccounts, created, crd("serviceentries", "networking.istio.io", ", conversion: {strategy: Webhook, webhook: {conversionReviewVersions: [v1], clientConfig: {url: 'https://example.com/'}}}")},
		{"a report of another name", "outrider-xds", created, meta("EgressReport", "outrider.dev/v1alpha1", "mine", ns) + "}"},
		{"a report", "outrider", created, meta("EgressReport", "outrider.dev/v1alpha1", "egress", ns) + "}"},
		{"RoleBinding", bothAccounts, created, meta("RoleBinding", "rbac.authorization.k8s.io/v1", "a", "kube-system") + ", roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}, subjects: [{kind: ServiceAccount, name: outrider, namespace: istio-system}]}"},
		{"ClusterRoleBinding", bothAccounts, "create clusterrolebinding mine --clusterrole=view --serviceaccount=istio-system:outrider", ""},
		{"a token of another account", bothAccounts, "create token -n istio-system outrider", ""},
		{"a namespace's labels", bothAccounts, "label namespace " + ns + " pod-security.kubernetes.io/enforce=privileged", ""},
		{"a pod", bothAccounts, created, meta("Pod", "v1", "a", ns) + ", spec: {containers: [{name: a, image: a}]}}"},
		{"the Deployment itself", bothAccounts, "set image -n " + namespace + " deployment/outrider outrider=evil", ""},
		{"another webhook configuration", bothAccounts, created, "{apiVersion: admissionregistration.k8s.io/v1, kind: MutatingWebhookConfiguration, metadata: {name: mine}, webhooks: []}"},
		{"the webhook at another URL", bothAccounts, replace("/webhooks/0/clientConfig", `{"url":"https://example.com/"}`), ""},
		{"the webhook at another Service", bothAccounts, replace("/webhooks/0/clientConfig/service/name", `"other"`), ""},
		{"the webhook at another path", bothAccounts, replace("/webhooks/0/clientConfig/service/path", `"/"`), ""},
		{"the webhook for everything", bothAccounts, replace("/webhooks/0/rules", `[{"operations":["*"],"apiGroups":["*"],"apiVersions":["*"],"resources":["*/*"]}]`), ""},
		{"the webhook for more operations", bothAccounts, replace("/webhooks/0/rules/0/operations", `["*"]`), ""},
		{"the webhook for all namespaces", bothAccounts, replace("/webhooks/0/namespaceSelector", `{}`), ""},
		{"the webhook for all pods", bothAccounts, replace("/webhooks/1/objectSelector", `{}`), ""},
		{"the webhook that fails open", bothAccounts, replace("/webhooks/0/failurePolicy", `"Ignore"`), ""},
		{"the webhook that never matches", bothAccounts, hook(`{"op":"add","path":"/webhooks/0/matchConditions","value":[{"name":"a","expression":"false"}]}`), ""},
		{"a webhook less", bothAccounts, hook(`{"op":"remove","path":"/webhooks/0"}`), ""},
		{"a webhook more", bothAccounts, hook(`{"op":"copy","from":"/webhooks/0","path":"/webhooks/0"},{"op":"replace","path":"/webhooks/0/name","value":"a.b.c"}`), ""},
		{"a webhook of another name", bothAccounts, replace("/webhooks/0/name", `"a.b.c"`), ""},
		{"webhooks in another order", bothAccounts, hook(`{"op":"move","from":"/webhooks/0","path":"/webhooks/1"}`), ""},
		{"the labels of the webhook configuration", bothAccounts, "label mutatingwebhookconfiguration " + configurationName + " a=b", ""},
		{"an owner of the webhook configuration", bothAccounts, hook(`{"op":"add","path":"/metadata/ownerReferences","value":[{"apiVersion":"v1","kind":"Namespace","name":"a","uid":"a"}]}`), ""},
		{"the validating webhook", bothAccounts, "patch validatingwebhookconfiguration " + configurationName + ` --type=json -p [{"op":"remove","path":"/webhooks/0/namespaceSelector"}]`, ""},
		{"no webhook configuration", bothAccounts, "delete mutatingwebhookconfiguration " + configurationName, ""},
		{"no policy", bothAccounts, "patch clusterrole outrider --type=json -p [{\"op\":\"remove\",\"path\":\"/rules/0\"}]", ""},
		{"status of a namespace", bothAccounts, "patch namespace " + ns + " --subresource=status --type=merge -p {\"status\":{\"conditions\":[{\"type\":\"a\",\"status\":\"True\"}]}}", ""},
		{"another condition", bothAccounts, "patch -n " + ns + ` serviceentry a --subresource=status --type=merge -p {"status":{"conditions":[{"type":"Reconciled","status":"False"}]}}`, ""},
		{"other fields of a status", bothAccounts, "patch -n " + ns + ` serviceentry a --subresource=status --type=merge -p {"status":{"validationMessages":[{"level":"ERROR"}]}}`, ""},
		{"an entry", bothAccounts, "patch -n " + ns + ` serviceentry a --type=merge -p {"spec":{"hosts":["b.example"]}}`, ""},
		{"events of others", bothAccounts, created, event(ns, "kubelet", "Pod")},
		{"events on other objects", bothAccounts, created, event(ns, "outrider", "Secret")},
	}
}

// allowed are writes of each component that the policy must not deny.
func allowed(ns string) []attack {
	event := func(kind, namespace string) string {
		return fmt.Sprintf("{apiVersion: events.k8s.io/v1, kind: Event, metadata: {generateName: a, namespace: %s}, eventTime: '2026-01-01T00:00:00.000000Z', type: Normal, reason: A, action: A, reportingController: outrider, reportingInstance: a, regarding: {kind: %s, name: a, namespace: %s}}", namespace, kind, namespace)
	}
	configMap := func(name string) string {
		return fmt.Sprintf("{apiVersion: v1, kind: ConfigMap, metadata: {name: %s, namespace: %s}, data: {history: ''}, binaryData: {aa: ''}}", name, namespace)
	}
	return []attack{
		{"caBundle", "outrider", "patch mutatingwebhookconfiguration " + configurationName + ` --type=json -p [{"op":"add","path":"/webhooks/0/clientConfig/caBundle","value":"BUNDLE"}]`, ""},
		{"caBundle", "outrider", "patch validatingwebhookconfiguration " + configurationName + ` --type=json -p [{"op":"add","path":"/webhooks/6/clientConfig/caBundle","value":"BUNDLE"},{"op":"add","path":"/webhooks/0/clientConfig/caBundle","value":"BUNDLE"}]`, ""},
		{"last good configurations", "outrider", "replace -f -", configMap("outrider-last-good")},
		{"last good configurations", "outrider-xds", "replace -f -", configMap("outrider-xds-last-good")},
		{"its rights", bothAccounts, "auth can-i --list", ""},
		{"an event on a ConfigMap", bothAccounts, created, event("ConfigMap", namespace)},
		{"the condition", "outrider-xds", "patch -n " + ns + ` serviceentry a --subresource=status --type=merge -p {"status":{"conditions":[{"type":"Theirs","status":"True"},{"type":"Accepted","status":"False"}]}}`, ""},
		{"an event on a pod", "outrider-xds", created, event("Pod", ns)},
		{"an event about blocked hosts", "outrider-xds", created, strings.Replace(event("Deployment", ns), "reason: A", "reason: EgressBlocked", 1)},
	}
}

// run runs the attack as an account.
func (d *deployed) run(a attack, account string) (string, error) {
	args := strings.Fields(strings.ReplaceAll(a.args, "BUNDLE", bundle(d.t)))
	cmd := d.Kubectl(d.t.Context(), append(args, "--as=system:serviceaccount:"+namespace+":"+account)...)
	cmd.Stdin = strings.NewReader(a.object)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// The service accounts write their own objects and nothing else, by their roles and,
// where roles cannot name the object, by the policy; and by the policy alone where
// an administrator's role is bound to them.
func TestServiceAccountsWriteTheirOwnObjects(t *testing.T) {
	d := &deployed{Server: kube.Require(t), t: t}
	kubectl(t, d.Server, "apply", "-f", ".", "-f", "crds")
	ns := d.Namespace(t, nil)
	kubectl(t, d.Server, "create", "configmap", "-n", ns, "outrider-ca", "--from-literal=ca.pem=mine")
	kubectl(t, d.Server, "wait", "--for=condition=Established", "--timeout=30s", "crd/serviceentries.networking.istio.io")
	entry := d.Kubectl(t.Context(), "create", "-f", "-")
	entry.Stdin = strings.NewReader("{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: a, namespace: " + ns + "}, spec: {hosts: [a.example], ports: [{number: 80, name: http}], resolution: DNS}}")
	if out, err := entry.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	kubectl(t, d.Server, "patch", "-n", ns, "serviceentry", "a", "--subresource=status", "--type=merge", "-p", `{"status":{"conditions":[{"type":"Theirs","status":"True"}]}}`)
	d.policyIsActive()
	before := d.state()
	denied := func(admin bool) {
		for _, a := range attacks(ns) {
			for _, account := range strings.Fields(a.account) {
				out, err := d.run(a, account)
				byPolicy := strings.Contains(out, "ValidatingAdmissionPolicy 'outrider' with binding 'outrider' denied request: ")
				byRole := strings.Contains(out, "forbidden: User ")
				if err == nil || !byPolicy && (admin || !byRole) {
					t.Errorf("%s: %s (administrator: %v): %v\n%s", account, a.name, admin, err, out)
				}
			}
		}
	}
	denied(false)
	if after := d.state(); after != before {
		t.Errorf("the webhook configurations were changed:\n%s\n%s", before, after)
	}
	kubectl(t, d.Server, "create", "clusterrolebinding", "stolen", "--clusterrole=cluster-admin",
		"--serviceaccount="+namespace+":outrider", "--serviceaccount="+namespace+":outrider-xds")
	t.Cleanup(func() { _ = d.Kubectl(context.Background(), "delete", "clusterrolebinding", "stolen").Run() })
	for _, a := range allowed(ns) {
		for _, account := range strings.Fields(a.account) {
			if out, err := d.run(a, account); err != nil {
				t.Errorf("%s: %s: %v\n%s", account, a.name, err, out)
			}
		}
	}
	before = d.state()
	denied(true)
	if after := d.state(); after != before {
		t.Errorf("the webhook configurations were changed:\n%s\n%s", before, after)
	}
	// Nobody else is affected: an administrator edits all of it.
	kubectl(t, d.Server, "label", "mutatingwebhookconfiguration", configurationName, "a=b")
	kubectl(t, d.Server, "label", "mutatingwebhookconfiguration", configurationName, "a-")
	kubectl(t, d.Server, "label", "validatingadmissionpolicy", "outrider", "a=b")
	kubectl(t, d.Server, "label", "validatingadmissionpolicy", "outrider", "a-")
}

// state is the two webhook configurations without what an update changes anyway.
func (d *deployed) state() string {
	d.t.Helper()
	var list struct{ Items []map[string]any }
	out := kubectl(d.t, d.Server, "get", "mutatingwebhookconfiguration/"+configurationName, "validatingwebhookconfiguration/"+configurationName, "-o", "json")
	d.must(json.Unmarshal([]byte(out), &list))
	text := ""
	for _, item := range list.Items {
		webhooks, err := json.Marshal(item["webhooks"])
		d.must(err)
		text += string(webhooks) + "\n"
	}
	return text
}

// policyIsActive waits until the API server evaluates the policy.
func (d *deployed) policyIsActive() {
	d.t.Helper()
	d.eventually("the policy is active", func() error {
		out, err := d.run(attack{args: "create configmap -n default other --dry-run=server"}, "outrider")
		if err == nil || !strings.Contains(out, "ValidatingAdmissionPolicy") {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
}
