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

// The names of what is kept in the cluster. Secret and leases carry the
// revision behind them, "-REVISION", unless it is the default one. The
// ConfigMap does not: the pods of a namespace mount it by this name.
const (
	SecretName    = "outrider-certs"
	ConfigMapName = "outrider-ca"
	leaderLease   = "outrider-leader"
	replicaLease  = "outrider-replica"
)

// The labels of what is this package's own, and of whose revision.
const (
	labelManagedBy = "app.kubernetes.io/managed-by"
	managedBy      = "outrider"
	labelComponent = "app.kubernetes.io/component"
	component      = "replica"
)

// Options say what to keep, and where.
type Options struct {
	// Cluster reaches the API server.
	Cluster *rest.Config
	// Namespace holds the Secret and the leases.
	Namespace string
	// Revision is that of the installation; empty means default.
	Revision string
	// Registration is the name of the two webhook configurations.
	Registration string
	// Identity is the replica's own: unique, a DNS label of at most 63
	// characters with "outrider-replica-" in front.
	Identity string
	// Hosts are the names and addresses clients call.
	Hosts []string
	// External serves somebody else's certificate. Then there is no Secret, and
	// nothing is published unless CAFile names a bundle, PEM.
	External GetCertificate
	CAFile   string

	Lifetimes Lifetimes // zero means DefaultLifetimes
	Timing    Timing    // zero means DefaultTiming
	Now       func() time.Time
	Log       logr.Logger
	Registry  prometheus.Registerer
}

// Timing says how often things are looked at.
type Timing struct {
	Election election.Timing
	// Report is how often a replica says what it serves. One that has missed
	// three reports counts as gone.
	Report time.Duration
	// Resync is how often the leader looks at everything, changed or not.
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
	need(o.Cluster != nil, "no API server is given")
	need(o.Namespace != "", "no namespace is given")
	need(o.Registration != "", "no name of the webhook configurations is given")
	need(o.External != nil || len(o.Hosts) > 0, "no host names are given")
	need(o.External != nil || o.CAFile == "", "a CA file goes with external certificates only")
	need(!o.leads() || o.Identity != "", "no identity is given")
	if len(errs) > 0 {
		return fmt.Errorf("keep certificates: %w", errors.Join(errs...))
	}
	o.Revision = revision.Revision(o.Revision).String()
	if o.Lifetimes == (Lifetimes{}) {
		o.Lifetimes = DefaultLifetimes
	}
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

// leads reports whether there is anything for a leader to do.
func (o *Options) leads() bool { return o.External == nil || o.CAFile != "" }

// name is the name of this revision's object.
func (o *Options) name(base string) string { return revision.Revision(o.Revision).Name(base) }

// ours are the labels of what this installation made.
func (o *Options) ours() map[string]string {
	return map[string]string{labelManagedBy: managedBy, annotation.Rev: o.Revision}
}

// isOurs reports whether an object with the labels is this installation's.
func (o *Options) isOurs(labels map[string]string) bool {
	return labels[labelManagedBy] == managedBy && labels[annotation.Rev] == o.Revision
}
