package main

import (
	"context"
	"fmt"
	"io"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/outrider-mesh/outrider/check/live"
	"github.com/outrider-mesh/outrider/internal/kubeconfig"
	"github.com/outrider-mesh/outrider/lifecycle"
	"github.com/outrider-mesh/outrider/status"
)

// proxyOf reads POD or pod/POD.
func proxyOf(arg, namespace string, access kubeconfig.Access, i lifecycle.Installation) (live.Proxy, error) {
	resource, name, err := workloadOf(arg)
	if err != nil || resource.Resource != "pods" {
		return live.Proxy{}, usagef("--proxy: %q: not a pod; name one of the workload's pods", arg)
	}
	if namespace == "" {
		if namespace, err = access.Namespace(); err != nil {
			return live.Proxy{}, err
		}
	}
	return live.Proxy{Namespace: namespace, Name: name, Compare: func(ctx context.Context, pod *corev1.Pod) (*status.Report, error) {
		o := statusOptions{namespace: namespace, istioNamespace: i.Namespace, revisionName: string(i.Revision), access: access}
		c, err := o.prepare(ctx, nil, newProgress(io.Discard))
		if err != nil {
			return nil, err
		}
		collector := status.NewCollector(c.input, time.Now())
		if err := collector.Add(pod); err != nil {
			return nil, fmt.Errorf("compare the pod: %w", err)
		}
		report := collector.Report()
		if c.input.Registered.Unread != "" || len(c.input.Namespaces) == 0 {
			report.Missing = nil
		}
		return &report, nil
	}}, nil
}
