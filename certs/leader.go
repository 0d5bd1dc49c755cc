package certs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"

	"github.com/outrider-mesh/outrider/annotation"
)

// leader is one term of leadership.
type leader struct {
	*Manager
	loop      loop
	publisher *publisher
	replicas  replicas
	invalid   string // the error of the Secrets, as last logged
}

// lead does the leader's work until ctx ends.
func (k *Manager) lead(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	var informers, loops sync.WaitGroup
	defer informers.Wait()
	defer cancel()
	start := func(i cache.SharedIndexInformer) error {
		informers.Go(func() { i.RunWithContext(ctx) })
		return nil
	}
	k.log.Info("leading: issues certificates and publishes the CA bundle", "identity", k.options.Identity)
	k.metrics.leader.Set(1)
	defer k.metrics.leader.Set(0)

	l := &leader{Manager: k, loop: newLoop()}
	l.publisher = newPublisher(&k.options, k.client, k.metadata, k.registrations, k.metrics, k.log)
	l.publisher.done = l.loop.trigger
	k.leading.Store(&l.loop) // changes of the Secret and the webhook configurations trigger it
	defer k.leading.Store(nil)

	if err := l.followReplicas(ctx, start); err != nil {
		if ctx.Err() == nil {
			k.log.Error(err, "failed to start leading")
		}
		return
	}
	loops.Go(func() {
		l.loop.run(ctx, k.options.Timing.Resync, k.log.WithName("secret"), l.reconcile)
	})
	// Separate, so that many namespaces do not delay a certificate.
	if err := l.publisher.start(ctx, start); err != nil && ctx.Err() == nil {
		k.log.Error(err, "failed to publish the CA bundle in ConfigMaps")
	} else if ctx.Err() == nil {
		loops.Go(func() {
			l.publisher.loop.run(ctx, k.options.Timing.Resync, k.log.WithName("configmaps"), l.publisher.reconcile)
		})
	}
	loops.Wait()
	k.log.Info("no longer leading", "identity", k.options.Identity)
}

// followReplicas watches the replicas' reports.
func (l *leader) followReplicas(ctx context.Context, start func(cache.SharedIndexInformer) error) error {
	own := l.options.ownLabels()
	own[annotation.AppComponent] = component
	leases := informers.NewSharedInformerFactoryWithOptions(l.client, 0,
		informers.WithNamespace(l.options.Namespace),
		informers.WithTweakListOptions(func(o *metav1.ListOptions) {
			o.LabelSelector = metav1.FormatLabelSelector(&metav1.LabelSelector{MatchLabels: own})
		})).Coordination().V1().Leases().Informer()
	see := func(object any) {
		if lease, ok := object.(*coordinationv1.Lease); ok {
			l.replicas.observe(lease, time.Now())
		}
	}
	_, err := leases.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(object any) { see(object); l.loop.trigger() },
		UpdateFunc: func(old, object any) {
			see(object)
			if was, ok := old.(*coordinationv1.Lease); ok && was.Annotations[annotation.ServingCA] != object.(*coordinationv1.Lease).Annotations[annotation.ServingCA] {
				l.loop.trigger() // what a rotation waits for
			}
		},
		DeleteFunc: func(object any) {
			if key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(object); err == nil {
				_, name, _ := cache.SplitMetaNamespaceKey(key)
				l.replicas.forget(name)
				l.loop.trigger()
			}
		},
	})
	if err != nil {
		return fmt.Errorf("watch replicas: %w", err)
	}
	if err := start(leases); err != nil {
		return err
	}
	synced := []cache.InformerSynced{leases.HasSynced, l.registrations.mutating.HasSynced, l.registrations.validating.HasSynced}
	if l.secret != nil {
		synced = append(synced, l.secret.HasSynced, l.keySecret.HasSynced)
	}
	if !cache.WaitForCacheSync(ctx.Done(), synced...) {
		return ctx.Err()
	}
	return nil
}

// reconcile brings the Secrets, the webhook configurations and the published bundle
// to their desired state.
func (l *leader) reconcile(ctx context.Context) error {
	bundle, err := l.bundle(ctx)
	if bundle == nil {
		return err
	}
	l.publisher.offer(bundle)
	return errors.Join(err,
		l.registrations.publish(ctx, bundle, func(kind string, err error) {
			l.metrics.patches.WithLabelValues(kind, result(err, "patched")).Inc()
			l.log.Info("caBundle patched", "kind", kind, "name", l.options.Registration, "result", result(err, "patched"))
		}),
		l.deleteGone(ctx))
}

// bundle is the CA bundle to publish; nil while it is unknown.
func (l *leader) bundle(ctx context.Context) ([]byte, error) {
	if l.options.External != nil {
		return l.fileBundle()
	}
	state, err := l.reconcileSecrets(ctx)
	if state == nil {
		return nil, err
	}
	if len(state.CACerts) == 0 {
		return nil, fmt.Errorf("externally managed Secret %s/%s has no CA certificate in key %s; add one, or delete the Secret to let Outrider issue one",
			l.options.Namespace, l.options.name(SecretName), BundleFile)
	}
	l.metrics.ca(state.CACerts[0])
	return state.Bundle(), err
}

// fileBundle reads the CA file. A bundle that does not verify the serving
// certificate is not published: it would disconnect every client.
func (l *leader) fileBundle() ([]byte, error) {
	text, err := os.ReadFile(l.options.CAFile)
	if err != nil {
		return nil, fmt.Errorf("read CA bundle: %w", err)
	}
	served, err := l.GetCertificate(nil)
	if err != nil {
		return nil, err
	}
	if err := ChainsTo(served, text, l.options.Now()); err != nil {
		return nil, fmt.Errorf("%s: CA bundle does not verify the serving certificate; not publishing: %w", l.options.CAFile, err)
	}
	return text, nil
}

// deleteGone deletes the leases of replicas that are gone.
func (l *leader) deleteGone(ctx context.Context) error {
	_, gone := l.replicas.live(time.Now(), reportsMissed*l.options.Timing.Report)
	slices.Sort(gone)
	var errs []error
	for _, name := range gone {
		err := l.client.CoordinationV1().Leases(l.options.Namespace).Delete(ctx, name, metav1.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			errs = append(errs, fmt.Errorf("delete lease of a replica that is gone: %w", err))
		}
	}
	return errors.Join(errs...)
}
