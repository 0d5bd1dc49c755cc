package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/egress/rehearse"
	"github.com/outrider-mesh/outrider/egress/report"
	"github.com/outrider-mesh/outrider/inject"
	"github.com/outrider-mesh/outrider/workloads"
)

// reportsPage is how many reports are read at once, of 512 KiB at most.
const reportsPage = 50

func (o *egressOptions) inNamespace() (string, error) {
	if o.namespace != "" {
		return o.namespace, nil
	}
	return o.cluster.Namespace()
}

// seen is what was read of the reports.
type seen struct {
	namespace string // of the reports; empty: all
	hosts     []report.Host
	more      []report.MoreHosts
	reports   int // with a host, whether it is selected or not
}

func (s *seen) any() bool { return len(s.hosts)+len(s.more) > 0 }

// read reads the reports of the namespace, or of all.
func (o *egressOptions) read(ctx context.Context) (*seen, error) {
	out := &seen{}
	var err error
	if !o.all {
		if out.namespace, err = o.inNamespace(); err != nil {
			return nil, err
		}
	}
	access, err := o.cluster.Config()
	if err != nil {
		return nil, err
	}
	objects, err := dynamic.NewForConfig(access)
	if err != nil {
		return nil, fmt.Errorf("create Kubernetes client: %w", err)
	}
	filter := report.Filter{Verdict: report.Verdict(o.verdict)}
	if o.since > 0 {
		filter.Since = time.Now().Add(-o.since)
	}
	selected, err := o.selected(ctx, out.namespace)
	if err != nil {
		return nil, err
	}
	client := objects.Resource(schema.GroupVersionResource{Group: report.Group, Version: report.Version, Resource: report.Resource}).Namespace(out.namespace)
	options := metav1.ListOptions{Limit: reportsPage}
	for {
		page, err := client.List(ctx, options)
		switch {
		case apierrors.IsNotFound(err):
			return nil, errors.New("list EgressReports: the cluster has no CRD egressreports.outrider.dev; install Outrider, or upgrade it to a version with reports")
		case err != nil:
			return nil, permission(fmt.Errorf("list EgressReports: %w", err), "list egressreports.outrider.dev", "the roles view, edit and admin have it for a namespace")
		}
		for i := range page.Items {
			if err := out.add(&page.Items[i], filter, selected); err != nil {
				return nil, err
			}
		}
		if options.Continue = page.GetContinue(); options.Continue == "" {
			return out, nil
		}
	}
}

// add adds what a report has of the selected hosts.
func (s *seen) add(object *unstructured.Unstructured, filter report.Filter, selected map[string]map[report.Workload]bool) error {
	if object.GetName() != report.Name {
		return nil
	}
	data, err := object.MarshalJSON()
	if err != nil {
		return fmt.Errorf("encode EgressReport: %w", err)
	}
	content, err := report.Read(data)
	if err != nil {
		return fmt.Errorf("namespace %s: %w", object.GetNamespace(), err)
	}
	// An object may have been edited: it is read within the limits.
	content = content.Table(report.DefaultLimits, time.Now()).Content()
	if len(content.Workloads) > 0 || content.MoreWorkloads != nil {
		s.reports++
	}
	if selected != nil {
		if filter.Workloads = selected[object.GetNamespace()]; filter.Workloads == nil {
			return nil
		}
	}
	h, m := content.Hosts(object.GetNamespace(), filter)
	s.hosts, s.more = append(s.hosts, h...), append(s.more, m...)
	return nil
}

// selected are the workloads of the pods that -l selects, by namespace; nil without it.
func (o *egressOptions) selected(ctx context.Context, namespace string) (map[string]map[report.Workload]bool, error) {
	if o.selector == "" {
		return nil, nil
	}
	out := map[string]map[report.Workload]bool{}
	err := o.eachPod(ctx, namespace, o.selector, func(p *corev1.Pod) error {
		if out[p.Namespace] == nil {
			out[p.Namespace] = map[report.Workload]bool{}
		}
		out[p.Namespace][reportedAs(p)] = true
		return nil
	})
	return out, permission(err, "list pods", "omit -l")
}

// podsOf are the pods of a namespace, where Sidecars select some of them by labels.
func (o *egressOptions) podsOf(ctx context.Context, m *egress.Model, namespace string) (rehearse.Pods, error) {
	if !m.SelectsWorkloads(namespace) {
		return nil, nil
	}
	out := rehearse.Pods{}
	err := o.eachPod(ctx, namespace, "", func(p *corev1.Pod) error {
		out.Add(reportedAs(p), p.Labels)
		return nil
	})
	return out, permission(err, "list pods", "Sidecars of the namespace select workloads by the labels of their pods")
}

func (o *egressOptions) eachPod(ctx context.Context, namespace, selector string, each func(*corev1.Pod) error) error {
	access, err := o.cluster.Config()
	if err != nil {
		return err
	}
	reader, err := workloads.New(access)
	if err != nil {
		return err
	}
	return reader.Pods(ctx, namespace, selector, each)
}

// reportedAs is the workload of a pod in reports.
func reportedAs(p *corev1.Pod) report.Workload {
	owner := inject.OwnerOf(p)
	return report.Workload{Kind: owner.Kind, Name: owner.Name}
}

// objects are those that sidecars are configured by.
func (o *egressOptions) objects(ctx context.Context, stdio stdio) (in egress.Input, err error) {
	o.cluster.always = true
	injector, _, err := compileTexts(ctx, o.injectOptions, stdio.in, stdio.err)
	if err != nil {
		return in, err
	}
	access, err := o.cluster.Config()
	if err != nil {
		return in, err
	}
	access.QPS = -1 // the lists are paged, and read once
	client, err := kubernetes.NewForConfig(access)
	if err != nil {
		return in, fmt.Errorf("create Kubernetes client: %w", err)
	}
	objects, err := dynamic.NewForConfig(access)
	if err != nil {
		return in, fmt.Errorf("create Kubernetes client: %w", err)
	}
	watcher, err := o.readObjects(ctx, injector, client, objects)
	if err != nil {
		return in, permission(err, "list these objects in all namespaces", "ask an administrator to run the command")
	}
	in, _ = watcher.Input()
	return in, nil
}
