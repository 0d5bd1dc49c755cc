package serve

import (
	"context"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// What makes a cluster OpenShift to us: it serves the group.
const securityGroup = `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: securitycontextconstraints.security.openshift.io
  annotations:
    api-approved.kubernetes.io: unapproved, for a test
spec:
  group: security.openshift.io
  scope: Cluster
  names: {kind: SecurityContextConstraints, plural: securitycontextconstraints}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
`

func TestOpenShiftRangesComeFromTheNamespace(t *testing.T) {
	i := startInstance(t, "").ready() // an instance of before, to ask by
	kubectl := func(ctx context.Context, stdin string, args ...string) {
		t.Helper()
		cmd := i.Kubectl(ctx, args...)
		cmd.Stdin = strings.NewReader(stdin)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("kubectl %v: %v\n%s", args, err, out)
		}
	}
	kubectl(t.Context(), securityGroup, "apply", "-f", "-")
	t.Cleanup(func() { kubectl(context.Background(), securityGroup, "delete", "--wait=false", "-f", "-") })
	i.eventually("the group is served", func() string {
		groups, err := i.Client.Discovery().ServerGroups()
		i.must(err)
		for _, g := range groups.Groups {
			if g.Name == openShiftGroup {
				return ""
			}
		}
		return "not among the groups"
	})

	shift := startInstance(t, "").ready()
	ns := shift.workspace()
	kubectl(t.Context(), "", "annotate", "namespace", ns,
		"openshift.io/sa.scc.uid-range=1000700000/10000", "openshift.io/sa.scc.supplemental-groups=1000700000/10000")
	shift.eventually("the sidecar's uid is one of the namespace's", func() string {
		pod, err := shift.create(ns, sleepPod("probe"), metav1.DryRunAll)
		if err != nil {
			return err.Error()
		}
		if uid := sidecarUID(pod); uid < 1000700000 || uid >= 1000710000 {
			return "another uid"
		}
		return ""
	})
	pod, err := i.create(i.workspace(), sleepPod("plain"))
	i.must(err)
	if uid := sidecarUID(pod); uid != 1337 {
		t.Errorf("elsewhere the sidecar's uid is %d, want 1337", uid)
	}
}

func sidecarUID(p *corev1.Pod) int64 {
	for _, c := range append(append([]corev1.Container{}, p.Spec.InitContainers...), p.Spec.Containers...) {
		if c.Name == "istio-proxy" && c.SecurityContext != nil && c.SecurityContext.RunAsUser != nil {
			return *c.SecurityContext.RunAsUser
		}
	}
	return -1
}
