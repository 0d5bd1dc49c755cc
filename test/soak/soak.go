package soak

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/outrider-mesh/outrider/test/kit"
	"github.com/outrider-mesh/outrider/test/mesh"
)

// system is the namespace of the product.
const system = "istio-system"

// Options of a run.
type Options struct {
	Mesh *mesh.Mesh
	// Duration is how long pods are created, and Rate how many a second.
	Duration time.Duration
	Rate     int
	// Kill kills the replicas' processes; otherwise their pods are deleted.
	Kill bool
	// Every is the time between the ends of replicas: of the webhook and, half of it
	// later, of the control plane.
	Every time.Duration
	// Rotations of the CA, Edits of the two ConfigMaps, Rolls of the Deployments and
	// Restarts of the API server are spread over Duration.
	Rotations, Edits, Rolls, Restarts int
	// App is the image of test/attack/cmd/tenant, which sends requests with a sidecar.
	// Without it none are sent.
	App string
	// Log receives a line for each disturbance.
	Log func(format string, args ...any)
}

// run is a run on its way.
type run struct {
	Options
	kube    *kubernetes.Clientset
	objects *dynamic.DynamicClient
	report  *Report
	pods    string // their namespace
}

// Run soaks the product, and reports the outcomes.
func Run(ctx context.Context, o Options) (*Report, error) {
	config, err := clientcmd.BuildConfigFromFlags("", o.Mesh.Kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("soak: %w", err)
	}
	config.QPS, config.WarningHandler = -1, rest.NoWarnings{}
	r := &run{Options: o, report: newReport(o)}
	if r.kube, err = kubernetes.NewForConfig(config); err == nil {
		r.objects, err = dynamic.NewForConfig(config)
	}
	if err == nil {
		err = r.namespace(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("soak: %w", err)
	}
	defer r.cleanUp(context.WithoutCancel(ctx))
	if err := r.soak(ctx); err != nil {
		return r.report, fmt.Errorf("soak: %w", err)
	}
	return r.report, nil
}

func (r *run) soak(ctx context.Context) error {
	app, err := r.startApp(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, r.Duration)
	defer cancel()
	r.report.began = time.Now()
	var works sync.WaitGroup
	works.Go(func() { r.create(ctx) })
	works.Go(func() { r.disturb(ctx) })
	works.Go(func() { app.edit(ctx) })
	works.Go(func() { r.repeat(ctx, 0, time.Second, func() { r.seeCertificate(ctx) }) })
	works.Wait()
	// What is not over when the time is up may still be: the replicas come back.
	over, cancel := context.WithTimeout(context.WithoutCancel(ctx), recovery)
	defer cancel()
	return errors.Join(r.recovers(over), app.tally(over))
}

// recovery is how long the product may take to be whole again after the last
// disturbance, on a busy machine.
const recovery = 90 * time.Second

// recovers waits until all replicas are ready and a pod is created with its sidecar.
func (r *run) recovers(ctx context.Context) error {
	_, err := kit.Wait{For: recovery, Every: 200 * time.Millisecond}.Until(ctx, func() error {
		for name := range components {
			if err := r.whole(ctx, name); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("the replicas are not ready again: %w", err)
	}
	if o := r.one(ctx, "last"); o.err != nil || o.uninjected {
		return fmt.Errorf("a pod after the last disturbance: has no sidecar: %v, %w", o.uninjected, o.err)
	}
	return nil
}

func (r *run) namespace(ctx context.Context) error {
	ns, err := r.kube.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		GenerateName: "soak-", Labels: map[string]string{"istio-injection": "enabled"},
	}}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	r.pods = ns.Name
	_, err = kit.Wait{}.Until(ctx, func() error {
		_, err := r.kube.CoreV1().ServiceAccounts(r.pods).Get(ctx, "default", metav1.GetOptions{})
		return err
	})
	return err
}

// cleanUp removes the namespace, with all that is in it.
func (r *run) cleanUp(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, recovery)
	defer cancel()
	_, err := kit.Wait{For: recovery, Every: time.Second}.Until(ctx, func() error {
		return r.kube.CoreV1().Namespaces().Delete(ctx, r.pods, metav1.DeleteOptions{})
	})
	if err != nil {
		r.Log("the namespace %s is left behind: %v", r.pods, err)
	}
}
