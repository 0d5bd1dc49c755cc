package live

import (
	"context"
	"fmt"
	"strings"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/outrider-mesh/outrider/annotation"
	"github.com/outrider-mesh/outrider/check"
)

// right is a permission that the run needs.
type right struct{ group, resource, subresource, verb string }

func (g right) String() string {
	name := g.resource
	if g.subresource != "" {
		name += "/" + g.subresource
	}
	if g.group != "" {
		name += "." + g.group
	}
	return g.verb + " " + name
}

// clusterRights are for a namespace of its own.
var clusterRights = []right{{"", "namespaces", "", "create"}, {"", "namespaces", "", "delete"}}

// namespaceRights are in the namespace of the pods.
var namespaceRights = []right{
	{"", "pods", "", "create"}, {"", "pods", "", "get"}, {"", "pods", "", "delete"}, {"", "pods", "log", "get"},
	{"networking.istio.io", "serviceentries", "", "create"}, {"networking.istio.io", "serviceentries", "", "delete"},
}

// rights asks the API server for all permissions, so that what is missing is known at once
// and before anything is created.
func (r *run) rights(ctx context.Context) error {
	in := r.In
	if in == "" {
		in = "outrider-check-" + r.id
	}
	var cluster, namespaced []string
	entries := true
	for _, g := range clusterRights {
		if r.In == "" && !r.may(ctx, g, "") {
			cluster = append(cluster, g.String())
		}
	}
	for _, g := range namespaceRights {
		switch {
		case r.may(ctx, g, in):
		case g.group != "":
			entries = false
		default:
			namespaced = append(namespaced, g.String())
		}
	}
	if !entries {
		r.note("a declared host cannot be tried without the permissions to create and delete serviceentries.networking.istio.io")
	}
	if len(cluster)+len(namespaced) == 0 {
		return nil
	}
	stop := &check.Stop{What: "Permissions are missing; nothing was created.", Details: append(cluster, namespaced...), Fix: "ask for them"}
	if len(cluster) > 0 {
		stop.Fix = "ask for them, or name a namespace of yours with -n, in which the pods are created in place of one of their own"
	} else {
		stop.Commands = []string{roleFor(in)}
	}
	return stop
}

// may asks whether the user has a permission. Where that is not known, it is tried.
func (r *run) may(ctx context.Context, g right, namespace string) bool {
	review, err := r.client.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, &authorizationv1.SelfSubjectAccessReview{
		Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{
			Namespace: namespace, Group: g.group, Resource: g.resource, Subresource: g.subresource, Verb: g.verb,
		}},
	}, metav1.CreateOptions{})
	return err != nil || review.Status.Allowed
}

// roleFor is a command for an administrator.
func roleFor(namespace string) string {
	return fmt.Sprintf(`kubectl apply -f - <<EOF
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: outrider-check-traffic, namespace: %[1]s}
rules:
- {apiGroups: [""], resources: [pods], verbs: [create, get, list, delete]}
- {apiGroups: [""], resources: [pods/log], verbs: [get]}
- {apiGroups: [networking.istio.io], resources: [serviceentries], verbs: [create, list, delete]}
EOF
kubectl -n %[1]s create rolebinding outrider-check-traffic --role=outrider-check-traffic --user=USER`, namespace)
}

// created is what the run has created.
type created struct {
	namespace string
	pods      []string
	entry     string
	entries   schema.GroupVersionResource
}

// cleanUp removes what the run has created.
func (r *run) cleanUp(ctx context.Context) {
	if r.created.namespace == "" && len(r.created.pods) == 0 && r.created.entry == "" {
		return
	}
	r.Progress("removing what was created")
	ctx, cancel := context.WithTimeout(ctx, cleanupTimeout)
	defer cancel()
	now := metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))}
	if name := r.created.namespace; name != "" {
		r.removed(ctx, "namespace/"+name, "kubectl delete namespace "+name, func(ctx context.Context) error {
			return r.client.CoreV1().Namespaces().Delete(ctx, name, metav1.DeleteOptions{})
		})
		return
	}
	of := fmt.Sprintf("kubectl -n %s delete pods,serviceentries -l %s=%s", r.facts.Namespace, annotation.CheckRun, r.id)
	if name := r.created.entry; name != "" {
		r.removed(ctx, "serviceentry/"+name, of, func(ctx context.Context) error {
			return r.dynamic.Resource(r.created.entries).Namespace(r.facts.Namespace).Delete(ctx, name, metav1.DeleteOptions{})
		})
	}
	for _, name := range r.created.pods {
		r.removed(ctx, "pod/"+name, of, func(ctx context.Context) error {
			return r.client.CoreV1().Pods(r.facts.Namespace).Delete(ctx, name, now)
		})
	}
}

// removed removes an object, also where the API server does not answer the first time; what
// stays is reported.
func (r *run) removed(ctx context.Context, name, command string, remove func(context.Context) error) {
	for {
		err := remove(ctx)
		if err == nil || apierrors.IsNotFound(err) {
			return
		}
		if ctx.Err() != nil || apierrors.IsForbidden(err) {
			r.Progress(fmt.Sprintf("%s could not be removed: %v; remove it: %s", name, err, command))
			r.facts.Leftovers = append(r.facts.Leftovers, check.Leftover{Name: name, Note: err.Error(), Command: command})
			return
		}
		sleep(ctx, time.Second)
	}
}

// removeLeftovers removes what runs have left that were killed: what is older than the
// longest time that its run may have taken. Another run may still be active.
func (r *run) removeLeftovers(ctx context.Context, now time.Time) {
	selector := metav1.ListOptions{LabelSelector: annotation.CheckRun, Limit: 500}
	if r.In == "" {
		found, err := r.client.CoreV1().Namespaces().List(ctx, selector)
		if err != nil {
			r.note("what earlier runs have left was not looked for: " + err.Error())
			return
		}
		for i := range found.Items {
			n := &found.Items[i]
			if n.DeletionTimestamp == nil {
				r.leftover(ctx, "namespace/"+n.Name, "kubectl delete namespace "+n.Name, n.Annotations, now, func(ctx context.Context) error {
					return r.client.CoreV1().Namespaces().Delete(ctx, n.Name, metav1.DeleteOptions{})
				})
			}
		}
		return
	}
	command := fmt.Sprintf("kubectl -n %s delete pods,serviceentries -l %s", r.In, annotation.CheckRun)
	pods, err := r.client.CoreV1().Pods(r.In).List(ctx, selector)
	if err != nil {
		r.note("what earlier runs have left was not looked for: " + err.Error())
		return
	}
	for i := range pods.Items {
		p := &pods.Items[i]
		if p.DeletionTimestamp == nil {
			r.leftover(ctx, "pod/"+p.Name, command, p.Annotations, now, func(ctx context.Context) error {
				return r.client.CoreV1().Pods(r.In).Delete(ctx, p.Name, metav1.DeleteOptions{})
			})
		}
	}
	resource := schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: "serviceentries"}
	entries, err := r.dynamic.Resource(resource).Namespace(r.In).List(ctx, selector)
	if err != nil {
		return // it is not declared either, which has a note
	}
	for i := range entries.Items {
		e := &entries.Items[i]
		r.leftover(ctx, "serviceentry/"+e.GetName(), command, e.GetAnnotations(), now, func(ctx context.Context) error {
			return r.dynamic.Resource(resource).Namespace(r.In).Delete(ctx, e.GetName(), metav1.DeleteOptions{})
		})
	}
}

func (r *run) leftover(ctx context.Context, name, command string, annotations map[string]string, now time.Time, remove func(context.Context) error) {
	l := check.Leftover{Name: name, Command: command}
	until, err := time.Parse(time.RFC3339, annotations[untilAnnotation])
	switch {
	case err == nil && now.Before(until):
		l.Note = "the run may be active until " + until.Format(time.RFC3339) + "; a later run removes it"
	default:
		if err := remove(ctx); err != nil && !apierrors.IsNotFound(err) {
			l.Note = strings.TrimSpace(err.Error())
		} else {
			l.Removed = true
		}
	}
	r.facts.Leftovers = append(r.facts.Leftovers, l)
}
