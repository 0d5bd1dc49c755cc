package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/outrider-mesh/outrider/annotation"
)

// notYet is the reason where no other is found.
const notYet = "a host is reported up to a minute after a pod with a sidecar connects to it"

// whyNone is why no host is listed, and what to do.
func (o *egressOptions) whyNone(ctx context.Context, s *seen) string {
	in := "-A"
	if s.namespace != "" {
		in = "-n " + s.namespace
	}
	switch {
	case s.reports > 0:
		return "hosts are reported, but none that the flags select"
	case o.reportsDisabled(ctx):
		return "reports are disabled (--egress-reports=false); set egressReports.enabled in the values of the chart"
	case !o.anySidecar(ctx, s.namespace):
		return fmt.Sprintf("no pod has a sidecar there; \"outrider status %s\" shows why", in)
	}
	return notYet
}

// reportsDisabled reports whether a Deployment of the control plane disables reports;
// false where they cannot be read.
func (o *egressOptions) reportsDisabled(ctx context.Context) bool {
	access, err := o.cluster.Config()
	if err != nil {
		return false
	}
	client, err := kubernetes.NewForConfig(access)
	if err != nil {
		return false
	}
	all, err := client.AppsV1().Deployments(cmp.Or(o.cluster.namespace, "istio-system")).List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/part-of=outrider"})
	if err != nil {
		return false
	}
	for _, d := range all.Items {
		for _, c := range d.Spec.Template.Spec.Containers {
			if slices.Contains(c.Args, "--egress-reports=false") {
				return true
			}
		}
	}
	return false
}

// errFound ends a list.
var errFound = errors.New("found")

// anySidecar reports whether a pod of the namespace, or of any, has a sidecar; true where
// pods cannot be read.
func (o *egressOptions) anySidecar(ctx context.Context, namespace string) bool {
	return o.eachPod(ctx, namespace, "", func(p *corev1.Pod) error {
		if p.Annotations[annotation.SidecarStatus] != "" {
			return errFound
		}
		return nil
	}) != nil
}
