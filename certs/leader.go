package certs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
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
	invalid   string // the error of the Secret, as last logged
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
		synced = append(synced, l.secret.HasSynced)
	}
	if !cache.WaitForCacheSync(ctx.Done(), synced...) {
		return ctx.Err()
	}
	return nil
}

// reconcile brings the Secret, the webhook configurations and the published bundle
// to their desired state.
func (l *leader) reconcile(ctx context.Context) error {
	bundle, err := l.bundle(ctx)
	if err != nil || bundle == nil {
		return err
	}
	l.publisher.offer(bundle)
	return errors.Join(
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
	state, err := l.reconcileSecret(ctx)
	if err != nil || state == nil {
		return nil, err
	}
	if len(state.CACerts) == 0 {
		return nil, fmt.Errorf("externally managed Secret %s/%s has no CA certificate in key %s; add one, or delete the Secret to let Outrider issue one",
			l.options.Namespace, l.options.name(SecretName), BundleFile)
	}
	l.metrics.ca(state.CACerts[0])
	return state.Bundle(), nil
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

// reconcileSecret brings the Secret to what the policy decides. The state is nil
// after a concurrent modification, which triggers the next pass.
func (l *leader) reconcileSecret(ctx context.Context) (*State, error) {
	secret := l.stored()
	var data map[string][]byte
	if secret != nil {
		data = secret.Data
	}
	state, err := ParseState(data)
	l.logInvalid(err)
	// An empty Secret may be created in advance, for Outrider to fill.
	external := secret != nil && !l.options.owns(secret.Labels) && len(secret.Data[CertificateFile]) > 0
	restored := false
	if !external {
		state, restored = state.restoredFrom(l.last.Load())
	}
	next, done, err := Converge(state, l.facts(state, external), l.options.Lifetimes)
	if err != nil {
		return nil, fmt.Errorf("reconcile Secret %s/%s: %w", l.options.Namespace, l.options.name(SecretName), err)
	}
	if len(done) == 0 && !restored {
		return &next, nil
	}
	err = l.store(ctx, secret, next)
	if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("write Secret %s/%s: %w", l.options.Namespace, l.options.name(SecretName), err)
	}
	if restored {
		l.log.Info("restored missing Secret data from memory", "namespace", l.options.Namespace, "name", l.options.name(SecretName))
	}
	for _, d := range done {
		l.metrics.issued.WithLabelValues(string(d.Action), d.Reason).Inc()
		l.log.Info("certificates changed", "action", string(d.Action), "reason", d.Reason, "because", d.Why, "caCertificates", len(next.CACerts))
	}
	return &next, nil
}

func (l *leader) facts(state State, external bool) Facts {
	serving, _ := l.replicas.live(time.Now(), reportsMissed*l.options.Timing.Report)
	bundle := state.Bundle()
	return Facts{
		Now: l.options.Now(), Hosts: l.options.Hosts, Serving: serving, External: external,
		Published: l.registrations.hold(bundle) && l.publisher.holds(bundle),
	}
}

// store writes the state to the version of the Secret it was made from, and to no
// other.
func (l *leader) store(ctx context.Context, old *corev1.Secret, s State) error {
	data, err := s.Data()
	if err != nil {
		return err
	}
	secrets := l.client.CoreV1().Secrets(l.options.Namespace)
	if old == nil {
		_, err = secrets.Create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: l.options.name(SecretName), Namespace: l.options.Namespace, Labels: l.options.ownLabels()},
			Type:       corev1.SecretTypeTLS, Data: data,
		}, metav1.CreateOptions{FieldManager: managedBy})
		return err
	}
	next := old.DeepCopy()
	if next.Labels == nil {
		next.Labels = map[string]string{}
	}
	maps.Copy(next.Labels, l.options.ownLabels())
	next.Data = data
	_, err = secrets.Update(ctx, next, metav1.UpdateOptions{FieldManager: managedBy})
	return err
}

// logInvalid logs an error of the Secret, once.
func (l *leader) logInvalid(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != "" && text != l.invalid {
		l.log.Error(err, "Secret contains invalid data, ignoring it", "namespace", l.options.Namespace, "name", l.options.name(SecretName))
	}
	l.invalid = text
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
