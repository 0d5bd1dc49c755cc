// Package election runs work on one replica at a time, elected by a Lease.
//
// What a caller may assume: the work of one process never overlaps itself, its
// context ends when the lead is lost, and a replica that has lost the lead tries
// to acquire it again. Losing the lead ends the work and nothing else.
package election

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// Timing is how fast a leader is replaced.
type Timing struct {
	Lease time.Duration // a leader that has been silent for this long is replaced
	Renew time.Duration // a leader that cannot renew its Lease for this long steps down
	Retry time.Duration // between attempts
}

// DefaultTiming is the usual one of controllers.
var DefaultTiming = Timing{Lease: 15 * time.Second, Renew: 10 * time.Second, Retry: 2 * time.Second}

// Options of an election.
type Options struct {
	// Cluster reaches the API server. The election has a rate limit of its own:
	// many other writes must not cost the lead.
	Cluster *rest.Config
	// Namespace and Name are those of the Lease.
	Namespace, Name string
	// Identity is the replica's own, and unique.
	Identity string
	// Timing is DefaultTiming where it is zero.
	Timing Timing
	// Lead is the leader's work. It returns when its context ends.
	Lead func(context.Context)
}

// Identity is a name for this replica: the host, which is the pod's name in a
// cluster, and something random, for a container that starts again is another
// replica. It may be part of an object's name.
func Identity() (string, error) {
	host, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("determine replica identity: %w", err)
	}
	return identity(host, rand.Text()), nil
}

func identity(host, random string) string {
	clean := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' {
			return r
		}
		return '-'
	}, strings.ToLower(host))
	return strings.Trim(clean[:min(len(clean), 63)], "-") + "-" + strings.ToLower(random[:6])
}

// Election is one replica's part in an election. It is a manager's runnable.
type Election struct {
	config leaderelection.LeaderElectionConfig
	term   sync.Mutex // one term at a time
}

// New prepares an election. It does not talk to the API server yet.
func New(o Options) (*Election, error) {
	if o.Timing == (Timing{}) {
		o.Timing = DefaultTiming
	}
	cluster := rest.CopyConfig(o.Cluster)
	cluster.QPS, cluster.Burst, cluster.RateLimiter, cluster.Timeout = 0, 0, nil, o.Timing.Renew/2
	client, err := kubernetes.NewForConfig(cluster)
	if err != nil {
		return nil, fmt.Errorf("create leader election client: %w", err)
	}
	e := &Election{}
	e.config = leaderelection.LeaderElectionConfig{
		Lock: &resourcelock.LeaseLock{
			LeaseMeta:  metav1.ObjectMeta{Namespace: o.Namespace, Name: o.Name},
			Client:     client.CoordinationV1(),
			LockConfig: resourcelock.ResourceLockConfig{Identity: o.Identity},
		},
		Name: o.Name, ReleaseOnCancel: true,
		LeaseDuration: o.Timing.Lease, RenewDeadline: o.Timing.Renew, RetryPeriod: o.Timing.Retry,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(ctx context.Context) { e.lead(ctx, o.Lead) },
			OnStoppedLeading: func() {},
		},
	}
	if _, err := leaderelection.NewLeaderElector(e.config); err != nil {
		return nil, fmt.Errorf("leader election with Lease %s/%s: %w", o.Namespace, o.Name, err)
	}
	return e, nil
}

// NeedLeaderElection is false: this is an election itself.
func (e *Election) NeedLeaderElection() bool { return false }

// Start takes part, term after term, until ctx ends and the work has returned.
func (e *Election) Start(ctx context.Context) error {
	for ctx.Err() == nil {
		elector, err := leaderelection.NewLeaderElector(e.config)
		if err != nil { // New has tried
			return fmt.Errorf("leader election: %w", err)
		}
		elector.Run(ctx)
	}
	e.term.Lock()
	defer e.term.Unlock()
	return nil
}

// lead works for one term. The elector starts it on a goroutine of its own, so
// the work of the term before may not have returned yet.
func (e *Election) lead(ctx context.Context, work func(context.Context)) {
	e.term.Lock()
	defer e.term.Unlock()
	if ctx.Err() == nil {
		work(ctx)
	}
}
