package live

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/outrider-mesh/outrider/egress/report"
)

// sentEvents are Events as "NAMESPACE KIND/NAME: NOTE".
type sentEvents []string

func (s *sentEvents) Eventf(regarding, _ runtime.Object, eventtype, reason, action, note string, args ...any) {
	o := regarding.(*metav1.PartialObjectMetadata)
	*s = append(*s, fmt.Sprintf("%s %s/%s %s %s %s: %s", o.Namespace, o.Kind, o.Name, eventtype, reason, action, fmt.Sprintf(note, args...)))
}

func blockedOf(workload string, hosts ...string) (all []destinationOf) {
	for _, h := range hosts {
		all = append(all, destinationOf{report.Workload{Kind: "Deployment", Name: workload}, seen(h, time.Now())[0].Destination})
	}
	return all
}

// TestEvents: an Event has all that is new, and the next one what is new in the interval.
func TestEvents(t *testing.T) {
	events, now := &sentEvents{}, time.Now()
	a := newAnnouncer(events, func() time.Time { return now })
	step := func(later time.Duration, want ...string) {
		t.Helper()
		now = now.Add(later)
		*events = nil
		a.send(t.Context())
		if got := strings.Join(*events, "\n"); got != strings.Join(want, "\n") {
			t.Errorf("got\n%s\nwant\n%s", got, strings.Join(want, "\n"))
		}
	}
	const start, end = " Warning EgressBlocked Block: blocked (block_all), no ServiceEntry visible to this workload declares it: ", "; see outrider egress verify -n shop"
	step(0)
	a.add("shop", blockedOf("web", "a.test", "b.test"))
	a.add("shop", blockedOf("db", "c.test"))
	step(0, "shop Deployment/db"+start+"c.test:443 (TLS)"+end, "shop Deployment/web"+start+"a.test:443 (TLS), b.test:443 (TLS)"+end)
	a.add("shop", blockedOf("web", "1.test", "2.test", "3.test"))
	a.add("shop", blockedOf("web", "4.test", "5.test", "6.test", "7.test"))
	step(eventInterval - time.Second)
	step(time.Second, "shop Deployment/web"+start+"1.test:443 (TLS), 2.test:443 (TLS), 3.test:443 (TLS), 4.test:443 (TLS), 5.test:443 (TLS); and 2 more"+end)
	step(eventInterval)
	if len(a.of) != 0 || len(a.namespaces) != 0 || a.waiting != 0 {
		t.Errorf("%d workloads of %d namespaces are kept, %d wait", len(a.of), len(a.namespaces), a.waiting)
	}
}

// TestEventLimits: a namespace that reports without end has its own Events, no other's, and
// takes a bounded amount of memory; others have theirs meanwhile.
func TestEventLimits(t *testing.T) {
	events, now := &sentEvents{}, time.Now()
	a := newAnnouncer(events, func() time.Time { return now })
	omitted, name := 0, 0
	hour := func(each func()) {
		for range 3600 {
			now = now.Add(time.Second)
			for range 20 {
				name++
				omitted += a.add("loud", blockedOf(fmt.Sprintf("w-%d", name%5000), fmt.Sprintf("%d.test", name)))
			}
			each()
			a.send(t.Context())
		}
	}
	quiet := 0
	hour(func() {
		if quiet < 3 {
			quiet++
			a.add("quiet", blockedOf(fmt.Sprintf("w-%d", quiet), "one.test"))
		}
	})
	loud, others := 0, 0
	for _, e := range *events {
		if strings.HasPrefix(e, "loud ") {
			loud++
		} else {
			others++
		}
		if len(e) > 1000 {
			t.Errorf("%d bytes: %s", len(e), e)
		}
	}
	if loud > eventsOfNamespace+60 || loud < 60 || others != quiet {
		t.Errorf("%d Events of the loud namespace in an hour, %d of %d of the other", loud, others, quiet)
	}
	if n := a.namespaces["loud"].workloads; n > eventWorkloadsOfNamespace || len(a.of) > eventWorkloads {
		t.Errorf("%d workloads are kept, %d of the namespace", len(a.of), n)
	}
	if omitted == 0 {
		t.Error("nothing is omitted")
	}

	many := newAnnouncer(&sentEvents{}, func() time.Time { return now })
	for i := range 3 * eventWorkloads {
		many.add(fmt.Sprintf("ns-%d", i), blockedOf("w", "a.test"))
	}
	sent := 0
	for range 60 {
		sent += many.send(t.Context())
		now = now.Add(time.Second)
	}
	if len(many.of) > eventWorkloads || sent > eventsOfAll+60 || sent < eventsOfAll {
		t.Errorf("%d workloads are kept, %d Events in a minute", len(many.of), sent)
	}
}

// TestEvents_WithoutUIDs has an API server that does not answer: all Events are sent, after
// one timeout.
func TestEvents_WithoutUIDs(t *testing.T) {
	events := &sentEvents{}
	a := newAnnouncer(events, time.Now)
	asked := 0
	a.uid = func(ctx context.Context, _ eventKey) types.UID {
		asked++
		<-ctx.Done()
		return ""
	}
	for i := range 5 {
		a.add("shop", blockedOf(fmt.Sprintf("w-%d", i), "a.test"))
	}
	start := time.Now()
	if sent := a.send(t.Context()); sent != 5 || asked != 5 || len(*events) != 5 {
		t.Errorf("%d Events are sent, %d arrived, after %d requests", sent, len(*events), asked)
	}
	if took := time.Since(start); took >= 2*uidsTimeout {
		t.Errorf("reports waited for %s", took)
	}
}
