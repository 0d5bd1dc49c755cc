package live

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/outrider-mesh/outrider/egress/report"
	"github.com/outrider-mesh/outrider/egress/xds"
	"github.com/outrider-mesh/outrider/inject"
)

const (
	// podsPerSecond are the pods that are read: after a start every sidecar with undeclared
	// traffic is one.
	podsPerSecond = 50
	podTimeout    = 10 * time.Second
	// A pod does not change its controller. An entry takes some 300 bytes.
	cachedPods = 10_000
	knownFor   = time.Hour
	// A pod that could not be read is read again.
	unknownFor = time.Minute
)

// Workload is what the pod of an identity belongs to: its controller, by the rules of
// injection. Where the pod cannot be read it is the pod, and without a pod the service
// account.
func (r *Recorder) Workload(ctx context.Context, of xds.Identity) report.Workload {
	if of.Pod == "" {
		return report.Workload{Kind: "ServiceAccount", Name: of.ServiceAccount}
	}
	if w, ok := r.workloads.Get(of); ok {
		return w.(report.Workload)
	}
	w, _, _ := r.flight.Do(fmt.Sprint(of), func() (any, error) { // the workload, never an error
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), podTimeout)
		defer cancel()
		w, err := r.read(ctx, of)
		known := knownFor
		if err != nil {
			r.options.Log.V(1).Info("workload of a pod is unknown", "pod", of.String(), "reason", err.Error())
			known = unknownFor
		}
		r.workloads.Add(of, w, known)
		return w, nil
	})
	return w.(report.Workload)
}

func (r *Recorder) read(ctx context.Context, of xds.Identity) (report.Workload, error) {
	itself := report.Workload{Kind: "Pod", Name: of.Pod}
	if err := r.pods.Wait(ctx); err != nil {
		return itself, fmt.Errorf("wait: %w", err)
	}
	pod, err := r.options.Pods.Pods(of.Namespace).Get(ctx, of.Pod, metav1.GetOptions{})
	if err != nil {
		return itself, fmt.Errorf("get pod: %w", err)
	}
	if string(pod.UID) != of.PodUID {
		return itself, fmt.Errorf("the pod has uid %s, and the token %s", pod.UID, of.PodUID)
	}
	owner := inject.OwnerOf(pod)
	return report.Workload{Kind: owner.Kind, Name: owner.Name}, nil
}
