package lifecycle

import (
	"slices"
	"testing"
)

func TestPlanUninstall(t *testing.T) {
	ours := map[string]string{"app.kubernetes.io/managed-by": "outrider", "istio.io/rev": "default"}
	canary := map[string]string{"app.kubernetes.io/managed-by": "outrider", "istio.io/rev": "canary"}
	injector := map[string]string{"app": "sidecar-injector", "istio.io/rev": "default"}
	found := Found{
		Objects: []Object{
			{Kind: CRDs, Name: "serviceentries.networking.istio.io", Created: true},
			{Kind: CRDs, Name: "virtualservices.networking.istio.io", Created: true},
			{Kind: ConfigMaps, Namespace: "shop", Name: "outrider-ca", Labels: ours},
			{Kind: ConfigMaps, Namespace: "users", Name: "outrider-ca"},
			{Kind: ConfigMaps, Namespace: "shop", Name: "outrider-ca-canary", Labels: canary},
			{Kind: Leases, Namespace: "istio-system", Name: "outrider-replica-a", Labels: ours},
			{Kind: Leases, Namespace: "istio-system", Name: "outrider-replica-b", Labels: canary},
			{Kind: Leases, Namespace: "istio-system", Name: "outrider-leader"},
			{Kind: Leases, Namespace: "istio-system", Name: "outrider-leader-canary"},
			{Kind: Leases, Namespace: "istio-system", Name: "somebody"},
			{Kind: Secrets, Namespace: "istio-system", Name: "outrider-certs", Labels: ours},
			{Kind: Secrets, Namespace: "istio-system", Name: "outrider-ca-key", Labels: ours},
			{Kind: Deployments, Namespace: "istio-system", Name: "outrider"},
			{Kind: Deployments, Namespace: "istio-system", Name: "istiod"},
			{Kind: Namespaces, Name: "outrider-verify", Labels: map[string]string{"app": "outrider-verify"}},
			{Kind: Validating, Name: "outrider-sidecar-injector", Labels: injector},
			{Kind: Mutating, Name: "outrider-sidecar-injector", Labels: injector},
			{Kind: Mutating, Name: "istio-revision-tag-prod", Labels: injector, Service: "istio-system/outrider"},
			{Kind: Mutating, Name: "istio-revision-tag-old", Labels: injector, Service: "istio-system/istiod"},
		},
		InUse: map[string]bool{"virtualservices.networking.istio.io": true},
	}
	plan := PlanUninstall(Installation{Namespace: "istio-system"}, found)
	want := []string{
		"mutatingwebhookconfigurations istio-revision-tag-prod",
		"mutatingwebhookconfigurations outrider-sidecar-injector",
		"validatingwebhookconfigurations outrider-sidecar-injector",
		"deployments istio-system/outrider",
		"secrets istio-system/outrider-ca-key",
		"secrets istio-system/outrider-certs",
		"leases istio-system/outrider-leader",
		"leases istio-system/outrider-replica-a",
		"configmaps shop/outrider-ca",
		"namespaces outrider-verify",
	}
	if got := texts(plan.Remove); !slices.Equal(got, want) {
		t.Errorf("removes\n%q, want\n%q", got, want)
	}
	if !slices.Equal(plan.Injected, []string{"shop"}) {
		t.Errorf("injected: %q", plan.Injected)
	}
	// The configuration of a tag of Istio's may need both definitions.
	if len(plan.Kept) != 2 || plan.Kept[0].Reason == plan.Kept[1].Reason {
		t.Errorf("kept: %+v", plan.Kept)
	}

	found.Objects = found.Objects[:2]
	plan = PlanUninstall(Installation{Namespace: "istio-system"}, found)
	if got := texts(plan.Remove); !slices.Equal(got, []string{"customresourcedefinitions serviceentries.networking.istio.io"}) {
		t.Errorf("removes %q", got)
	}
	found.Objects[0].Created = false
	if plan = PlanUninstall(Installation{Namespace: "istio-system"}, found); len(plan.Remove) > 0 || plan.Kept[0].Reason != "Outrider did not create it" {
		t.Errorf("a definition of Istio's: %+v", plan)
	}

	part := []Object{
		{Kind: ClusterRoles, Name: "outrider-ranges", Labels: map[string]string{PartOf: "outrider"}},
		{Kind: ClusterRoles, Name: "outrider-ranges-canary", Labels: map[string]string{PartOf: "outrider-canary"}},
		{Kind: "services", Namespace: "istio-system", Name: "istiod"},
	}
	for purge, want := range map[bool][]string{false: nil, true: {"clusterroles outrider-ranges"}} {
		if got := texts(PlanUninstall(Installation{Namespace: "istio-system"}, Found{Objects: part, Purge: purge}).Remove); !slices.Equal(got, want) {
			t.Errorf("with purge %v it removes %q", purge, got)
		}
	}

	plan = PlanUninstall(Installation{Namespace: "istio-system", Revision: "canary"}, Found{Objects: []Object{
		{Kind: Mutating, Name: "outrider-sidecar-injector", Labels: injector},
		{Kind: Secrets, Namespace: "istio-system", Name: "outrider-certs", Labels: ours},
		{Kind: Secrets, Namespace: "istio-system", Name: "outrider-certs-canary", Labels: canary},
		{Kind: Deployments, Namespace: "istio-system", Name: "outrider-xds-canary"},
	}})
	if got := texts(plan.Remove); !slices.Equal(got, []string{"deployments istio-system/outrider-xds-canary", "secrets istio-system/outrider-certs-canary"}) {
		t.Errorf("a revision removes %q", got)
	}
}

func texts(objects []Object) (list []string) {
	for _, o := range objects {
		list = append(list, o.String())
	}
	return list
}
