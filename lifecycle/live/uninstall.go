package live

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/outrider-mesh/outrider/lifecycle"
)

// UninstallOptions configure Uninstall.
type UninstallOptions struct {
	lifecycle.Installation
	// Purge removes what the manifests or the chart created, too, but the namespace.
	Purge bool
	// DryRun writes what would be removed, and removes nothing.
	DryRun bool
	// StopTimeout is how long to wait for the replicas to stop; zero means a minute,
	// twice their termination grace period.
	StopTimeout time.Duration
}

// resources are the kinds by their group and version.
var resources = map[lifecycle.Kind]schema.GroupVersionResource{
	lifecycle.Mutating:            {Group: "admissionregistration.k8s.io", Version: "v1", Resource: string(lifecycle.Mutating)},
	lifecycle.Validating:          {Group: "admissionregistration.k8s.io", Version: "v1", Resource: string(lifecycle.Validating)},
	lifecycle.Deployments:         {Group: "apps", Version: "v1", Resource: string(lifecycle.Deployments)},
	lifecycle.Secrets:             {Version: "v1", Resource: string(lifecycle.Secrets)},
	lifecycle.Leases:              {Group: "coordination.k8s.io", Version: "v1", Resource: string(lifecycle.Leases)},
	lifecycle.ConfigMaps:          {Version: "v1", Resource: string(lifecycle.ConfigMaps)},
	lifecycle.Jobs:                {Group: "batch", Version: "v1", Resource: string(lifecycle.Jobs)},
	lifecycle.RoleBindings:        {Group: rbac, Version: "v1", Resource: string(lifecycle.RoleBindings)},
	lifecycle.Roles:               {Group: rbac, Version: "v1", Resource: string(lifecycle.Roles)},
	lifecycle.ClusterRoleBindings: {Group: rbac, Version: "v1", Resource: string(lifecycle.ClusterRoleBindings)},
	lifecycle.ClusterRoles:        {Group: rbac, Version: "v1", Resource: string(lifecycle.ClusterRoles)},
	lifecycle.ServiceAccounts:     {Version: "v1", Resource: string(lifecycle.ServiceAccounts)},
	lifecycle.Namespaces:          {Version: "v1", Resource: string(lifecycle.Namespaces)},
	lifecycle.CRDs:                {Group: "apiextensions.k8s.io", Version: "v1", Resource: string(lifecycle.CRDs)},

	"validatingadmissionpolicybindings": {Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingadmissionpolicybindings"},
	"validatingadmissionpolicies":       {Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingadmissionpolicies"},
	"services":                          {Version: "v1", Resource: "services"},
	"poddisruptionbudgets":              {Group: "policy", Version: "v1", Resource: "poddisruptionbudgets"},
	"networkpolicies":                   {Group: "networking.k8s.io", Version: "v1", Resource: "networkpolicies"},
}

const rbac = "rbac.authorization.k8s.io"

// listing are objects that are listed. Others are read by their names.
type listing struct {
	kind       lifecycle.Kind
	namespaced bool // in the namespace of the installation; otherwise in all
	field      string
	label      string
}

// uninstaller is one run of Uninstall.
type uninstaller struct {
	UninstallOptions
	client dynamic.Interface
	out    io.Writer
}

// Uninstall stops the program and removes what it created, and the webhook
// configurations first of all. It writes a line for each object. It may be repeated.
func Uninstall(ctx context.Context, client dynamic.Interface, o UninstallOptions, out io.Writer) error {
	if o.StopTimeout == 0 {
		o.StopTimeout = time.Minute
	}
	u := &uninstaller{o, client, out}
	plan, err := u.plan(ctx)
	if err != nil {
		return err
	}
	if !o.DryRun {
		err := u.remove(ctx, plan.Remove, func(k lifecycle.Kind) bool {
			return k == lifecycle.Mutating || k == lifecycle.Validating || k == lifecycle.Deployments
		})
		if err != nil {
			return err
		}
		u.waitStopped(ctx)
		// Read again: the program creates objects until it has stopped.
		injected := plan.Injected
		if plan, err = u.plan(ctx); err != nil {
			return err
		}
		plan.Injected = slices.Compact(slices.Sorted(slices.Values(append(injected, plan.Injected...))))
	}
	if err := u.remove(ctx, plan.Remove, func(lifecycle.Kind) bool { return true }); err != nil {
		return err
	}
	return u.notes(plan)
}

// notes writes what stays.
func (u *uninstaller) notes(p lifecycle.Plan) error {
	for _, k := range p.Kept {
		if _, err := fmt.Fprintf(u.out, "kept %s: %s\n", k.Object, k.Reason); err != nil {
			return err
		}
	}
	if len(p.Injected) > 0 {
		_, err := fmt.Fprintf(u.out, "note: pods in the namespaces %s keep their sidecars until they are restarted: kubectl -n NAMESPACE rollout restart deployment\n", strings.Join(p.Injected, ", "))
		return err
	}
	return nil
}

// plan reads the cluster.
func (u *uninstaller) plan(ctx context.Context) (lifecycle.Plan, error) {
	found := lifecycle.Found{InUse: map[string]bool{}, Purge: u.Purge}
	for _, l := range u.listings() {
		objects, err := u.list(ctx, l)
		if err != nil {
			return lifecycle.Plan{}, err
		}
		found.Objects = append(found.Objects, objects...)
	}
	for _, o := range u.named() {
		got, err := u.at(o.Kind, o.Namespace).Get(ctx, o.Name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return lifecycle.Plan{}, fmt.Errorf("get %s: %w", o, err)
		}
		found.Objects = append(found.Objects, u.object(o.Kind, got))
		if o.Kind == lifecycle.CRDs && o.Name != egressReports {
			if found.InUse[o.Name], err = u.inUse(ctx, got); err != nil {
				return lifecycle.Plan{}, err
			}
		}
	}
	return lifecycle.PlanUninstall(u.Installation, found), nil
}

// listings are the objects whose names are not all known.
func (u *uninstaller) listings() []listing {
	list := []listing{
		{kind: lifecycle.Mutating}, {kind: lifecycle.Validating}, {kind: lifecycle.Leases, namespaced: true},
		{kind: lifecycle.ConfigMaps, field: "metadata.name=" + u.Name(lifecycle.CABundle)},
	}
	if !u.Purge {
		return list
	}
	part := lifecycle.PartOf + "=" + u.Name(lifecycle.Deployment)
	for _, k := range append([]lifecycle.Kind{
		lifecycle.ConfigMaps, lifecycle.RoleBindings, lifecycle.Roles, lifecycle.ClusterRoleBindings, lifecycle.ClusterRoles, lifecycle.ServiceAccounts,
	}, lifecycle.Purged...) {
		list = append(list, listing{kind: k, label: part})
	}
	return list
}

// named are the objects whose names are known.
func (u *uninstaller) named() []lifecycle.Object {
	own := func(k lifecycle.Kind, name string) lifecycle.Object {
		return lifecycle.Object{Kind: k, Namespace: u.Namespace, Name: u.Name(name)}
	}
	all := func(k lifecycle.Kind, name string) lifecycle.Object { return lifecycle.Object{Kind: k, Name: name} }
	return []lifecycle.Object{
		own(lifecycle.Deployments, lifecycle.Deployment), own(lifecycle.Deployments, lifecycle.ControlPlane),
		own(lifecycle.Secrets, "outrider-certs"), own(lifecycle.Secrets, "outrider-ca-key"),
		own(lifecycle.Jobs, lifecycle.Verify), own(lifecycle.RoleBindings, lifecycle.Verify), own(lifecycle.Roles, lifecycle.Verify), own(lifecycle.ServiceAccounts, lifecycle.Verify),
		all(lifecycle.ClusterRoleBindings, u.Name(lifecycle.Verify)), all(lifecycle.ClusterRoles, u.Name(lifecycle.Verify)), all(lifecycle.Namespaces, u.Name(lifecycle.Verify)),
		all(lifecycle.CRDs, egressReports), all(lifecycle.CRDs, "serviceentries.networking.istio.io"), all(lifecycle.CRDs, "virtualservices.networking.istio.io"), all(lifecycle.CRDs, "sidecars.networking.istio.io"),
	}
}

func (u *uninstaller) at(k lifecycle.Kind, namespace string) dynamic.ResourceInterface {
	if namespace == "" {
		return u.client.Resource(resources[k])
	}
	return u.client.Resource(resources[k]).Namespace(namespace)
}

// pageSize bounds the memory for a list: ConfigMaps outrider-ca, of which there is
// one per namespace with injected pods, are about 3 KB each.
const pageSize = 500

func (u *uninstaller) list(ctx context.Context, l listing) (objects []lifecycle.Object, err error) {
	namespace := ""
	if l.namespaced {
		namespace = u.Namespace
	}
	options := metav1.ListOptions{FieldSelector: l.field, LabelSelector: l.label, Limit: pageSize}
	for {
		list, err := u.at(l.kind, namespace).List(ctx, options)
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", l.kind, err)
		}
		for i := range list.Items {
			objects = append(objects, u.object(l.kind, &list.Items[i]))
		}
		if options.Continue = list.GetContinue(); options.Continue == "" {
			return objects, nil
		}
	}
}

// object is what the plan considers of an object.
func (u *uninstaller) object(k lifecycle.Kind, o *unstructured.Unstructured) lifecycle.Object {
	out := lifecycle.Object{Kind: k, Namespace: o.GetNamespace(), Name: o.GetName(), Labels: o.GetLabels()}
	if k == lifecycle.CRDs {
		out.Created = o.GetLabels()["app"] == "outrider" && (o.GetAnnotations()["meta.helm.sh/release-namespace"] == u.Namespace ||
			slices.ContainsFunc(o.GetManagedFields(), func(m metav1.ManagedFieldsEntry) bool { return m.Manager == "outrider" }))
	}
	webhooks, _, _ := unstructured.NestedSlice(o.Object, "webhooks")
	for _, w := range webhooks {
		if w, ok := w.(map[string]any); ok {
			name, _, _ := unstructured.NestedString(w, "clientConfig", "service", "name")
			namespace, _, _ := unstructured.NestedString(w, "clientConfig", "service", "namespace")
			out.Service = namespace + "/" + name
		}
	}
	return out
}

// egressReports is the CustomResourceDefinition of what the program itself writes: its
// objects are removed with it.
const egressReports = "egressreports.outrider.dev"

// inUse reports whether objects of a CustomResourceDefinition exist.
func (u *uninstaller) inUse(ctx context.Context, crd *unstructured.Unstructured) (bool, error) {
	group, _, _ := unstructured.NestedString(crd.Object, "spec", "group")
	plural, _, _ := unstructured.NestedString(crd.Object, "spec", "names", "plural")
	versions, _, _ := unstructured.NestedSlice(crd.Object, "spec", "versions")
	for _, v := range versions {
		version, _ := v.(map[string]any)
		if served, _ := version["served"].(bool); !served {
			continue
		}
		resource := schema.GroupVersionResource{Group: group, Version: fmt.Sprint(version["name"]), Resource: plural}
		list, err := u.client.Resource(resource).List(ctx, metav1.ListOptions{Limit: 1})
		if err != nil {
			return false, fmt.Errorf("list %s: %w", plural, err)
		}
		return len(list.Items) > 0, nil
	}
	return true, nil // no version is served, so it is unknown
}

// remove deletes the objects of the kinds, in order.
func (u *uninstaller) remove(ctx context.Context, objects []lifecycle.Object, of func(lifecycle.Kind) bool) error {
	for _, o := range objects {
		if !of(o.Kind) {
			continue
		}
		done := "removed"
		if u.DryRun {
			done = "would remove"
		} else {
			err := u.at(o.Kind, o.Namespace).Delete(ctx, o.Name, metav1.DeleteOptions{PropagationPolicy: new(metav1.DeletePropagationBackground)})
			if apierrors.IsNotFound(err) {
				continue
			}
			if err != nil {
				return fmt.Errorf("delete %s: %w", o, err)
			}
		}
		if _, err := fmt.Fprintf(u.out, "%s %s\n", done, o); err != nil {
			return err
		}
	}
	return nil
}

// waitStopped waits until the replicas are gone. One on a node that does not answer
// stays for minutes: the rest is removed then, and it may create objects again.
func (u *uninstaller) waitStopped(ctx context.Context) {
	pods := u.client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "pods"}).Namespace(u.Namespace)
	selector := fmt.Sprintf("app in (%s,%s)", u.Name(lifecycle.Deployment), u.Name(lifecycle.ControlPlane))
	for deadline := time.Now().Add(u.StopTimeout); ; {
		list, err := pods.List(ctx, metav1.ListOptions{LabelSelector: selector})
		if err == nil && len(list.Items) == 0 {
			return
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			reason := "its pods have not stopped"
			if err != nil {
				reason = err.Error()
			}
			_, _ = fmt.Fprintf(u.out, "warning: after %s: %s; what they create again is to be removed with: outrider uninstall --yes\n", u.StopTimeout, reason)
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(300 * time.Millisecond):
		}
	}
}
