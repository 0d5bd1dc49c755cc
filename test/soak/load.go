package soak

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// requestTimeout is more than the API server's timeout for a webhook, which is 5 s.
const requestTimeout = 20 * time.Second

// atOnce bounds the creations on their way: those of the webhook's whole timeout, 5 s,
// at 50 a second.
const atOnce = 250

// create creates pods at the rate until ctx ends, and deletes them. A creation that is
// late does not delay the next one.
func (r *run) create(ctx context.Context) {
	ticks := time.NewTicker(time.Second / time.Duration(r.Rate))
	defer ticks.Stop()
	var running sync.WaitGroup
	defer running.Wait()
	places := make(chan struct{}, atOnce)
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		}
		select {
		case places <- struct{}{}:
		default:
			r.report.skip()
			continue
		}
		running.Go(func() {
			defer func() { <-places }()
			r.report.add(r.one(context.WithoutCancel(ctx), fmt.Sprint(i)))
		})
	}
}

// outcome is that of one creation.
type outcome struct {
	at         time.Time // when it ended
	took       time.Duration
	uninjected bool
	err        error
}

// one creates a pod that no scheduler takes, and deletes it.
func (r *run) one(ctx context.Context, name string) outcome {
	limited, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	pods := r.kube.CoreV1().Pods(r.pods)
	began := time.Now()
	p, err := pods.Create(limited, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "soak-" + name, Labels: map[string]string{"app": "soak"}},
		Spec: corev1.PodSpec{
			SchedulerName: "none",
			Containers:    []corev1.Container{{Name: "app", Image: "app"}},
		},
	}, metav1.CreateOptions{})
	o := outcome{at: time.Now(), took: time.Since(began), err: err}
	if err != nil {
		return o
	}
	o.uninjected = !injected(p)
	// One that is not deleted here is deleted with the namespace.
	_ = pods.Delete(ctx, p.Name, metav1.DeleteOptions{GracePeriodSeconds: new(int64)})
	return o
}

func injected(p *corev1.Pod) bool {
	return slices.ContainsFunc(slices.Concat(p.Spec.InitContainers, p.Spec.Containers), func(c corev1.Container) bool { return c.Name == "istio-proxy" })
}
