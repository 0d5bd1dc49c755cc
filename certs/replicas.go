package certs

import (
	"context"
	"fmt"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// annotationServing, on a replica's lease, names the authority that signed what
// the replica serves, as AuthorityID does.
const annotationServing = "outrider/serving-authority"

// report tells the leader what this replica serves, in a lease of its own.
func report(ctx context.Context, client kubernetes.Interface, o *Options, serving string) error {
	leases := client.CoordinationV1().Leases(o.Namespace)
	labels := o.ours()
	labels[labelComponent] = component
	want := &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{
			Name: replicaLease + "-" + o.Identity, Labels: labels,
			Annotations: map[string]string{annotationServing: serving},
		},
		Spec: coordinationv1.LeaseSpec{
			HolderIdentity:       new(o.Identity),
			LeaseDurationSeconds: new(max(1, int32((reportsMissed * o.Timing.Report).Seconds()))),
			RenewTime:            new(metav1.NewMicroTime(o.Now())),
		},
	}
	have, err := leases.Get(ctx, want.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		_, err = leases.Create(ctx, want, metav1.CreateOptions{})
	} else if err == nil {
		want.ResourceVersion = have.ResourceVersion
		_, err = leases.Update(ctx, want, metav1.UpdateOptions{})
	}
	if err != nil {
		return fmt.Errorf("report what this replica serves in Lease %s/%s: %w", o.Namespace, want.Name, err)
	}
	return nil
}

// leave takes the replica's lease away.
func leave(ctx context.Context, client kubernetes.Interface, o *Options) error {
	return client.CoordinationV1().Leases(o.Namespace).Delete(ctx, replicaLease+"-"+o.Identity, metav1.DeleteOptions{})
}

// replicas are the reports as the leader sees them. A report's age is measured
// from when it was seen, by the leader's own clock: the replicas' may differ.
type replicas struct {
	mu   sync.Mutex
	seen map[string]sighting
}

type sighting struct {
	serving, version string
	at               time.Time
}

// see notes a lease. A lease seen again without a change is as old as before.
func (r *replicas) see(l *coordinationv1.Lease, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen == nil {
		r.seen = map[string]sighting{}
	}
	if r.seen[l.Name].version != l.ResourceVersion {
		r.seen[l.Name] = sighting{l.Annotations[annotationServing], l.ResourceVersion, now}
	}
}

func (r *replicas) forget(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.seen, name)
}

// alive lists what the replicas alive serve, and the leases of those gone.
func (r *replicas) alive(now time.Time, after time.Duration) (serving, gone []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, s := range r.seen {
		if now.Sub(s.at) > after {
			gone = append(gone, name)
		} else {
			serving = append(serving, s.serving)
		}
	}
	return serving, gone
}
