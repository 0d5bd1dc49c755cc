package main

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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

// read reads the reports of the namespace, or of all.
func (o *egressOptions) read(ctx context.Context) (hosts []report.Host, more []report.MoreHosts, namespace string, err error) {
	if !o.all {
		if namespace, err = o.inNamespace(); err != nil {
			return nil, nil, "", err
		}
	}
	access, err := o.cluster.Config()
	if err != nil {
		return nil, nil, "", err
	}
	objects, err := dynamic.NewForConfig(access)
	if err != nil {
		return nil, nil, "", fmt.Errorf("create Kubernetes client: %w", err)
	}
	filter := report.Filter{Verdict: report.Verdict(o.verdict)}
	if o.since > 0 {
		filter.Since = time.Now().Add(-o.since)
	}
	selected, err := o.selected(ctx, namespace)
	if err != nil {
		return nil, nil, "", err
	}
	client := objects.Resource(schema.GroupVersionResource{Group: report.Group, Version: report.Version, Resource: report.Resource}).Namespace(namespace)
	options := metav1.ListOptions{Limit: reportsPage}
	for {
		page, err := client.List(ctx, options)
		switch {
		case apierrors.IsNotFound(err):
			return nil, nil, "", fmt.Errorf("list EgressReports: %w; install Outrider's CRDs, with reports enabled", err)
		case err != nil:
			return nil, nil, "", permission(fmt.Errorf("list EgressReports: %w", err), "list egressreports.outrider.dev", "the roles view, edit and admin have it for a namespace")
		}
		for i := range page.Items {
			object := &page.Items[i]
			if object.GetName() != report.Name {
				continue
			}
			data, err := object.MarshalJSON()
			if err != nil {
				return nil, nil, "", fmt.Errorf("encode EgressReport: %w", err)
			}
			content, err := report.Read(data)
			if err != nil {
				return nil, nil, "", fmt.Errorf("namespace %s: %w", object.GetNamespace(), err)
			}
			// An object may have been edited: it is read within the limits.
			content = content.Table(report.DefaultLimits, time.Now()).Content()
			if selected != nil {
				filter.Workloads = selected[object.GetNamespace()]
				if filter.Workloads == nil {
					continue
				}
			}
			h, m := content.Hosts(object.GetNamespace(), filter)
			hosts, more = append(hosts, h...), append(more, m...)
		}
		if options.Continue = page.GetContinue(); options.Continue == "" {
			return hosts, more, namespace, nil
		}
	}
}

// selected are the workloads of the pods that -l selects, by namespace; nil without it.
func (o *egressOptions) selected(ctx context.Context, namespace string) (map[string]map[report.Workload]bool, error) {
	if o.selector == "" {
		return nil, nil
	}
	access, err := o.cluster.Config()
	if err != nil {
		return nil, err
	}
	reader, err := workloads.New(access)
	if err != nil {
		return nil, err
	}
	out := map[string]map[report.Workload]bool{}
	err = reader.Pods(ctx, namespace, o.selector, func(p *corev1.Pod) error {
		if out[p.Namespace] == nil {
			out[p.Namespace] = map[report.Workload]bool{}
		}
		owner := inject.OwnerOf(p)
		out[p.Namespace][report.Workload{Kind: owner.Kind, Name: owner.Name}] = true
		return nil
	})
	return out, permission(err, "list pods", "omit -l")
}

// enforced is the view of a namespace with REGISTRY_ONLY.
func (o *egressOptions) enforced(ctx context.Context, namespace string, stdio stdio) (*egress.View, error) {
	o.cluster.always = true
	injector, _, err := compileTexts(ctx, o.injectOptions, stdio.in, stdio.err)
	if err != nil {
		return nil, err
	}
	access, err := o.cluster.Config()
	if err != nil {
		return nil, err
	}
	access.QPS = -1 // the lists are paged, and read once
	client, err := kubernetes.NewForConfig(access)
	if err != nil {
		return nil, fmt.Errorf("create Kubernetes client: %w", err)
	}
	objects, err := dynamic.NewForConfig(access)
	if err != nil {
		return nil, fmt.Errorf("create Kubernetes client: %w", err)
	}
	watcher, err := o.readObjects(ctx, injector, client, objects)
	if err != nil {
		return nil, permission(err, "list these objects in all namespaces", "ask an administrator to run the command")
	}
	input, _ := watcher.Input()
	return rehearse.Enforced(input).View(namespace), nil
}
