package live

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/egress/report"
)

// Blocked destinations that are new in an EgressReport are announced by an Event on their
// workload. Of several replicas one adds a destination to the object, and it announces it;
// after a restart nothing is announced again. The namespace of an Event is that of the
// object, and so of the token.
const (
	eventReason = "EgressBlocked"
	eventAction = "Block"
	// eventInterval is the least time between two Events of a workload. What is new
	// meanwhile is in the next one. The recorder of Events counts an Event that it sent less
	// than 12 minutes ago as the same one, with the same note.
	eventInterval = 15 * time.Minute
	// A namespace has 10 Events at once and one a minute, all have 50 and one a second. An
	// Event takes some 1.5 KB of etcd for an hour: 105 KB of a namespace, and 5.5 MB of all.
	eventsOfNamespace = 10
	eventsOfAll       = 50
	// Workloads that are remembered: those with an Event in the last interval, or with one
	// to come. With five hosts of 253 bytes and more one takes 2 KB, so all take 4 MB. What
	// exceeds the limits is in the report only.
	eventWorkloads            = 2000
	eventWorkloadsOfNamespace = 100
	// uidsTimeout is the time for the UIDs of the workloads of all Events that are due, 50 at
	// most. The others have none.
	uidsTimeout = 2 * time.Second
	// eventHosts are listed in an Event; the others are counted.
	eventHosts = 5
)

// Events records Events.
type Events interface {
	Eventf(regarding, related runtime.Object, eventtype, reason, action, note string, args ...any)
}

// eventKey is what an Event is about.
type eventKey struct {
	namespace string
	workload  report.Workload
}

// announced are the destinations of a workload for its next Event.
type announced struct {
	last   time.Time // of its Events
	since  time.Time // the first of these
	hosts  []report.Destination
	number int
}

// announcer makes Events. Without a recorder it does nothing.
type announcer struct {
	to  Events
	now func() time.Time
	uid func(context.Context, eventKey) types.UID // of the workload; empty: not known

	mu         sync.Mutex
	all        *rate.Limiter
	of         map[eventKey]*announced
	namespaces map[string]*eventsIn
	waiting    int // workloads with an Event to come
}

type eventsIn struct {
	limit     *rate.Limiter
	workloads int
}

func newAnnouncer(to Events, now func() time.Time) *announcer {
	unknown := func(context.Context, eventKey) types.UID { return "" }
	return &announcer{to: to, now: now, uid: unknown, all: rate.NewLimiter(1, eventsOfAll), of: map[eventKey]*announced{}, namespaces: map[string]*eventsIn{}}
}

// add adds blocked destinations of a namespace. It returns how many are omitted.
func (a *announcer) add(namespace string, all []destinationOf) (omitted int) {
	if a.to == nil {
		return 0
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, d := range all {
		next := a.next(eventKey{namespace, d.workload})
		if next == nil {
			omitted++
			continue
		}
		if next.number == 0 {
			next.since = a.now()
			a.waiting++
		}
		if next.number++; len(next.hosts) < eventHosts {
			next.hosts = append(next.hosts, d.destination)
		}
	}
	return omitted
}

// next is the next Event of a workload; nil over the limits.
func (a *announcer) next(key eventKey) *announced {
	if next := a.of[key]; next != nil {
		return next
	}
	in := a.namespaces[key.namespace]
	if in == nil {
		in = &eventsIn{limit: rate.NewLimiter(rate.Every(time.Minute), eventsOfNamespace)}
	}
	if len(a.of) >= eventWorkloads || in.workloads >= eventWorkloadsOfNamespace {
		return nil
	}
	in.workloads++
	next := &announced{}
	a.namespaces[key.namespace], a.of[key] = in, next
	return next
}

// event is an Event that is due.
type event struct {
	of   eventKey
	note string
}

// send makes the Events that are due.
func (a *announcer) send(ctx context.Context) (sent int) {
	due := a.due()
	ctx, cancel := context.WithTimeout(ctx, uidsTimeout)
	defer cancel()
	for _, e := range due {
		a.to.Eventf(regarding(e.of, a.uid(ctx, e.of)), nil, corev1.EventTypeWarning, eventReason, eventAction, "%s", e.note)
	}
	return len(due)
}

// due takes the Events that are due, the longest waiting first.
func (a *announcer) due() (out []event) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.now()
	if a.waiting > 0 {
		for _, key := range slices.SortedFunc(maps.Keys(a.of), a.compare) {
			next, in := a.of[key], a.namespaces[key.namespace]
			if next.number == 0 || now.Sub(next.last) < eventInterval || a.all.TokensAt(now) < 1 || !in.limit.AllowN(now, 1) {
				continue
			}
			a.all.AllowN(now, 1)
			out = append(out, event{key, noteOf(key.namespace, next)})
			*next = announced{last: now}
			a.waiting--
		}
	}
	a.forget(now)
	return out
}

func (a *announcer) compare(x, y eventKey) int {
	return cmp.Or(a.of[x].since.Compare(a.of[y].since), cmp.Compare(x.namespace, y.namespace), cmp.Compare(x.workload.String(), y.workload.String()))
}

// forget forgets workloads whose next Event may come at any time, and namespaces that may
// have as many as at first.
func (a *announcer) forget(now time.Time) {
	for key, next := range a.of {
		if next.number == 0 && now.Sub(next.last) >= eventInterval {
			delete(a.of, key)
			a.namespaces[key.namespace].workloads--
		}
	}
	for namespace, in := range a.namespaces {
		if in.workloads == 0 && in.limit.TokensAt(now) >= eventsOfNamespace {
			delete(a.namespaces, namespace)
		}
	}
}

// noteOf is the text of an Event.
func noteOf(namespace string, a *announced) string {
	var all []egress.Reason
	for _, d := range a.hosts {
		all = append(all, egress.Reason{Code: d.Rule, Protocol: string(d.Protocol), Host: d.Host, Port: uint32(d.Port)})
	}
	return egress.BlockedNote(namespace, all, a.number-len(a.hosts))
}

// versionOf is the API version of the kinds of workloads; of others none is known.
var versionOf = map[string]string{
	"Deployment": "apps/v1", "StatefulSet": "apps/v1", "DaemonSet": "apps/v1", "ReplicaSet": "apps/v1", "Job": "batch/v1", "CronJob": "batch/v1",
	"Pod": "v1", "ServiceAccount": "v1", "ReplicationController": "v1", "Rollout": "argoproj.io/v1alpha1", "DeploymentConfig": "apps.openshift.io/v1",
}

// regarding is the workload. With an empty UID, "kubectl describe" does not list the Event.
func regarding(key eventKey, uid types.UID) runtime.Object {
	return &metav1.PartialObjectMetadata{
		TypeMeta:   metav1.TypeMeta{APIVersion: versionOf[key.workload.Kind], Kind: key.workload.Kind},
		ObjectMeta: metav1.ObjectMeta{Namespace: key.namespace, Name: key.workload.Name, UID: uid},
	}
}
