package certs

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/outrider-mesh/outrider/annotation"
)

// report publishes what this replica serves for the leader, in a Lease of its own:
// annotation.ServingCA has the CAID of the CA certificate that signed it.
func report(ctx context.Context, client kubernetes.Interface, o *Options, serving string, more map[string]string) error {
	leases := client.CoordinationV1().Leases(o.Namespace)
	labels := o.ownLabels()
	labels[annotation.AppComponent] = component
	annotations := map[string]string{annotation.ServingCA: serving}
	maps.Copy(annotations, more)
	want := &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{
			Name: replicaLease + "-" + o.Identity, Labels: labels,
			Annotations: annotations,
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
		return fmt.Errorf("report serving certificate in Lease %s/%s: %w", o.Namespace, want.Name, err)
	}
	return nil
}

// deleteReport deletes the replica's Lease.
func deleteReport(ctx context.Context, client kubernetes.Interface, o *Options) error {
	return client.CoordinationV1().Leases(o.Namespace).Delete(ctx, replicaLease+"-"+o.Identity, metav1.DeleteOptions{})
}

// reportsExpired is how many reports a replica may miss where there is no leader, which
// measures their age by a clock of its own.
const reportsExpired = 10 * reportsMissed

// deleteExpired deletes the Leases of replicas that are gone.
func deleteExpired(ctx context.Context, client kubernetes.Interface, o *Options) error {
	own := o.ownLabels()
	own[annotation.AppComponent] = component
	leases, err := client.CoordinationV1().Leases(o.Namespace).List(ctx, metav1.ListOptions{
		LabelSelector: metav1.FormatLabelSelector(&metav1.LabelSelector{MatchLabels: own}),
	})
	if err != nil {
		return fmt.Errorf("list Leases of replicas: %w", err)
	}
	for _, l := range leases.Items {
		if l.Spec.RenewTime == nil || o.Now().Sub(l.Spec.RenewTime.Time) < reportsExpired*o.Timing.Report {
			continue
		}
		err := client.CoordinationV1().Leases(o.Namespace).Delete(ctx, l.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{ResourceVersion: &l.ResourceVersion}})
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			return fmt.Errorf("delete Lease %s/%s of a replica that is gone: %w", o.Namespace, l.Name, err)
		}
	}
	return nil
}

// replicas are the reports as the leader observes them. A report's age is measured
// from its observation, by the leader's own clock: the replicas' may differ.
type replicas struct {
	mu   sync.Mutex
	seen map[string]observation
}

type observation struct {
	serving, version string
	at               time.Time
}

// observe records a Lease. One that is observed again unchanged keeps its age.
func (r *replicas) observe(l *coordinationv1.Lease, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen == nil {
		r.seen = map[string]observation{}
	}
	if r.seen[l.Name].version != l.ResourceVersion {
		r.seen[l.Name] = observation{l.Annotations[annotation.ServingCA], l.ResourceVersion, now}
	}
}

func (r *replicas) forget(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.seen, name)
}

// live lists what the live replicas serve, and the Leases of those that are gone.
func (r *replicas) live(now time.Time, after time.Duration) (serving, gone []string) {
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
