package serve

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

// slow delays the answers about ConfigMaps until a channel is closed.
type slow struct {
	next  http.RoundTripper
	until *atomic.Pointer[chan struct{}]
}

func (s slow) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.Contains(r.URL.Path, "/configmaps") {
		select {
		case <-*s.until.Load():
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	return s.next.RoundTrip(r)
}

// A replica that starts again, and listens before it has its configuration, denies no pod:
// the API server calls it all the same.
func TestReviewsAreHeldWhileStarting(t *testing.T) {
	var until atomic.Pointer[chan struct{}]
	now := make(chan struct{})
	close(now)
	until.Store(&now)
	i := startInstance(t, excludeOne, func(o *Options) {
		o.Cluster = rest.CopyConfig(o.Cluster)
		o.Cluster.Wrap(func(next http.RoundTripper) http.RoundTripper { return slow{next, &until} })
	}).ready()
	ns := i.workspace()
	later := make(chan struct{})
	until.Store(&later)
	i.restart()
	i.eventually("it listens", func() string {
		c, err := net.Dial("tcp", strings.TrimPrefix(i.url, "https://"))
		if err != nil {
			return err.Error()
		}
		_ = c.Close()
		return ""
	})
	if i.readyz() == "" {
		t.Error("it is ready without a configuration")
	}
	const pods = 30
	var created sync.WaitGroup
	for n := range pods {
		created.Go(func() {
			pod, err := i.create(ns, sleepPod(fmt.Sprint("held-", n)), metav1.DryRunAll)
			switch {
			case err != nil:
				t.Error(err)
			case !strings.Contains(initArguments(pod), "10.96.0.0/12"):
				t.Errorf("another configuration: %s", initArguments(pod))
			}
		})
	}
	i.eventually("a review is held", func() string {
		if i.metric("outrider_webhook_reviews_held_total") == 0 {
			return "none"
		}
		return ""
	})
	close(later)
	created.Wait()
}
