package count

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"

	"github.com/outrider-mesh/outrider/explain"
	"github.com/outrider-mesh/outrider/internal/election"
	"github.com/outrider-mesh/outrider/internal/revision"
	"github.com/outrider-mesh/outrider/status"
	"github.com/outrider-mesh/outrider/workloads"
)

// Options of a Pods.
type Options struct {
	// Cluster reaches the API server: list on pods and namespaces, and on the configurations
	// of the webhook by their names.
	Cluster *rest.Config
	// Namespace is that of the Lease of the replica that counts, and Revision part of its name.
	Namespace string
	Revision  revision.Revision
	// Service is that of the webhook, and Configurations are the names of its registrations.
	Service        string
	Configurations []string
	// Settings are the active ones; nil before there are any.
	Settings func() *status.Settings
	// Interval is the time between two counts.
	Interval time.Duration
	// Settle is the time between a change of the settings and the next count; 0 means
	// DefaultSettle.
	Settle   time.Duration
	Log      logr.Logger
	Registry prometheus.Registerer
}

const (
	// DefaultInterval lists the pods 144 times a day.
	DefaultInterval = 10 * time.Minute
	// DefaultSettle is more than an edit and its rollout take between two edits of a series.
	DefaultSettle = 30 * time.Second
	// podsPerSecond spread the work: a pod takes 50 to 300 us, so that admission requests have
	// most of a processor.
	podsPerSecond = 1000
)

// timing is slow: nothing waits for a count, and each renewal is a write.
var timing = election.Timing{Lease: 2 * time.Minute, Renew: 90 * time.Second, Retry: 20 * time.Second}

// pages bound the memory: two pages with what they are decoded to, and the pods of one.
var pages = workloads.Pages{Objects: 100, Bytes: 4 << 20}

// Pods counts pods.
type Pods struct {
	options Options
	metrics *metrics
	changed chan struct{}
	now     func() time.Time
}

// New prepares counts, and the election of the replica that counts. They begin with Start
// of the election.
func New(o Options) (*Pods, *election.Election, error) {
	if o.Settle == 0 {
		o.Settle = DefaultSettle
	}
	m, err := newMetrics(o.Registry)
	if err != nil {
		return nil, nil, err
	}
	identity, err := election.Identity()
	if err != nil {
		return nil, nil, err
	}
	p := &Pods{options: o, metrics: m, changed: make(chan struct{}, 1), now: time.Now}
	e, err := election.New(election.Options{
		Cluster: o.Cluster, Namespace: o.Namespace, Name: o.Revision.Name("outrider-pods"), Identity: identity, Lead: p.lead, Timing: timing,
	})
	return p, e, err
}

// Changed reports that the settings have changed. It does not block.
func (p *Pods) Changed() {
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

// lead counts until ctx ends.
func (p *Pods) lead(ctx context.Context) {
	defer p.metrics.reset()
	for ctx.Err() == nil {
		if err := p.count(ctx); err != nil && ctx.Err() == nil {
			p.metrics.counts.WithLabelValues(resultFailed).Inc()
			p.options.Log.Error(err, "failed to count pods; the metrics keep the last numbers")
		}
		p.wait(ctx)
	}
}

// wait returns after the interval, or a while after a change if that is earlier.
func (p *Pods) wait(ctx context.Context) {
	at := time.Now().Add(p.options.Interval)
	next := time.NewTimer(p.options.Interval)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-next.C:
			return
		case <-p.changed:
			next.Reset(min(time.Until(at), p.options.Settle))
		}
	}
}

// count counts once.
func (p *Pods) count(ctx context.Context) error {
	settings := p.options.Settings()
	if settings == nil {
		return errors.New("no valid configuration is active")
	}
	reader, err := workloads.NewPaged(p.options.Cluster, pages)
	if err != nil {
		return err
	}
	in, err := p.read(ctx, reader)
	if err != nil {
		return err
	}
	in.Settings = *settings
	counter := status.NewCounter(in, p.now())
	limit := rate.NewLimiter(podsPerSecond, int(pages.Objects))
	err = reader.Pods(ctx, "", "", func(pod *corev1.Pod) error {
		if err := limit.Wait(ctx); err != nil {
			return fmt.Errorf("wait for the next pod: %w", err)
		}
		counter.Add(pod)
		return nil
	})
	if err != nil {
		return err
	}
	p.metrics.set(counter.Summary(), counter.Failed(), p.now())
	return nil
}

// read reads what pods are compared with.
func (p *Pods) read(ctx context.Context, reader *workloads.Reader) (in status.Input, err error) {
	in = status.Input{Revision: p.options.Revision, Registered: explain.Registered{Service: p.options.Service}}
	if in.Namespaces, err = reader.Namespaces(ctx, ""); err != nil {
		return in, err
	}
	in.Registered.Configurations, err = reader.WebhooksNamed(ctx, p.options.Configurations...)
	if len(p.options.Configurations) > 0 {
		in.Registered.Name = p.options.Configurations[0]
	}
	return in, err
}
