package deploy

import (
	"maps"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// right is one verb of one resource, or path, that an account has. name is empty where
// the rule has none.
type right struct{ account, verb, resource, namespace, name string }

func (r right) String() string {
	return strings.TrimSpace(r.account + " " + r.verb + " " + r.resource + " " + strings.TrimPrefix(r.namespace+"/"+r.name, "/"))
}

// covers reports whether the right allows the request.
func (r right) covers(q right) bool {
	return r.account == q.account && r.verb == q.verb && r.resource == q.resource &&
		(r.namespace == "" || r.namespace == q.namespace) && (r.name == "" || r.name == q.name)
}

// rightsTag is a revision tag, for which the webhook has rights, too.
const rightsTag = "rights"

// installed are the objects of a release with a revision tag and of its hooks.
func installed(t testing.TB) []string {
	t.Helper()
	return strings.Split(helm(t, "template", "outrider", "chart", "--namespace="+namespace, "--set=revisionTags={"+rightsTag+"}"), "\n---\n")
}

// parsed are the objects of a kind.
func parsed[T any](t testing.TB, texts []string, kind string) (out []T) {
	t.Helper()
	for _, text := range texts {
		var meta metav1.TypeMeta
		var object T
		if err := yaml.Unmarshal([]byte(text), &meta); err != nil {
			t.Fatal(err)
		}
		if meta.Kind != kind {
			continue
		}
		if err := yaml.UnmarshalStrict([]byte(text), &object); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		out = append(out, object)
	}
	return out
}

// granted are the rights in the manifests, once for each account that has them.
func granted(t testing.TB, texts []string) map[right]bool {
	t.Helper()
	accounts := map[string][]string{} // by role
	bound := func(role string, subjects []rbacv1.Subject) {
		for _, s := range subjects {
			accounts[role] = append(accounts[role], s.Name)
		}
	}
	for _, b := range parsed[rbacv1.ClusterRoleBinding](t, texts, "ClusterRoleBinding") {
		bound("ClusterRole"+b.RoleRef.Name, b.Subjects)
	}
	for _, b := range parsed[rbacv1.RoleBinding](t, texts, "RoleBinding") {
		bound("Role"+b.Namespace+b.RoleRef.Name, b.Subjects)
	}
	out := map[right]bool{}
	for _, r := range parsed[rbacv1.ClusterRole](t, texts, "ClusterRole") {
		rightsOf(accounts["ClusterRole"+r.Name], "", r.Rules, out)
	}
	for _, r := range parsed[rbacv1.Role](t, texts, "Role") {
		rightsOf(accounts["Role"+r.Namespace+r.Name], r.Namespace, r.Rules, out)
	}
	return out
}

func rightsOf(accounts []string, namespace string, rules []rbacv1.PolicyRule, out map[right]bool) {
	for _, rule := range rules {
		names := rule.ResourceNames
		if len(names) == 0 {
			names = []string{""}
		}
		resources := slices.Clone(rule.NonResourceURLs)
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				resources = append(resources, qualified(resource, group))
			}
		}
		for _, account := range accounts {
			for _, verb := range rule.Verbs {
				for _, resource := range resources {
					for _, name := range names {
						out[right{account, verb, resource, namespace, name}] = true
					}
				}
			}
		}
	}
}

// qualified is "RESOURCE.GROUP/SUBRESOURCE".
func qualified(resource, group string) string {
	resource, sub, _ := strings.Cut(resource, "/")
	if group != "" {
		resource += "." + group
	}
	if sub != "" {
		resource += "/" + sub
	}
	return resource
}

// unused are the rights that no request needed, in order.
func unused(rights, requests map[right]bool) (out []string) {
	for r := range rights {
		if !used(r, requests) {
			out = append(out, r.String())
		}
	}
	slices.Sort(out)
	return out
}

// used reports whether a request needed the right. A client that watches gets the list
// by the watch where the API server streams it, and lists where it does not: before
// Kubernetes 1.34, and as a fallback.
func used(r right, requests map[right]bool) bool {
	all := slices.Collect(maps.Keys(requests))
	if slices.ContainsFunc(all, r.covers) {
		return true
	}
	watch := r
	watch.verb = "watch"
	return r.verb == "list" && slices.ContainsFunc(all, watch.covers)
}

// Rights that are granted are found, and so is one that no request needs.
func TestRights(t *testing.T) {
	rights := granted(t, installed(t))
	for _, want := range []right{
		{"outrider", "patch", "mutatingwebhookconfigurations.admissionregistration.k8s.io", "", configurationName},
		{"outrider", "patch", "mutatingwebhookconfigurations.admissionregistration.k8s.io", "", "istio-revision-tag-" + rightsTag},
		{"outrider-xds", "patch", "serviceentries.networking.istio.io/status", "", ""},
		{"outrider-xds", "get", "/openid/v1/jwks", "", ""},
		{"outrider-xds", "get", "configmaps", "kube-system", "kubeadm-config"},
		{"outrider-verify", "create", "pods", "outrider-verify", ""},
		{"outrider-uninstall", "delete", "leases.coordination.k8s.io", namespace, ""},
	} {
		if !rights[want] {
			t.Errorf("not granted: %s", want)
		}
	}
	r := right{"outrider", "get", "secrets", namespace, "outrider-certs"}
	for q, want := range map[right]bool{
		r: true, {"outrider", "get", "secrets", namespace, "other"}: false, {"outrider", "get", "secrets", "default", "outrider-certs"}: false,
		{"outrider", "list", "secrets", namespace, "outrider-certs"}: false, {"outrider-xds", "get", "secrets", namespace, "outrider-certs"}: false,
		{"outrider", "get", "secrets/status", namespace, "outrider-certs"}: false,
	} {
		if got := r.covers(q); got != want {
			t.Errorf("%s covers %s: %v", r, q, got)
		}
	}
	list, watch := right{"outrider", "list", "pods", "", ""}, right{"outrider", "watch", "pods", "", ""}
	for _, tt := range []struct {
		requests map[right]bool
		want     string
	}{
		{map[right]bool{watch: true, r: true}, ""},
		{map[right]bool{list: true, r: true}, watch.String()},
		{map[right]bool{watch: true}, r.String()},
		{nil, r.String() + "\n" + list.String() + "\n" + watch.String()},
	} {
		if got := strings.Join(unused(map[right]bool{list: true, watch: true, r: true}, tt.requests), "\n"); got != tt.want {
			t.Errorf("with %v these are unused:\n%s\nwant\n%s", tt.requests, got, tt.want)
		}
	}
}
