package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/outrider-mesh/outrider/cidr"
	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/egress/kube"
	"github.com/outrider-mesh/outrider/explain"
	"github.com/outrider-mesh/outrider/inject"
	"github.com/outrider-mesh/outrider/internal/revision"
)

// workloadKinds are the kinds of pods and pod templates, by kubectl's names.
var workloadKinds = []struct {
	resource schema.GroupVersionResource
	names    string
}{
	{schema.GroupVersionResource{Version: "v1", Resource: "pods"}, "pod pods po"},
	{schema.GroupVersionResource{Version: "v1", Resource: "replicationcontrollers"}, "replicationcontroller replicationcontrollers rc"},
	{schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}, "deployment deployments deploy"},
	{schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "statefulsets"}, "statefulset statefulsets sts"},
	{schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "daemonsets"}, "daemonset daemonsets ds"},
	{schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "replicasets"}, "replicaset replicasets rs"},
	{schema.GroupVersionResource{Group: "batch", Version: "v1", Resource: "jobs"}, "job jobs"},
	{schema.GroupVersionResource{Group: "batch", Version: "v1", Resource: "cronjobs"}, "cronjob cronjobs cj"},
	{schema.GroupVersionResource{Group: "argoproj.io", Version: "v1alpha1", Resource: "rollouts"}, "rollout rollouts"},
	{schema.GroupVersionResource{Group: "apps.openshift.io", Version: "v1", Resource: "deploymentconfigs"}, "deploymentconfig deploymentconfigs dc"},
}

// workloadOf reads POD or KIND/NAME.
func workloadOf(arg string) (schema.GroupVersionResource, string, error) {
	kind, name, found := strings.Cut(arg, "/")
	if !found {
		kind, name = "pod", arg
	}
	kind, _, _ = strings.Cut(strings.ToLower(kind), ".")
	for _, w := range workloadKinds {
		for _, known := range strings.Fields(w.names) {
			if known == kind && name != "" {
				return w.resource, name, nil
			}
		}
	}
	return schema.GroupVersionResource{}, "", usagef("%q: unknown kind of workload; use a pod, or deployment, statefulset, daemonset, replicaset, job, cronjob, rollout with /NAME", arg)
}

// fromCluster reads the object, and everything else of the cluster.
func (o *explainOptions) fromCluster(ctx context.Context, arg string, in *explain.Input) (explain.Subject, error) {
	resource, name, err := workloadOf(arg)
	if err != nil {
		return explain.Subject{}, err
	}
	if o.namespace == "" {
		if o.namespace, err = o.cluster.Namespace(); err != nil {
			return explain.Subject{}, err
		}
	}
	access, err := o.cluster.Config()
	if err != nil {
		return explain.Subject{}, err
	}
	objects, err := dynamic.NewForConfig(access)
	if err != nil {
		return explain.Subject{}, fmt.Errorf("create Kubernetes client: %w", err)
	}
	found, err := objects.Resource(resource).Namespace(o.namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return explain.Subject{}, fmt.Errorf("get %s %s/%s: %w", resource.Resource, o.namespace, name, err)
	}
	text, err := found.MarshalJSON()
	if err != nil {
		return explain.Subject{}, fmt.Errorf("encode %s %s/%s: %w", resource.Resource, o.namespace, name, err)
	}
	s, ok, err := explain.NewSubject(text)
	switch {
	case err != nil:
		return s, fmt.Errorf("%s %s/%s: %w", resource.Resource, o.namespace, name, err)
	case !ok:
		return s, fmt.Errorf("%s %s/%s has no pod template; explain the workload that its spec.workloadRef names", resource.Resource, o.namespace, name)
	}
	return s, o.readCluster(ctx, in, o.namespace, nil)
}

// readCluster reads the registered webhooks, the namespace, and what the sidecars are
// configured with, among it objects of files.
func (o *explainOptions) readCluster(ctx context.Context, in *explain.Input, namespace string, more *egress.Input) error {
	access, err := o.cluster.Config()
	if err != nil {
		return err
	}
	access.QPS = -1 // the lists are paged, and read once
	client, err := kubernetes.NewForConfig(access)
	if err != nil {
		return fmt.Errorf("create Kubernetes client: %w", err)
	}
	objects, err := dynamic.NewForConfig(access)
	if err != nil {
		return fmt.Errorf("create Kubernetes client: %w", err)
	}
	in.Namespace = explain.Namespace{Name: namespace}
	read, err := client.CoreV1().Namespaces().Get(ctx, namespace, metav1.GetOptions{})
	switch {
	case err == nil:
		in.Namespace.Labels, in.Namespace.Annotations, in.Namespace.Known = read.Labels, read.Annotations, true
	case !apierrors.IsForbidden(err):
		return fmt.Errorf("get namespace %s: %w", namespace, err)
	}
	in.Registered = o.registered()
	all, err := client.AdmissionregistrationV1().MutatingWebhookConfigurations().List(ctx, metav1.ListOptions{})
	switch {
	case err == nil:
		in.Registered.Configurations = all.Items
	case apierrors.IsForbidden(err):
		in.Registered.Unread = err.Error()
	default:
		return fmt.Errorf("list mutatingwebhookconfigurations: %w", err)
	}
	if len(o.to) == 0 {
		return nil // nothing depends on what the sidecars are configured with
	}
	return o.readModel(ctx, in, client, objects, more)
}

// readModel reads what the sidecars are configured with.
func (o *explainOptions) readModel(ctx context.Context, in *explain.Input, client kubernetes.Interface, objects dynamic.Interface, more *egress.Input) error {
	watcher, err := o.readObjects(ctx, in.Injector, client, objects)
	if apierrors.IsForbidden(err) {
		return fmt.Errorf("%w; --to requires the permission to list these objects in all namespaces, omit it otherwise", err)
	} else if err != nil {
		return err
	}
	input, _ := watcher.Input()
	if more != nil {
		input = replaced(input, *more)
	}
	in.Model, _ = egress.Build(input)
	for _, d := range watcher.Destinations() {
		in.InCluster = append(in.InCluster, explain.InCluster{Name: d.Kind + " " + d.Namespace + "/" + d.Name, Addresses: d.Addresses})
	}
	return nil
}

// readObjects reads the objects that sidecars are configured by.
func (o *explainOptions) readObjects(ctx context.Context, injector *inject.Injector, client kubernetes.Interface, objects dynamic.Interface) (*kube.Watcher, error) {
	watcher, err := kube.New(kube.Options{Client: client, Dynamic: objects, Revision: revision.Revision(o.revision), Log: logr.Discard(), Built: func(kube.Result) {}})
	if err != nil {
		return nil, err
	}
	watcher.SetMesh(egress.CompileMesh(injector.Config().Mesh))
	own, _ := injector.RangeNames().Resolve(cidr.Cluster)
	watcher.SetRanges(own.Ranges, own.Missing == "")
	return watcher, watcher.Read(ctx)
}

// replaced are objects with those of files, which take the places of others of their names.
func replaced(in, by egress.Input) egress.Input {
	for _, e := range by.ServiceEntries {
		in = in.Without(egress.KindServiceEntry, e.Meta)
		in.ServiceEntries = append(in.ServiceEntries, e)
	}
	for _, v := range by.VirtualServices {
		in = in.Without(egress.KindVirtualService, v.Meta)
		in.VirtualServices = append(in.VirtualServices, v)
	}
	for _, s := range by.Sidecars {
		in = in.Without(egress.KindSidecar, s.Meta)
		in.Sidecars = append(in.Sidecars, s)
	}
	return in
}

// registered are the names of the revision's webhooks.
func (o *explainOptions) registered() explain.Registered {
	r := revision.Revision(o.revision)
	return explain.Registered{Service: o.cluster.namespace + "/" + r.Name("outrider"), Name: r.Name("outrider-sidecar-injector")}
}

// resolveTimeout bounds the resolution of one name.
const resolveTimeout = 3 * time.Second

// resolveDestination finds the addresses of a host: those of the Service of that name, or
// those that this machine resolves. Without any, they stay unknown.
func resolveDestination(ctx context.Context, d *explain.Destination, in *explain.Input) {
	if d.Host == "" || len(d.Addresses) > 0 {
		return
	}
	for _, service := range serviceNames(d.Host, in.Namespace.Name) {
		for _, s := range in.InCluster {
			if s.Name == service {
				d.Addresses, d.From = s.Addresses, "of "+s.Name
				return
			}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", d.Host)
	if err != nil {
		d.From = "unknown, as this machine does not resolve the name; pass --address"
		return
	}
	d.From = "as this machine resolves the name"
	for _, a := range found {
		d.Addresses = append(d.Addresses, netip.Addr(a).Unmap())
	}
}

// serviceNames are the Services that a name may be of.
func serviceNames(host, namespace string) (names []string) {
	labels := strings.Split(host, ".")
	switch {
	case len(labels) == 1:
		names = append(names, "Service "+namespace+"/"+labels[0])
	case len(labels) == 2 || labels[2] == "svc":
		names = append(names, "Service "+labels[1]+"/"+labels[0])
	}
	return names
}
