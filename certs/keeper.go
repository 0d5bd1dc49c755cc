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

// Keeper keeps certificates as the package says. It is a manager's runnable.
type Keeper struct {
	options  Options
	log      logr.Logger
	metrics  *metrics
	client   kubernetes.Interface
	metadata metadata.Interface
	election *election.Election // nil where there is nothing for a leader to do

	registrations *registrations
	secret        cache.SharedIndexInformer // nil with an external certificate
	serving       atomic.Pointer[tls.Certificate]
	last          atomic.Pointer[State] // what the Secret last held, filled in as State.or does
	reports       loop
	led           atomic.Pointer[loop] // the leader's, while this replica leads
}

// New prepares a Keeper. It does not talk to the API server yet.
func New(o Options) (*Keeper, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	k := &Keeper{options: o, log: o.Log, reports: newLoop()}
	var err error
	k.client, err = kubernetes.NewForConfig(o.Cluster)
	if err == nil && o.leads() {
		k.election, err = election.New(election.Options{
			Cluster: o.Cluster, Namespace: o.Namespace, Name: o.name(leaderLease), Labels: o.ours(),
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
		k.registrations = newRegistrations(k.client, o.Registration)
		err = k.handle()
	}
	if err != nil {
		return nil, fmt.Errorf("keep certificates: %w", err)
	}
	return k, nil
}

// handle says what happens when something changes.
func (k *Keeper) handle() error {
	poke := onAny(func() {
		if l := k.led.Load(); l != nil {
			l.poke()
		}
	})
	informersOf := []cache.SharedIndexInformer{k.registrations.mutating, k.registrations.validating}
	if k.options.External == nil {
		k.secret = informers.NewSharedInformerFactoryWithOptions(k.client, 0, informers.WithNamespace(k.options.Namespace),
			informers.WithTweakListOptions(byName(k.options.name(SecretName)))).Core().V1().Secrets().Informer()
		informersOf = append(informersOf, k.secret)
		if _, err := k.secret.AddEventHandler(onAny(k.take)); err != nil {
			return err
		}
	}
	for _, i := range informersOf {
		if _, err := i.AddEventHandler(poke); err != nil {
			return err
		}
	}
	return nil
}

// NeedLeaderElection tells the manager that every replica keeps.
func (k *Keeper) NeedLeaderElection() bool { return false }

// Start keeps until ctx ends. An API server that is away ends nothing: what is
// served goes on being served.
func (k *Keeper) Start(ctx context.Context) error {
	var running sync.WaitGroup
	defer running.Wait()
	for _, i := range []cache.SharedIndexInformer{k.registrations.mutating, k.registrations.validating, k.secret} {
		if i != nil {
			running.Go(func() { i.RunWithContext(ctx) })
		}
	}
	running.Go(func() { newLoop().run(ctx, k.options.Timing.Report, k.log, k.watchTrust) })
	if k.election == nil {
		<-ctx.Done()
		return nil
	}
	running.Go(func() {
		k.reports.run(ctx, k.options.Timing.Report, k.log.WithName("report"), func(ctx context.Context) error {
			return report(ctx, k.client, &k.options, k.servingID())
		})
		gone, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		_ = leave(gone, k.client, &k.options) // else the leader sweeps it up
	})
	return k.election.Start(ctx)
}

// stored is the Secret; nil when there is none.
func (k *Keeper) stored() *corev1.Secret {
	object, ok, err := k.secret.GetStore().GetByKey(k.options.Namespace + "/" + k.options.name(SecretName))
	if err != nil || !ok {
		return nil
	}
	s, _ := object.(*corev1.Secret)
	return s
}

// take serves what the Secret holds now. A Secret that is gone or holds nothing
// to serve changes nothing.
func (k *Keeper) take() {
	secret := k.stored()
	if secret == nil {
		return
	}
	state, _ := ParseState(secret.Data) // the leader logs what is wrong with it
	filled, _ := state.or(k.last.Load())
	k.last.Store(&filled)
	old := k.serving.Load()
	if state.Serving == nil || old != nil && old.Leaf.Equal(state.Serving.Leaf) {
		return
	}
	k.serving.Store(state.Serving)
	k.metrics.serving(state.Serving)
	k.log.Info("serving certificate in force", "expires", state.Serving.Leaf.NotAfter.Format(time.RFC3339), "authority", signerID(state.Serving.Leaf))
	k.reports.poke()
}

// GetCertificate is the certificate in force.
func (k *Keeper) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if k.options.External != nil {
		c, err := k.options.External(hello)
		if err == nil && c == nil {
			err = errors.New("no serving certificate is loaded")
		}
		return c, err
	}
	if c := k.serving.Load(); c != nil {
		return c, nil
	}
	return nil, fmt.Errorf("no serving certificate yet: the leader puts one into Secret %s/%s within seconds of its start; if none comes, its log has the reason",
		k.options.Namespace, k.options.name(SecretName))
}

func (k *Keeper) servingID() string {
	c, err := k.GetCertificate(nil)
	if err != nil || c.Leaf == nil {
		return ""
	}
	return signerID(c.Leaf)
}

// Ready reports why clients could not trust this replica: nothing to serve, an
// expired certificate, or one that does not chain to what is registered.
func (k *Keeper) Ready(*http.Request) error {
	c, err := k.GetCertificate(nil)
	if err != nil {
		return err
	}
	if now := k.options.Now(); c.Leaf != nil && now.After(c.Leaf.NotAfter) {
		return fmt.Errorf("the serving certificate expired at %s", c.Leaf.NotAfter.Format(time.RFC3339))
	}
	if k.options.External == nil && !k.registrations.mutating.HasSynced() {
		return fmt.Errorf("%s %s has not been read yet", kindMutating, k.options.Registration)
	}
	return k.trusted(kindMutating, c)
}

// trusted checks the certificate against every caBundle registered.
func (k *Keeper) trusted(kind string, c *tls.Certificate) error {
	if c.Leaf == nil {
		return nil
	}
	for _, h := range k.registrations.hooks(kind) {
		if len(h.bundle) == 0 && k.options.External != nil {
			continue // the API server then goes by its system's authorities
		}
		if err := ChainsTo(c, h.bundle, k.options.Now()); err != nil {
			return fmt.Errorf("the serving certificate does not chain to the caBundle of webhook %s in %s %s: %w", h.name, kind, k.options.Registration, err)
		}
	}
	return nil
}

// watchTrust keeps the metrics about what is served.
func (k *Keeper) watchTrust(context.Context) error {
	c, err := k.GetCertificate(nil)
	if err != nil {
		return nil // readiness says so
	}
	k.metrics.serving(c)
	for _, kind := range []string{kindMutating, kindValidating} {
		good := 1.0
		if k.trusted(kind, c) != nil {
			good = 0
		}
		k.metrics.chained.WithLabelValues(kind).Set(good)
	}
	return nil
}
