package lifecycle

import (
	"cmp"
	"slices"
	"strings"
)

// Object is an object of the cluster as an uninstallation considers it.
type Object struct {
	Kind            Kind
	Namespace, Name string
	Labels          map[string]string
	// Created reports that the program created it: it is the manager that applied
	// the fields first. Only CustomResourceDefinitions have it.
	Created bool
	// Service is the Service that a webhook configuration calls, NAMESPACE/NAME.
	Service string
}

// Kind is a resource as kubectl writes it.
type Kind string

// The kinds that an uninstallation removes objects of, in this order. The webhook
// configurations are first: from then on no pod waits for the webhook. The
// Deployments follow, since the program creates the rest again while it runs.
const (
	Mutating    Kind = "mutatingwebhookconfigurations"
	Validating  Kind = "validatingwebhookconfigurations"
	Deployments Kind = "deployments"
	Secrets     Kind = "secrets"
	Leases      Kind = "leases"
	ConfigMaps  Kind = "configmaps"
	CRDs        Kind = "customresourcedefinitions"
	// What a hook of the chart that failed leaves.
	Jobs                Kind = "jobs"
	RoleBindings        Kind = "rolebindings"
	Roles               Kind = "roles"
	ClusterRoleBindings Kind = "clusterrolebindings"
	ClusterRoles        Kind = "clusterroles"
	ServiceAccounts     Kind = "serviceaccounts"
	Namespaces          Kind = "namespaces"
)

// Purged are the kinds of the other objects of a manifest or chart.
var Purged = []Kind{
	"validatingadmissionpolicybindings", "validatingadmissionpolicies", "services", "poddisruptionbudgets", "networkpolicies",
}

var order = slices.Concat([]Kind{
	Mutating, Validating, Deployments, Secrets, Leases, ConfigMaps,
	Jobs, RoleBindings, Roles, ClusterRoleBindings, ClusterRoles, ServiceAccounts, Namespaces, CRDs,
}, Purged)

// Verify is the name of the objects of the chart's hook that verifies an
// installation, and of the namespace of its pod.
const Verify = "outrider-verify"

// String is the object as kubectl writes it: "secrets istio-system/outrider-certs".
func (o Object) String() string {
	if o.Namespace == "" {
		return string(o.Kind) + " " + o.Name
	}
	return string(o.Kind) + " " + o.Namespace + "/" + o.Name
}

// Found is what an uninstallation finds.
type Found struct {
	Objects []Object
	// InUse are the CustomResourceDefinitions that have objects, by name.
	InUse map[string]bool
	// Purge removes what a manifest or chart created, too: all that has PartOf.
	Purge bool
}

// PartOf is the label of the objects of a manifest or chart, with the name of Deployment.
const PartOf = "app.kubernetes.io/part-of"

// Plan is what an uninstallation does.
type Plan struct {
	// Remove are the objects to delete, in order.
	Remove []Object
	// Kept are the CustomResourceDefinitions that stay, with the reason.
	Kept []Kept
	// Injected are the namespaces whose pods may still have a sidecar.
	Injected []string
}

// Kept is an object that stays.
type Kept struct {
	Object
	Reason string
}

// PlanUninstall selects what is this installation's.
func PlanUninstall(i Installation, f Found) Plan {
	var p Plan
	for _, o := range f.Objects {
		if o.Kind == CRDs {
			if reason := i.keep(o, f); reason != "" {
				p.Kept = append(p.Kept, Kept{o, reason})
				continue
			}
		} else if !i.removes(o) && (!f.Purge || o.Labels[PartOf] != i.Name(Deployment)) {
			continue
		}
		p.Remove = append(p.Remove, o)
		if o.Kind == ConfigMaps && o.Name == i.Name(CABundle) {
			p.Injected = append(p.Injected, o.Namespace)
		}
	}
	slices.SortFunc(p.Remove, func(a, b Object) int {
		return cmp.Or(cmp.Compare(slices.Index(order, a.Kind), slices.Index(order, b.Kind)), strings.Compare(a.String(), b.String()))
	})
	slices.Sort(p.Injected)
	return p
}

// removes reports whether an object is this installation's.
func (i Installation) removes(o Object) bool {
	own := o.Namespace == i.Namespace
	switch o.Kind {
	case Mutating, Validating:
		// A tag's configuration has another name, and the label of the revision.
		return o.Name == i.Name(WebhookConfigurations) || i.tags(o)
	case Deployments:
		return own && (o.Name == i.Name(Deployment) || o.Name == i.Name(ControlPlane))
	case Secrets:
		return own && (o.Name == i.Name("outrider-certs") || o.Name == i.Name("outrider-ca-key")) && i.owns(o.Labels)
	case Leases:
		return own && (o.Name == i.Name("outrider-leader") || o.Name == i.Name("outrider-status") || o.Name == i.Name("outrider-pods") ||
			strings.HasPrefix(o.Name, "outrider-replica-") && i.owns(o.Labels))
	case ConfigMaps:
		return o.Name == i.Name(CABundle) && i.owns(o.Labels)
	case Jobs, RoleBindings, Roles, ServiceAccounts:
		return own && o.Name == i.Name(Verify)
	case ClusterRoleBindings, ClusterRoles, Namespaces:
		return o.Name == i.Name(Verify) && o.Labels["app"] == i.Name(Verify)
	case CRDs:
	}
	return false
}

// tags reports whether a webhook configuration is that of a tag of this revision.
func (i Installation) tags(o Object) bool {
	return strings.HasPrefix(o.Name, "istio-revision-tag-") && o.Service == i.Namespace+"/"+i.Name(Deployment)
}

// keep returns why a CustomResourceDefinition stays, or nothing.
func (i Installation) keep(o Object, f Found) string {
	if !o.Created {
		return "Outrider did not create it"
	}
	if f.InUse[o.Name] {
		return "it has objects, which would be deleted with it"
	}
	for _, other := range f.Objects {
		if other.Kind == Mutating && other.Labels["app"] == "sidecar-injector" && !i.removes(other) {
			return "MutatingWebhookConfiguration " + other.Name + " of another installation exists, which may use it"
		}
	}
	return ""
}
