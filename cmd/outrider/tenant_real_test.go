package main

import (
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/outrider-mesh/outrider/test/kit"
	"github.com/outrider-mesh/outrider/test/kube"
)

// tenantKubeconfig is a kubeconfig like writeKubeconfig's, of user tenant, who has only what
// grant grants.
func tenantKubeconfig(t *testing.T, server *kube.Server) string {
	t.Helper()
	path := writeKubeconfig(t, server)
	config, err := clientcmd.LoadFromFile(path)
	kit.Must(t, err)
	config.AuthInfos["there"].Impersonate = "tenant"
	kit.Must(t, clientcmd.WriteToFile(*config, path))
	return path
}

// grant permits user tenant verbs on resources of the core group in a namespace, once for
// each namespace.
func grant(t *testing.T, server *kube.Server, namespace string, resources []string, verbs ...string) {
	t.Helper()
	_, err := server.Client.RbacV1().Roles(namespace).Create(t.Context(), &rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Name: "reader"},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: resources, Verbs: verbs}},
	}, metav1.CreateOptions{})
	kit.Must(t, err)
	_, err = server.Client.RbacV1().RoleBindings(namespace).Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "reader"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "reader"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "tenant"}},
	}, metav1.CreateOptions{})
	kit.Must(t, err)
}
