package workloads

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/outrider-mesh/outrider/explain"
	"github.com/outrider-mesh/outrider/ranges"
	"github.com/outrider-mesh/outrider/status"
)

// Pods calls each with the pods that have not ended, of a namespace or of all, selected by
// their labels.
func (r *Reader) Pods(ctx context.Context, namespace, labels string, each func(*corev1.Pod) error) error {
	o := metav1.ListOptions{LabelSelector: labels, FieldSelector: "status.phase!=Succeeded,status.phase!=Failed", Limit: r.pages.Objects}
	err := pages(ctx, o, r.Client.CoreV1().Pods(namespace).List, func(l *corev1.PodList) error {
		for i := range l.Items {
			if err := each(&l.Items[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("list pods%s: %w", in(namespace), err)
	}
	return nil
}

func in(namespace string) string {
	if namespace == "" {
		return " of all namespaces"
	}
	return " in namespace " + namespace
}

// Namespaces reads a namespace, or all.
func (r *Reader) Namespaces(ctx context.Context, namespace string) (map[string]status.Namespace, error) {
	out := map[string]status.Namespace{}
	add := func(n *corev1.Namespace) {
		out[n.Name] = status.Namespace{
			Namespace: explain.Namespace{Name: n.Name, Labels: n.Labels, Annotations: n.Annotations, Known: true}, Managed: n.ManagedFields,
		}
	}
	if namespace != "" {
		n, err := r.Client.CoreV1().Namespaces().Get(ctx, namespace, metav1.GetOptions{})
		if err != nil {
			return out, fmt.Errorf("get namespace %s: %w", namespace, err)
		}
		add(n)
		return out, nil
	}
	err := pages(ctx, metav1.ListOptions{Limit: r.pages.Objects}, r.Client.CoreV1().Namespaces().List, func(l *corev1.NamespaceList) error {
		for i := range l.Items {
			add(&l.Items[i])
		}
		return nil
	})
	if err != nil {
		return out, fmt.Errorf("list namespaces: %w", err)
	}
	return out, nil
}

// Webhooks reads the registered webhooks.
func (r *Reader) Webhooks(ctx context.Context) (out []admissionregistrationv1.MutatingWebhookConfiguration, err error) {
	err = pages(ctx, metav1.ListOptions{}, r.Client.AdmissionregistrationV1().MutatingWebhookConfigurations().List, func(l *admissionregistrationv1.MutatingWebhookConfigurationList) error {
		out = append(out, l.Items...)
		return nil
	})
	if err != nil {
		return out, fmt.Errorf("list mutatingwebhookconfigurations: %w", err)
	}
	return out, nil
}

// WebhooksNamed reads registered webhooks by the names of their configurations, which is
// all that the webhook itself may read.
func (r *Reader) WebhooksNamed(ctx context.Context, names ...string) (out []admissionregistrationv1.MutatingWebhookConfiguration, err error) {
	for _, name := range names {
		l, err := r.Client.AdmissionregistrationV1().MutatingWebhookConfigurations().List(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + name})
		if err != nil {
			return out, fmt.Errorf("list mutatingwebhookconfigurations: %w", err)
		}
		out = append(out, l.Items...)
	}
	return out, nil
}

// Leases reads those of the replicas of all revisions.
func (r *Reader) Leases(ctx context.Context, namespace string) (out []coordinationv1.Lease, err error) {
	o := metav1.ListOptions{LabelSelector: metav1.FormatLabelSelector(&metav1.LabelSelector{MatchLabels: status.ReplicaLabels()})}
	err = pages(ctx, o, r.Client.CoordinationV1().Leases(namespace).List, func(l *coordinationv1.LeaseList) error {
		out = append(out, l.Items...)
		return nil
	})
	if err != nil {
		return out, fmt.Errorf("list leases%s: %w", in(namespace), err)
	}
	return out, nil
}

// maxEvents bounds the events that are read: a sidecar has one for each rejection.
const maxEvents = 5 * pageSize

// Events reads those of sidecars that reject something.
func (r *Reader) Events(ctx context.Context, namespace string) (out []corev1.Event, err error) {
	o := metav1.ListOptions{FieldSelector: "involvedObject.kind=Pod,reason=" + status.RejectedEvent}
	enough := fmt.Errorf("more than %d events", maxEvents)
	err = pages(ctx, o, r.Client.CoreV1().Events(namespace).List, func(l *corev1.EventList) error {
		if out = append(out, l.Items...); len(out) >= maxEvents {
			return enough
		}
		return nil
	})
	if err != nil && !errors.Is(err, enough) {
		return out, fmt.Errorf("list events%s: %w", in(namespace), err)
	}
	return out, nil
}

// APIServer is what the name "kube-apiserver" in a range list is resolved by.
func (r *Reader) APIServer(ctx context.Context) (ranges.Resolution, error) {
	all, err := r.Client.DiscoveryV1().EndpointSlices(metav1.NamespaceDefault).List(ctx, metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=kubernetes", Limit: pageSize})
	if err != nil {
		return ranges.Resolution{}, fmt.Errorf("list endpointslices in namespace default: %w", err)
	}
	service, err := r.Client.CoreV1().Services(metav1.NamespaceDefault).Get(ctx, "kubernetes", metav1.GetOptions{})
	if err != nil {
		return ranges.Resolution{}, fmt.Errorf("get Service default/kubernetes: %w", err)
	}
	service.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Service"}
	objects := map[string]any{"service/kubernetes": service}
	for i := range all.Items {
		all.Items[i].TypeMeta = metav1.TypeMeta{APIVersion: "discovery.k8s.io/v1", Kind: "EndpointSlice"}
		objects["endpointslice/"+all.Items[i].Name] = &all.Items[i]
	}
	var documents []ranges.Document
	for _, name := range slices.Sorted(maps.Keys(objects)) {
		text, err := json.Marshal(objects[name])
		if err != nil {
			return ranges.Resolution{}, fmt.Errorf("encode %s: %w", name, err)
		}
		documents = append(documents, ranges.Document{Name: name, Text: string(text)})
	}
	data, err := ranges.Read(documents)
	if err != nil {
		return ranges.Resolution{}, fmt.Errorf("addresses of the API server: %w", err)
	}
	return data.NamedRanges(ranges.Options{}).APIServer, nil
}

// Services reads where clients of Services connect to: the addresses of Services, and the
// endpoints of headless ones.
func (r *Reader) Services(ctx context.Context) ([]status.Service, error) {
	var out []status.Service
	add := func(namespace, name string, addresses []string, ports []int32) {
		s := status.Service{Name: namespace + "/" + name}
		for _, text := range addresses {
			a, err := netip.ParseAddr(text)
			if err != nil {
				continue // None, or no address yet
			}
			for _, p := range ports {
				s.Destinations = append(s.Destinations, netip.AddrPortFrom(a.Unmap(), uint16(p)))
			}
		}
		if len(s.Destinations) > 0 {
			out = append(out, s)
		}
	}
	err := pages(ctx, metav1.ListOptions{}, r.Client.CoreV1().Services("").List, func(l *corev1.ServiceList) error {
		for i := range l.Items {
			s := &l.Items[i]
			var ports []int32
			for _, p := range s.Spec.Ports {
				if p.Protocol == corev1.ProtocolTCP || p.Protocol == "" {
					ports = append(ports, p.Port)
				}
			}
			add(s.Namespace, s.Name, s.Spec.ClusterIPs, ports)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list services: %w", err)
	}
	headless := metav1.ListOptions{LabelSelector: corev1.IsHeadlessService + "," + discoveryv1.LabelServiceName}
	err = pages(ctx, headless, r.Client.DiscoveryV1().EndpointSlices("").List, func(l *discoveryv1.EndpointSliceList) error {
		for i := range l.Items {
			s := &l.Items[i]
			var addresses []string
			var ports []int32
			for _, p := range s.Ports {
				if p.Port != nil && (p.Protocol == nil || *p.Protocol == corev1.ProtocolTCP) {
					ports = append(ports, *p.Port)
				}
			}
			for _, e := range s.Endpoints {
				addresses = append(addresses, e.Addresses...)
			}
			add(s.Namespace, s.Labels[discoveryv1.LabelServiceName], addresses, ports)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list endpointslices: %w", err)
	}
	return out, nil
}
