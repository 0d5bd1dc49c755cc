package certs

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/cache"

	"github.com/outrider-mesh/outrider/internal/election"
)

// Manager manages the certificates. It is a runnable of controller-runtime's manager.
type Manager struct {
	options  Options
	log      logr.Logger
	metrics  *metrics
	client   kubernetes.Interface
	metadata metadata.Interface
	election *election.Election // nil without work for a leader

	registrations *registrations            // nil where another Deployment leads
	secret        cache.SharedIndexInformer // nil with an external certificate
	keySecret     cache.SharedIndexInformer // of the CA key; nil where another Deployment leads, too
	serving       atomic.Pointer[tls.Certificate]
	loaded        chan struct{}         // closed when serving is there
	last          atomic.Pointer[State] // of the Secret, with what it has lost restored
	reports       loop
	leading       atomic.Pointer[loop]     // the leader's, while this replica leads
	more          func() map[string]string // annotations of the report
}

// New prepares a Manager. It does not connect to the API server yet.
func New(o Options) (*Manager, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	k := &Manager{options: o, log: o.Log, reports: newLoop(), loaded: make(chan struct{})}
	var err error
	k.client, err = kubernetes.NewForConfig(o.Cluster)
	if err == nil && o.leads() {
		k.election, err = election.New(election.Options{
			Cluster: o.Cluster, Namespace: o.Namespace, Name: o.name(leaderLease),
			Identity: o.Identity, Timing: o.Timing.Election, Lead: k.lead,
		})
	}
	if err == nil {
		k.metadata, err = metadata.NewForConfig(o.Cluster)
	}
	if err == nil {
		k.metrics, err = newMetrics(o.Registry)
	}
	if err == nil {
		if !o.Follow {
			k.registrations = newRegistrations(k.client, &o)
		}
		err = k.handle()
	}
	if err != nil {
		return nil, fmt.Errorf("manage certificates: %w", err)
	}
	return k, nil
}

// handle registers what happens when something changes.
func (k *Manager) handle() error {
	trigger := onAny(func() {
		if l := k.leading.Load(); l != nil {
			l.trigger()
		}
	})
	informersOf := k.registrations.informers()
	if k.options.External == nil {
		k.secret = k.watchSecret(SecretName)
		informersOf = append(informersOf, k.secret)
		if k.options.leads() {
			k.keySecret = k.watchSecret(KeySecretName)
			informersOf = append(informersOf, k.keySecret)
		}
		if _, err := k.secret.AddEventHandler(onAny(k.load)); err != nil {
			return err
		}
	}
	for _, i := range informersOf {
		if _, err := i.AddEventHandler(trigger); err != nil {
			return err
		}
	}
	return nil
}

func (k *Manager) watchSecret(base string) cache.SharedIndexInformer {
	return informers.NewSharedInformerFactoryWithOptions(k.client, 0, informers.WithNamespace(k.options.Namespace),
		informers.WithTweakListOptions(byName(k.options.name(base)))).Core().V1().Secrets().Informer()
}

// NeedLeaderElection is false: every replica serves a certificate.
func (k *Manager) NeedLeaderElection() bool { return false }

// Start runs until ctx ends. While the API server is unavailable, the replica keeps
// serving its certificate.
func (k *Manager) Start(ctx context.Context) error {
	var running sync.WaitGroup
	defer running.Wait()
	informers := k.registrations.informers()
	for _, i := range []cache.SharedIndexInformer{k.secret, k.keySecret} {
		if i != nil {
			informers = append(informers, i)
		}
	}
	for _, i := range informers {
		running.Go(func() { i.RunWithContext(ctx) })
	}
	running.Go(func() { newLoop().run(ctx, k.options.Timing.Report, k.log, k.watchTrust) })
	if k.options.reports() || k.more != nil {
		running.Go(func() { k.report(ctx) })
	}
	if k.election == nil {
		<-ctx.Done()
		return nil
	}
	return k.election.Start(ctx)
}

// Annotate adds annotations to the replica's report. It must be called before Start.
func (k *Manager) Annotate(more func() map[string]string) { k.more = more }

// Report reports again, as the annotations have changed.
func (k *Manager) Report() { k.reports.trigger() }

// report reports what this replica serves, until ctx ends.
func (k *Manager) report(ctx context.Context) {
	k.reports.run(ctx, k.options.Timing.Report, k.log.WithName("report"), func(ctx context.Context) error {
		var more map[string]string
		if k.more != nil {
			more = k.more()
		}
		err := report(ctx, k.client, &k.options, k.servingID(), more)
		if k.election == nil && !k.options.Follow {
			err = errors.Join(err, deleteExpired(ctx, k.client, &k.options)) // there is no leader for that
		}
		return err
	})
	gone, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	_ = deleteReport(gone, k.client, &k.options) // otherwise the leader deletes it
}

// stored is the Secret of an informer; nil when there is none.
func (k *Manager) stored(of cache.SharedIndexInformer, base string) *corev1.Secret {
	object, ok, err := of.GetStore().GetByKey(k.options.Namespace + "/" + k.options.name(base))
	if err != nil || !ok {
		return nil
	}
	s, _ := object.(*corev1.Secret)
	return s
}

// load serves the Secret's certificate. A Secret that was deleted or has no
// certificate changes nothing.
func (k *Manager) load() {
	secret := k.stored(k.secret, SecretName)
	if secret == nil {
		return
	}
	state, _ := ParseState(secret.Data, nil) // the leader logs the error
	filled, _ := state.restoredFrom(k.last.Load())
	k.last.Store(&filled)
	old := k.serving.Load()
	if state.Serving == nil || old != nil && old.Leaf.Equal(state.Serving.Leaf) {
		return
	}
	k.serving.Store(state.Serving)
	if old == nil {
		close(k.loaded)
	}
	k.metrics.serving(state.Serving)
	k.log.Info("serving certificate loaded", "expires", state.Serving.Leaf.NotAfter.Format(time.RFC3339), "ca", signerID(state.Serving.Leaf))
	k.reports.trigger()
}

// GetCertificate returns the serving certificate. While the replica starts, a handshake
// waits for it: see handshakeWait. Without a handshake (nil) it does not wait.
func (k *Manager) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if k.options.External != nil {
		c, err := k.options.External(hello)
		if err == nil && c == nil {
			err = errors.New("no serving certificate loaded")
		}
		return c, err
	}
	if hello != nil && k.serving.Load() == nil {
		k.awaitCertificate(hello.Context())
	}
	if c := k.serving.Load(); c != nil {
		return c, nil
	}
	return nil, fmt.Errorf("no serving certificate: waiting for the leader to create Secret %s/%s; see the leader's log",
		k.options.Namespace, k.options.name(SecretName))
}

// handshakeWait is how long a handshake waits for the certificate at most. A container
// that was killed gets connections as soon as it listens again, for its pod is still an
// endpoint of the Service. Of the 5 s that the API server waits, 2 s are for the
// configuration and 0.5 s for a place, so that the response arrives. The limits of
// connections bound those that wait.
const handshakeWait = 2 * time.Second

func (k *Manager) awaitCertificate(handshake context.Context) {
	over, cancel := context.WithTimeout(handshake, handshakeWait)
	defer cancel()
	select {
	case <-k.loaded:
	case <-over.Done():
	}
}

func (k *Manager) servingID() string {
	c, err := k.GetCertificate(nil)
	if err != nil || c.Leaf == nil {
		return ""
	}
	return signerID(c.Leaf)
}

// Ready reports why clients could not trust this replica: no certificate, an
// expired one, or one that does not chain to the caBundle of the webhooks. Where
// another Deployment leads, the bundle is the Secret's, from which it is published.
func (k *Manager) Ready(*http.Request) error {
	c, err := k.GetCertificate(nil)
	if err != nil {
		return err
	}
	if now := k.options.Now(); c.Leaf != nil && now.After(c.Leaf.NotAfter) {
		return fmt.Errorf("the serving certificate expired at %s", c.Leaf.NotAfter.Format(time.RFC3339))
	}
	if k.registrations == nil {
		return k.inBundle(c)
	}
	if k.options.External == nil && !k.registrations.mutating.HasSynced() {
		return fmt.Errorf("%s %s is not loaded yet", kindMutating, k.options.Registration)
	}
	// A tag with another bundle, which someone moved a moment ago, must not take the
	// replicas out of the Service that all other pods need.
	return k.trusted(kindMutating, c, false)
}

// inBundle verifies the certificate with the CA bundle of its Secret. An external
// certificate has none.
func (k *Manager) inBundle(c *tls.Certificate) error {
	state := k.last.Load()
	if k.options.External != nil || state == nil || len(state.CACerts) == 0 {
		return nil
	}
	if err := ChainsTo(c, state.Bundle(), k.options.Now()); err != nil {
		return fmt.Errorf("the serving certificate does not chain to %s of Secret %s/%s: %w",
			BundleFile, k.options.Namespace, k.options.name(SecretName), err)
	}
	return nil
}

// trusted verifies the certificate with every caBundle of a kind: of this revision's
// own configuration, and of those of its tags where all is true.
func (k *Manager) trusted(kind string, c *tls.Certificate, all bool) error {
	if c.Leaf == nil {
		return nil
	}
	for _, of := range k.registrations.configurations(kind) {
		if of.name != k.options.Registration && !all {
			continue
		}
		for _, h := range of.hooks {
			if len(h.bundle) == 0 && k.options.External != nil {
				continue // the API server then uses its system's CA certificates
			}
			if err := ChainsTo(c, h.bundle, k.options.Now()); err != nil {
				return fmt.Errorf("the serving certificate does not chain to the caBundle of webhook %s in %s %s: %w", h.name, kind, of.name, err)
			}
		}
	}
	return nil
}

// watchTrust updates the metrics about the serving certificate.
func (k *Manager) watchTrust(context.Context) error {
	c, err := k.GetCertificate(nil)
	if err != nil {
		return nil // readiness reports it
	}
	k.metrics.serving(c)
	if k.registrations == nil {
		return nil
	}
	for _, kind := range []string{kindMutating, kindValidating} {
		good := 1.0
		if k.trusted(kind, c, true) != nil {
			good = 0
		}
		k.metrics.chained.WithLabelValues(kind).Set(good)
	}
	return nil
}
