package certs

import (
	"errors"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/rest"

	"github.com/outrider-mesh/outrider/annotation"
	"github.com/outrider-mesh/outrider/internal/election"
	"github.com/outrider-mesh/outrider/internal/revision"
)

// The names of the objects in the cluster. They end in "-REVISION", unless the revision
// is the default one. Each revision has its own CA, and publishes it under its own name:
// pods of two revisions may be in one namespace.
const (
	SecretName    = "outrider-certs"
	KeySecretName = "outrider-ca-key"
	ConfigMapName = "outrider-ca"
	leaderLease   = "outrider-leader"
	replicaLease  = "outrider-replica"
)

// The values of the labels of managed objects.
const (
	managedBy = "outrider"
	component = "replica"
)

// Options configure the manager.
type Options struct {
	// Cluster reaches the API server.
	Cluster *rest.Config
	// Namespace holds the Secrets and the leases.
	Namespace string
	// Revision is that of the installation; empty means default.
	Revision string
	// Registration is the name of the two webhook configurations, Tags the revision
	// tags that may select this revision: each has a MutatingWebhookConfiguration of its
	// own.
	Registration string
	Tags         []revision.Tag
	// Identity is the replica's own: unique, a DNS label of at most 63
	// characters with "outrider-replica-" in front.
	Identity string
	// Hosts are the DNS names and addresses that clients use.
	Hosts []string
	// Follow disables leading: the replicas of another Deployment issue the
	// certificate and publish its CA bundle. This one serves what is in the Secret,
	// which it only reads, and reports it.
	Follow bool
	// External serves an externally managed certificate. Then there is no Secret,
	// and nothing is published unless CAFile names a bundle, PEM.
	External GetCertificate
	CAFile   string

	Lifetimes Lifetimes // a zero one means that of DefaultLifetimes
	Timing    Timing    // zero means DefaultTiming
	Now       func() time.Time
	Log       logr.Logger
	Registry  prometheus.Registerer
}

// Timing is how often things are checked.
type Timing struct {
	Election election.Timing
	// Report is how often a replica reports the certificate it serves. A replica
	// that has missed three reports counts as gone.
	Report time.Duration
	// Resync is how often the leader reconciles everything, changed or not.
	Resync time.Duration
}

// DefaultTiming is the usual one of controllers.
var DefaultTiming = Timing{
	Election: election.DefaultTiming,
	Report:   20 * time.Second, Resync: time.Minute,
}

// reportsMissed is how many reports a replica may miss.
const reportsMissed = 3

func (o *Options) complete() error {
	var errs []error
	need := func(ok bool, what string) {
		if !ok {
			errs = append(errs, errors.New(what))
		}
	}
	need(o.Cluster != nil, "Cluster is required")
	need(o.Namespace != "", "Namespace is required")
	need(o.Follow || o.Registration != "", "Registration is required")
	need(o.Follow || o.External != nil || len(o.Hosts) > 0, "Hosts are required")
	need(o.External != nil || o.CAFile == "", "CAFile requires external certificates")
	need(!o.leads() && !o.reports() || o.Identity != "", "Identity is required")
	if len(errs) > 0 {
		return fmt.Errorf("manage certificates: %w", errors.Join(errs...))
	}
	o.Revision = revision.Revision(o.Revision).String()
	o.Lifetimes = o.Lifetimes.withDefaults()
	if o.Timing == (Timing{}) {
		o.Timing = DefaultTiming
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Registry == nil {
		o.Registry = prometheus.NewRegistry()
	}
	return nil
}

// leads reports whether there is work for a leader here.
func (o *Options) leads() bool { return !o.Follow && (o.External == nil || o.CAFile != "") }

// reports reports whether a leader, here or elsewhere, waits for what this replica
// serves.
func (o *Options) reports() bool { return o.External == nil || o.leads() }

// name is the name of this revision's object.
func (o *Options) name(base string) string { return revision.Revision(o.Revision).Name(base) }

// selectedBy are the values of the label istio.io/rev that may select this revision.
func (o *Options) selectedBy() []string {
	out := []string{o.Revision}
	for _, t := range o.Tags {
		out = append(out, string(t))
	}
	return out
}

// ownLabels are the labels of the objects of this installation.
func (o *Options) ownLabels() map[string]string {
	return map[string]string{annotation.ManagedBy: managedBy, annotation.Rev: o.Revision}
}

// owns reports whether an object with the labels is managed by this installation.
func (o *Options) owns(labels map[string]string) bool {
	return labels[annotation.ManagedBy] == managedBy && labels[annotation.Rev] == o.Revision
}
