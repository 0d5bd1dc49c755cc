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
)

// leader is one term of leadership.
type leader struct {
	*Keeper
	loop      loop
	publisher *publisher
	replicas  replicas
	problem   string // of the Secret, as last logged
}

// lead does the leader's work until ctx ends.
func (k *Keeper) lead(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	var informers, loops sync.WaitGroup
	defer informers.Wait()
	defer cancel()
	start := func(i cache.SharedIndexInformer) error {
		informers.Go(func() { i.RunWithContext(ctx) })
		return nil
	}
	k.log.Info("leading: this replica issues certificates and publishes authorities", "identity", k.options.Identity)
	k.metrics.leader.Set(1)
	defer k.metrics.leader.Set(0)

	l := &leader{Keeper: k, loop: newLoop()}
	l.publisher = newPublisher(&k.options, k.client, k.metadata, k.registrations, k.metrics, k.log)
	l.publisher.done = l.loop.poke
	k.led.Store(&l.loop) // changes of Secret and registrations arrive there
	defer k.led.Store(nil)

	if err := l.followReplicas(ctx, start); err != nil {
		if ctx.Err() == nil {
			k.log.Error(err, "cannot lead")
		}
		return
	}
	loops.Go(func() {
		l.loop.run(ctx, k.options.Timing.Resync, k.log.WithName("authority"), l.pass)
	})
	// Apart, so that many namespaces do not keep a certificate waiting.
	if err := l.publisher.start(ctx, start); err != nil && ctx.Err() == nil {
		k.log.Error(err, "cannot publish the authorities in ConfigMaps")
	} else if ctx.Err() == nil {
		loops.Go(func() {
			l.publisher.loop.run(ctx, k.options.Timing.Resync, k.log.WithName("configmaps"), l.publisher.pass)
		})
	}
	loops.Wait()
	k.log.Info("no longer leading", "identity", k.options.Identity)
}

// followReplicas keeps up with the replicas' reports.
func (l *leader) followReplicas(ctx context.Context, start func(cache.SharedIndexInformer) error) error {
	own := l.options.ours()
	own[labelComponent] = component
	leases := informers.NewSharedInformerFactoryWithOptions(l.client, 0,
		informers.WithNamespace(l.options.Namespace),
		informers.WithTweakListOptions(func(o *metav1.ListOptions) {
			o.LabelSelector = metav1.FormatLabelSelector(&metav1.LabelSelector{MatchLabels: own})
		})).Coordination().V1().Leases().Informer()
	see := func(object any) {
		if lease, ok := object.(*coordinationv1.Lease); ok {
			l.replicas.see(lease, time.Now())
		}
	}
	_, err := leases.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(object any) { see(object); l.loop.poke() },
		UpdateFunc: func(old, object any) {
			see(object)
			if was, ok := old.(*coordinationv1.Lease); ok && was.Annotations[annotationServing] != object.(*coordinationv1.Lease).Annotations[annotationServing] {
				l.loop.poke() // what a rotation waits for
			}
		},
		DeleteFunc: func(object any) {
			if key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(object); err == nil {
				_, name, _ := cache.SplitMetaNamespaceKey(key)
				l.replicas.forget(name)
				l.loop.poke()
			}
		},
	})
	if err != nil {
		return fmt.Errorf("follow the replicas: %w", err)
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

// pass brings the Secret, the registrations and the bundle to be published to
// what they should be.
func (l *leader) pass(ctx context.Context) error {
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
		l.sweep(ctx))
}

// bundle is what is to be trusted; nil when that is not known yet.
func (l *leader) bundle(ctx context.Context) ([]byte, error) {
	if l.options.External != nil {
		return l.fileBundle()
	}
	state, err := l.settle(ctx)
	if err != nil || state == nil {
		return nil, err
	}
	if len(state.Authorities) == 0 {
		return nil, fmt.Errorf("key %s of Secret %s/%s, which somebody else keeps, holds no authority to publish; add it, or remove the Secret to have one made",
			BundleFile, l.options.Namespace, l.options.name(SecretName))
	}
	l.metrics.authority(state.Authorities[0])
	return state.Bundle(), nil
}

// fileBundle reads the file that was named. One that does not vouch for what is
// served is not published: it would cut off every client.
func (l *leader) fileBundle() ([]byte, error) {
	text, err := os.ReadFile(l.options.CAFile)
	if err != nil {
		return nil, fmt.Errorf("read the authorities to publish: %w", err)
	}
	served, err := l.GetCertificate(nil)
	if err != nil {
		return nil, err
	}
	if err := ChainsTo(served, text, l.options.Now()); err != nil {
		return nil, fmt.Errorf("%s does not vouch for the certificate that is served, so it is not published: %w", l.options.CAFile, err)
	}
	return text, nil
}

// settle brings the Secret to what the policy wants. The state is nil where
// somebody else's write came before; that write starts the next pass.
func (l *leader) settle(ctx context.Context) (*State, error) {
	secret := l.stored()
	var data map[string][]byte
	if secret != nil {
		data = secret.Data
	}
	state, err := ParseState(data)
	l.noteProblem(err)
	// An empty Secret may be made in advance, for us to fill.
	foreign := secret != nil && !l.options.isOurs(secret.Labels) && len(secret.Data[CertificateFile]) > 0
	restored := false
	if !foreign {
		state, restored = state.or(l.last.Load())
	}
	next, done, err := Settled(state, l.facts(state, foreign), l.options.Lifetimes)
	if err != nil {
		return nil, fmt.Errorf("keep Secret %s/%s: %w", l.options.Namespace, l.options.name(SecretName), err)
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
		l.log.Info("what the Secret lost was written back from what this replica still had", "namespace", l.options.Namespace, "name", l.options.name(SecretName))
	}
	for _, d := range done {
		l.metrics.issued.WithLabelValues(string(d.Action), d.Reason).Inc()
		l.log.Info("certificates changed", "action", string(d.Action), "reason", d.Reason, "because", d.Why, "authorities", len(next.Authorities))
	}
	return &next, nil
}

func (l *leader) facts(state State, foreign bool) Facts {
	serving, _ := l.replicas.alive(time.Now(), reportsMissed*l.options.Timing.Report)
	bundle := state.Bundle()
	return Facts{
		Now: l.options.Now(), Hosts: l.options.Hosts, Serving: serving, Foreign: foreign,
		Published: l.registrations.hold(bundle) && l.publisher.holds(bundle),
	}
}

// store writes the state over the Secret it was made from, and over no other
// version of it.
func (l *leader) store(ctx context.Context, old *corev1.Secret, s State) error {
	data, err := s.Data()
	if err != nil {
		return err
	}
	secrets := l.client.CoreV1().Secrets(l.options.Namespace)
	if old == nil {
		_, err = secrets.Create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: l.options.name(SecretName), Namespace: l.options.Namespace, Labels: l.options.ours()},
			Type:       corev1.SecretTypeTLS, Data: data,
		}, metav1.CreateOptions{FieldManager: managedBy})
		return err
	}
	next := old.DeepCopy()
	if next.Labels == nil {
		next.Labels = map[string]string{}
	}
	maps.Copy(next.Labels, l.options.ours())
	next.Data = data
	_, err = secrets.Update(ctx, next, metav1.UpdateOptions{FieldManager: managedBy})
	return err
}

// noteProblem logs what is wrong with the Secret, once.
func (l *leader) noteProblem(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != "" && text != l.problem {
		l.log.Error(err, "part of the Secret cannot be used and counts as lost", "namespace", l.options.Namespace, "name", l.options.name(SecretName))
	}
	l.problem = text
}

// sweep removes the leases of replicas that are gone.
func (l *leader) sweep(ctx context.Context) error {
	_, gone := l.replicas.alive(time.Now(), reportsMissed*l.options.Timing.Report)
	slices.Sort(gone)
	var errs []error
	for _, name := range gone {
		err := l.client.CoordinationV1().Leases(l.options.Namespace).Delete(ctx, name, metav1.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			errs = append(errs, fmt.Errorf("remove the lease of a replica that is gone: %w", err))
		}
	}
	return errors.Join(errs...)
}
