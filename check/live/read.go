package live

import (
	"context"
	"errors"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/outrider-mesh/outrider/annotation"
	"github.com/outrider-mesh/outrider/check"
	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/lifecycle"
	lifecyclelive "github.com/outrider-mesh/outrider/lifecycle/live"
)

// webhooks reads all webhook configurations.
func (g *gathering) webhooks(ctx context.Context) {
	api := g.client.AdmissionregistrationV1()
	mutating, err := pages(ctx, api.MutatingWebhookConfigurations().List,
		func(l *admissionregistrationv1.MutatingWebhookConfigurationList) []admissionregistrationv1.MutatingWebhookConfiguration {
			return l.Items
		})
	if err != nil {
		g.unread(check.Mutating, err)
	}
	validating, err := pages(ctx, api.ValidatingWebhookConfigurations().List,
		func(l *admissionregistrationv1.ValidatingWebhookConfigurationList) []admissionregistrationv1.ValidatingWebhookConfiguration {
			return l.Items
		})
	if err != nil {
		g.unread(check.Validating, err)
	}
	g.set(func(f *check.Facts) { f.Mutating, f.Validating = mutating, validating })
}

// definitions reads the CustomResourceDefinitions by name: a schema can be long, and a
// cluster can have hundreds.
func (g *gathering) definitions(ctx context.Context) {
	resource := g.dynamic.Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"})
	for _, name := range check.DefinitionNames() {
		d, err := resource.Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			g.unread(check.Definitions, err)
			return
		}
		g.set(func(f *check.Facts) { f.Definitions[name] = definition(d) })
	}
}

func definition(d *unstructured.Unstructured) (out check.Definition) {
	versions, _, _ := unstructured.NestedSlice(d.Object, "spec", "versions")
	for _, v := range versions {
		if m, ok := v.(map[string]any); ok && m["served"] == true {
			if name, ok := m["name"].(string); ok {
				out.Served = append(out.Served, name)
			}
		}
	}
	conditions, _, _ := unstructured.NestedSlice(d.Object, "status", "conditions")
	for _, c := range conditions {
		if m, ok := c.(map[string]any); ok && m["type"] == "Established" {
			out.Established = m["status"] == "True"
		}
	}
	return out
}

// nodes reads the nodes, and the Leases by which their clocks show.
func (g *gathering) nodes(ctx context.Context) {
	nodes, err := pages(ctx, g.client.CoreV1().Nodes().List, func(l *corev1.NodeList) []corev1.Node { return l.Items })
	if err != nil {
		g.unread(check.Nodes, err)
	}
	leases, err := pages(ctx, g.client.CoordinationV1().Leases(corev1.NamespaceNodeLease).List, func(l *coordinationv1.LeaseList) []coordinationv1.Lease { return l.Items })
	if err != nil {
		g.unread(check.NodeLeases, err)
	}
	g.set(func(f *check.Facts) { f.Nodes, f.NodeLeases = nodes, leases })
}

func (g *gathering) namespaces(ctx context.Context) {
	namespaces, err := pages(ctx, g.client.CoreV1().Namespaces().List, func(l *corev1.NamespaceList) []corev1.Namespace { return l.Items })
	if err != nil {
		g.unread(check.NamespaceList, err)
	}
	g.set(func(f *check.Facts) { f.Namespaces = namespaces })
}

func (g *gathering) policies(ctx context.Context) {
	policies, err := pages(ctx, g.client.NetworkingV1().NetworkPolicies(corev1.NamespaceAll).List,
		func(l *networkingv1.NetworkPolicyList) []networkingv1.NetworkPolicy { return l.Items })
	if err != nil {
		g.unread(check.NetworkPolicies, err)
	}
	g.set(func(f *check.Facts) { f.NetworkPolicies = policies })
}

// system reads what kube-system shows of DNS and of the network plugin.
func (g *gathering) system(ctx context.Context) {
	sets, err := pages(ctx, g.client.AppsV1().DaemonSets(metav1.NamespaceSystem).List, func(l *appsv1.DaemonSetList) []appsv1.DaemonSet { return l.Items })
	if err != nil {
		g.unread(check.System, err)
		return
	}
	services, err := g.client.CoreV1().Services(metav1.NamespaceSystem).List(ctx, metav1.ListOptions{LabelSelector: "k8s-app=kube-dns", Limit: 20})
	if err != nil {
		g.unread(check.System, err)
		return
	}
	var servers []check.NameServer
	for i := range services.Items {
		s := &services.Items[i]
		ready, err := g.endpoints(ctx, s.Namespace, s.Name)
		if err != nil {
			g.unread(check.System, err)
			return
		}
		most := 0
		for _, n := range ready {
			most = max(most, n)
		}
		servers = append(servers, check.NameServer{Name: s.Name, Ready: most})
	}
	g.set(func(f *check.Facts) {
		f.NameServers = servers
		for i := range sets {
			f.SystemSets = append(f.SystemSets, sets[i].Name)
		}
	})
}

// endpoints counts the ready endpoints of a Service by the port's name.
func (g *gathering) endpoints(ctx context.Context, namespace, name string) (map[string]int, error) {
	slices, err := g.client.DiscoveryV1().EndpointSlices(namespace).List(ctx, metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=" + name, Limit: 100})
	if err != nil {
		return nil, err
	}
	ready := map[string]int{}
	for i := range slices.Items {
		s := &slices.Items[i]
		for _, e := range s.Endpoints {
			if e.Conditions.Ready != nil && !*e.Conditions.Ready {
				continue
			}
			for _, p := range s.Ports {
				if p.Name != nil {
					ready[*p.Name] += len(e.Addresses)
				}
			}
		}
	}
	return ready, nil
}

// own reads the objects of the installation.
func (g *gathering) own(ctx context.Context) {
	if err := errors.Join(g.ownServices(ctx), g.ownDeployments(ctx), g.ownReports(ctx)); err != nil {
		g.unread(check.Own, err)
	}
}

func (g *gathering) ownServices(ctx context.Context) error {
	for _, base := range []string{lifecycle.Deployment, lifecycle.ControlPlane} {
		name := g.Name(base)
		_, err := g.client.CoreV1().Services(g.Namespace).Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return err
		}
		ready, err := g.endpoints(ctx, g.Namespace, name)
		if err != nil {
			return err
		}
		g.set(func(f *check.Facts) { f.Services[name] = check.Service{Ready: ready} })
	}
	return nil
}

func (g *gathering) ownDeployments(ctx context.Context) error {
	for _, base := range []string{lifecycle.Deployment, lifecycle.ControlPlane} {
		name := g.Name(base)
		d, err := g.client.AppsV1().Deployments(g.Namespace).Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return err
		}
		found := check.Deployment{Desired: 1, Ready: d.Status.ReadyReplicas, HostNetwork: d.Spec.Template.Spec.HostNetwork}
		if d.Spec.Replicas != nil {
			found.Desired = *d.Spec.Replicas
		}
		if found.Ready < found.Desired {
			if found.Pods, err = lifecyclelive.NotReady(ctx, g.client, d); err != nil {
				return err
			}
		}
		g.set(func(f *check.Facts) { f.Deployments[name] = found })
	}
	return nil
}

// ownReports reads what the replicas report, and the labels of the
// ConfigMap.
func (g *gathering) ownReports(ctx context.Context) error {
	leases, err := g.client.CoordinationV1().Leases(g.Namespace).List(ctx, metav1.ListOptions{Limit: 500})
	if err != nil {
		return err
	}
	labels, err := g.injectorLabels(ctx)
	if err != nil {
		return err
	}
	g.set(func(f *check.Facts) {
		f.InjectorLabels = labels
		for i := range leases.Items {
			l := &leases.Items[i]
			if l.Annotations[annotation.ConfigHash] != "" && g.Revision.Matches(l.Labels[annotation.Rev]) && !expired(f, l) {
				f.Leases = append(f.Leases, *l)
			}
		}
	})
	return nil
}

// expired reports the Lease of a replica that is gone.
func expired(f *check.Facts, l *coordinationv1.Lease) bool {
	if l.Spec.RenewTime == nil || l.Spec.LeaseDurationSeconds == nil || f.ServerTime.IsZero() {
		return false
	}
	return f.ServerTime.Sub(l.Spec.RenewTime.Time).Seconds() > float64(*l.Spec.LeaseDurationSeconds)
}

func (g *gathering) injectorLabels(ctx context.Context) (map[string]string, error) {
	m, err := g.client.CoreV1().ConfigMaps(g.Namespace).Get(ctx, config.LocationOf(g.Namespace, g.Revision).Injector, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return m.Labels, nil
}

// bundle reads the CA bundle as sidecars have it, from an injected namespace.
func (g *gathering) bundle(ctx context.Context) {
	injected := g.facts.Injected()
	if len(injected) == 0 {
		return
	}
	m, err := g.client.CoreV1().ConfigMaps(injected[0].Name).Get(ctx, g.Name(lifecycle.CABundle), metav1.GetOptions{})
	if err == nil {
		g.facts.Bundle = m.Data["ca.pem"]
	}
}
