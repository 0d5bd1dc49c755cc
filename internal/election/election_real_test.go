package election

import (
	"context"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"

	"github.com/outrider-mesh/outrider/test/kube"
)

func TestMain(m *testing.M) {
	klog.SetLogger(logr.Discard())
	os.Exit(kube.Main(m))
}

var fast = Timing{Lease: 3 * time.Second, Renew: 2 * time.Second, Retry: 100 * time.Millisecond}

func TestTimingIsValidated(t *testing.T) {
	_, err := New(Options{
		Cluster: kube.Require(t).Config, Namespace: "default", Name: "l", Identity: "a", Lead: func(context.Context) {},
		Timing: Timing{Lease: time.Second, Renew: 2 * time.Second, Retry: time.Second},
	})
	if err == nil || !strings.Contains(err.Error(), "leader election with Lease default/l") {
		t.Errorf("a lease shorter than its renewal: %v", err)
	}
}

// One replica leads at a time, and another one follows when it stops.
func TestFailover(t *testing.T) {
	server := kube.Require(t)
	ns := server.Namespace(t, nil)
	var leading atomic.Int32
	terms := make(chan string, 10)
	start := func(identity string) (stop func()) {
		e, err := New(Options{
			Cluster: server.Config, Namespace: ns, Name: "outrider-test", Identity: identity,
			Timing: fast,
			Lead: func(ctx context.Context) {
				if n := leading.Add(1); n != 1 {
					t.Errorf("%d leaders at once", n)
				}
				terms <- identity
				<-ctx.Done()
				leading.Add(-1)
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- e.Start(ctx); close(done) }()
		stop = func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		t.Cleanup(stop)
		return stop
	}
	next := func() string {
		t.Helper()
		select {
		case identity := <-terms:
			return identity
		case <-time.After(20 * time.Second):
			t.Fatal("no replica leads")
			return ""
		}
	}

	stop := start("a")
	if got := next(); got != "a" {
		t.Fatalf("%s leads", got)
	}
	lease, err := server.Client.CoordinationV1().Leases(ns).Get(t.Context(), "outrider-test", metav1.GetOptions{})
	if err != nil || *lease.Spec.HolderIdentity != "a" {
		t.Errorf("%v, %v", lease, err)
	}
	start("b")
	stop() // and so releases the Lease
	if leading.Load() > 1 {
		t.Error("Start returned while the work went on")
	}
	if got := next(); got != "b" {
		t.Errorf("%s leads", got)
	}
}
