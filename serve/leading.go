package serve

import (
	"context"
	"fmt"
	"sync"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"

	"github.com/outrider-mesh/outrider/certs"
)

// leading runs work on one replica at a time. To lose the lead ends the work and
// nothing else. It is a manager's runnable.
type leading struct {
	lock   *resourcelock.LeaseLock
	timing certs.Timing
	work   func(context.Context) error
	log    logr.Logger
}

func newLeading(o Options, lease, identity string, work func(context.Context) error, log logr.Logger) (*leading, error) {
	timing := certs.DefaultTiming
	config := rest.CopyConfig(o.Cluster)
	// A limit of its own: whatever else is being written must not cost the lead.
	config.QPS, config.Burst, config.RateLimiter, config.Timeout = 0, 0, nil, timing.Renew/2
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make a client to lead by: %w", err)
	}
	return &leading{
		lock: &resourcelock.LeaseLock{
			LeaseMeta:  metav1.ObjectMeta{Namespace: o.Namespace, Name: suffixed(lease, o.Revision), Labels: map[string]string{"app": "outrider"}},
			Client:     client.CoordinationV1(),
			LockConfig: resourcelock.ResourceLockConfig{Identity: identity},
		},
		timing: timing, work: work, log: log,
	}, nil
}

// NeedLeaderElection tells the manager that this is an election itself.
func (l *leading) NeedLeaderElection() bool { return false }

// Start stands for election again and again until ctx ends.
func (l *leading) Start(ctx context.Context) error {
	var term sync.Mutex // one term at a time
	for ctx.Err() == nil {
		elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
			Lock: l.lock, ReleaseOnCancel: true, Name: l.lock.LeaseMeta.Name,
			LeaseDuration: l.timing.Lease, RenewDeadline: l.timing.Renew, RetryPeriod: l.timing.Retry,
			Callbacks: leaderelection.LeaderCallbacks{
				OnStartedLeading: func(ctx context.Context) {
					term.Lock()
					defer term.Unlock()
					if ctx.Err() != nil {
						return
					}
					l.log.Info("leading", "lease", l.lock.LeaseMeta.Name)
					if err := l.work(ctx); err != nil && ctx.Err() == nil {
						l.log.Error(err, "the leader's work ended")
					}
				},
				OnStoppedLeading: func() {},
			},
		})
		if err != nil {
			return fmt.Errorf("stand for election: %w", err)
		}
		elector.Run(ctx)
	}
	term.Lock()
	defer term.Unlock()
	return nil
}

// suffixed is a name of this revision's.
func suffixed(name, revision string) string {
	if revision == "" || revision == "default" {
		return name
	}
	return name + "-" + revision
}
