package live

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/outrider-mesh/outrider/ranges"
	"github.com/outrider-mesh/outrider/test/kit"
	"github.com/outrider-mesh/outrider/test/kube"
)

// following is a cluster being followed, and its readings.
type following struct {
	mu     sync.Mutex
	enough bool
	count  int
	latest *Snapshot
	err    error
}

func follow(t *testing.T, c *Cluster, p Pace) *following {
	t.Helper()
	f := &following{enough: p.Soon == 0}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.Follow(ctx, p, func(s *Snapshot, err error) bool {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.count++
			if f.err = err; err == nil {
				f.latest = s
			}
			return f.enough
		})
	}()
	t.Cleanup(func() { cancel(); <-done })
	return f
}

func (f *following) services() (string, int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.latest == nil {
		return "", f.count
	}
	r := f.latest.Data.Resolve(ranges.Options{Live: true})
	return r.Service.String(), f.count
}

type notYet string

func (n notYet) Error() string { return string(n) }

// A new range is seen at once; an irrelevant change starts no reading.
func TestFollow_RelevantChanges(t *testing.T) {
	server := kube.Require(t)
	s := newStub(t, server.Config)
	c, err := New(s.Config, Options{})
	if err != nil {
		t.Fatal(err)
	}
	f := follow(t, c, Pace{Quiet: 20 * time.Millisecond, Retry: 50 * time.Millisecond})
	want := func(what, ranges string) int {
		t.Helper()
		count := 0
		kit.Eventually(t, what, func() error {
			got := ""
			if got, count = f.services(); got != ranges {
				return notYet(got)
			}
			return nil
		})
		return count
	}
	want("the range of the server", "10.0.0.0/24")
	a := newApplier(t, server.Config)
	start := time.Now()
	a.apply(`{apiVersion: networking.k8s.io/v1, kind: ServiceCIDR, metadata: {name: more}, spec: {cidrs: [10.77.0.0/24]}}`)
	want("a ServiceCIDR was added", "10.0.0.0/24,10.77.0.0/24")
	t.Logf("seen after %s", time.Since(start).Round(time.Millisecond))

	// A node's heartbeat is irrelevant; its podCIDR is not.
	a.apply(`{apiVersion: v1, kind: Node, metadata: {name: n1}}`)
	_, before := f.services()
	for quiet := time.Now(); time.Since(quiet) < time.Second; time.Sleep(20 * time.Millisecond) {
		if _, count := f.services(); count != before { // readings that the node made
			before, quiet = count, time.Now()
		}
	}
	patch := func(body map[string]any, subresources ...string) {
		t.Helper()
		text, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := server.Client.CoreV1().Nodes().Patch(t.Context(), "n1", types.MergePatchType, text, metav1.PatchOptions{}, subresources...); err != nil {
			t.Fatal(err)
		}
	}
	patch(map[string]any{"status": map[string]any{"conditions": []any{map[string]any{"type": "Ready", "status": "True"}}}}, "status")
	time.Sleep(300 * time.Millisecond)
	if _, after := f.services(); after != before {
		t.Errorf("a heartbeat made %d readings", after-before)
	}
	patch(map[string]any{"spec": map[string]any{"podCIDR": "10.78.0.0/24", "podCIDRs": []string{"10.78.0.0/24"}}})
	kit.Eventually(t, "the node's slice is seen", func() error {
		f.mu.Lock()
		defer f.mu.Unlock()
		if len(f.latest.Data.NodeCIDR) != 1 {
			return notYet("no slice")
		}
		return nil
	})
}

// An incomplete reading is repeated soon, as nothing watches a ConfigMap.
func TestFollow_RetriesIncompleteReadings(t *testing.T) {
	server := kube.Require(t)
	c, err := New(server.Config, Options{})
	if err != nil {
		t.Fatal(err)
	}
	f := follow(t, c, Pace{Quiet: 20 * time.Millisecond, Soon: 50 * time.Millisecond})
	kit.Eventually(t, "the first reading", func() error {
		if _, n := f.services(); n == 0 {
			return notYet("none")
		}
		return nil
	})
	a := newApplier(t, server.Config)
	a.apply(`{apiVersion: v1, kind: ConfigMap, metadata: {name: kube-proxy, namespace: kube-system}, data: {config.conf: "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nclusterCIDR: 10.128.0.0/12\n"}}`)
	kit.Eventually(t, "the ConfigMap is seen", func() error {
		f.mu.Lock()
		defer f.mu.Unlock()
		r := f.latest.Data.Resolve(ranges.Options{Live: true})
		if got := r.Pod.String(); got != "10.128.0.0/12" {
			return notYet(got)
		}
		return nil
	})
}

// A failure is reported, and the next reading succeeds without a restart.
func TestFollow_RecoversFromFailure(t *testing.T) {
	server := kube.Require(t)
	s := newStub(t, server.Config)
	s.answer("servicecidrs", 500)
	c, err := New(s.Config, Options{})
	if err != nil {
		t.Fatal(err)
	}
	f := follow(t, c, Pace{Quiet: 20 * time.Millisecond, Retry: 50 * time.Millisecond})
	kit.Eventually(t, "the failure is reported", func() error {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.err == nil || !strings.Contains(f.err.Error(), "servicecidrs") {
			return notYet("no error")
		}
		return nil
	})
	s.answer("servicecidrs", 0)
	kit.Eventually(t, "the ranges are read after the failure", func() error {
		if got, _ := f.services(); got != "10.0.0.0/24" {
			return notYet(got)
		}
		return nil
	})
}
