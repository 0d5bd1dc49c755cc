package xds

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	coreclient "k8s.io/client-go/kubernetes/typed/core/v1"
)

// Reporter reports a Server's events where users look: in the log, and a NACK in
// an event on the sidecar's pod.
type Reporter struct {
	Pods   coreclient.PodsGetter // needs get
	Events interface {
		Eventf(regarding, related runtime.Object, eventtype, reason, action, note string, args ...any)
	}
	Log logr.Logger
}

const (
	// logRate and logBurst are the lines per second about clients that the server rejects;
	// without credentials anybody can cause some.
	logRate  = 10
	logBurst = 100
	// eventsAtOnce are NACK events being sent. The log has those that are omitted.
	eventsAtOnce = 10
)

// sampled logs at most logRate lines, and how many were omitted.
type sampled struct {
	log     logr.Logger
	rate    *rate.Limiter
	omitted atomic.Int64
}

func (s *sampled) info(message string, values ...any) {
	if !s.rate.Allow() {
		s.omitted.Add(1)
		return
	}
	if n := s.omitted.Swap(0); n > 0 {
		values = append(values, "similarLinesOmitted", n)
	}
	s.log.Info(message, values...)
}

// Observer is the reporter as an observer.
func (r Reporter) Observer() Observer {
	sample := func() *sampled { return &sampled{log: r.Log, rate: rate.NewLimiter(logRate, logBurst)} }
	rejected, limited, connections := sample(), sample(), sample()
	events := make(chan struct{}, eventsAtOnce)
	return Observer{
		Connected:      func(i Identity) { r.Log.V(1).Info("connected", "sidecar", i.String()) },
		Disconnected:   func(i Identity) { r.Log.V(1).Info("disconnected", "sidecar", i.String()) },
		StreamRejected: func(err error) { rejected.info("xDS stream rejected", "reason", err.Error()) },
		Limited: func(i Identity, limit, message string) {
			limited.info("xDS stream closed: limit exceeded", "sidecar", i.String(), "limit", limit, "reason", message)
		},
		ConnectionLimited: func(source, limit, message string) {
			connections.info("xDS connection closed: limit exceeded", "source", source, "limit", limit, "reason", message)
		},
		Rejected: func(n Rejection) { r.nack(n, events) },
		Failed: func(namespace string, err error) {
			r.Log.Error(err, "failed to build namespace configuration; sidecars keep the previous one", "namespace", namespace)
		},
	}
}

func (r Reporter) nack(n Rejection, events chan struct{}) {
	r.Log.Error(nil, "sidecar rejected configuration (NACK), keeping last accepted", "sidecar", n.Identity.String(),
		"node", n.Node, "type", n.TypeURL, "resources", strings.Join(n.Resources, ","), "reason", n.Reason)
	if n.Identity.Pod == "" {
		return
	}
	select {
	case events <- struct{}{}:
		go func() { // an observer must not block
			defer func() { <-events }()
			r.event(n)
		}()
	default:
	}
}

// maxNote is below the 1,024 bytes that the events API allows.
const maxNote = 1000

func (r Reporter) event(n Rejection) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	pod, err := r.Pods.Pods(n.Identity.Namespace).Get(ctx, n.Identity.Pod, metav1.GetOptions{})
	if err != nil {
		return // it was deleted; the log has the rejection
	}
	pod.APIVersion, pod.Kind = "v1", "Pod" // a typed client omits them
	note := fmt.Sprintf("Envoy rejected %s: %s; previous configuration remains active", strings.Join(n.Resources, ", "), n.Reason)
	r.Events.Eventf(pod, nil, corev1.EventTypeWarning, "SidecarRejectedConfiguration", "Push", "%s", note[:min(len(note), maxNote)])
}
