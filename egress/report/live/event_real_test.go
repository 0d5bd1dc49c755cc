package live

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"

	"github.com/outrider-mesh/outrider/egress/report"
	"github.com/outrider-mesh/outrider/test/kit"
)

// notes are the Events of a namespace, as "KIND/NAME NOTE".
func (c *cluster) notes(ns string) (out []string) {
	c.t.Helper()
	all, err := c.Client.EventsV1().Events(ns).List(c.t.Context(), metav1.ListOptions{})
	kit.Must(c.t, err)
	for _, e := range all.Items {
		if e.Reason != eventReason || e.Type != "Warning" || e.ReportingController != "outrider" {
			c.t.Errorf("%+v", e)
		}
		out = append(out, e.Regarding.APIVersion+" "+e.Regarding.Kind+"/"+e.Regarding.Name+" "+e.Note)
	}
	return out
}

// TestBlockedEvents has two replicas that see the same blocked hosts, and one that starts
// later: each workload has one Event, in its namespace. Of a flood there is one, too.
func TestBlockedEvents(t *testing.T) {
	c := newCluster(t)
	shop, bank, loud := c.Namespace(t, nil), c.Namespace(t, nil), c.Namespace(t, nil)
	c.kubectl("create", "deployment", "sleep", "-n", shop, "--image=sleep", "--replicas=0")
	broadcaster := events.NewBroadcaster(&events.EventSinkImpl{Interface: c.Client.EventsV1()})
	kit.Must(t, broadcaster.StartRecordingToSinkWithContext(t.Context()))
	t.Cleanup(broadcaster.Shutdown)
	start := func(name string) (r replica, stop func()) {
		r = c.replica(name, 0)
		r.announcer.to = broadcaster.NewRecorder(scheme.Scheme, "outrider")
		return r, c.run(r)
	}
	a, stopA := start("a")
	b, stopB := start("b")
	passed := seen("passed.test", time.Now())
	passed[0].Verdict, passed[0].Rule = report.Passthrough, "allow_any"
	var load sync.WaitGroup
	for _, r := range []replica{a, b} {
		load.Go(func() {
			for range 5 {
				r.Observe(shop, sleep, seen("api.pay.example", time.Now()))
				r.Observe(bank, sleep, passed)
				time.Sleep(20 * time.Millisecond)
			}
			for i := range 20_000 {
				r.Observe(loud, report.Workload{Kind: "CronJob", Name: "nightly"}, seen(fmt.Sprintf("%d.test", i), time.Now()))
			}
			time.Sleep(1500 * time.Millisecond)
			r.Observe(shop, sleep, seen("api.pay.example", time.Now()))
			time.Sleep(1500 * time.Millisecond)
		})
	}
	load.Wait()
	stopA()
	stopB()
	r, stop := start("c") // after a restart
	r.Observe(shop, sleep, seen("api.pay.example", time.Now()))
	time.Sleep(1500 * time.Millisecond)
	stop()
	want := "apps/v1 Deployment/sleep blocked (block_all), no ServiceEntry visible to this workload declares it: api.pay.example:443 (TLS); see outrider egress verify -n " + shop
	kit.EventuallyTrue(t, "the Event", func() bool { return strings.Join(c.notes(shop), "\n") == want })
	if got := c.notes(bank); len(got) != 0 {
		t.Errorf("Events of a namespace without blocked hosts: %q", got)
	}
	// The replicas have limits of their own, and each adds some of the names.
	if got := c.notes(loud); len(got) < 1 || len(got) > 2 || !strings.HasPrefix(got[0], "batch/v1 CronJob/nightly blocked") {
		t.Errorf("Events of a flood: %q", got)
	}
	for _, command := range []string{"events --for deployment.apps/sleep", "describe deployment sleep"} { // the second one lists by UID
		if out := c.kubectl(append(strings.Fields(command), "-n", shop)...); !strings.Contains(out, "EgressBlocked") {
			t.Errorf("kubectl %s:\n%s", command, out)
		}
	}
}
