package xds

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/go-logr/logr"
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

// Observer is the reporter as an observer.
func (r Reporter) Observer() Observer {
	return Observer{
		Connected:      func(i Identity) { r.Log.V(1).Info("connected", "sidecar", i.String()) },
		Disconnected:   func(i Identity) { r.Log.V(1).Info("disconnected", "sidecar", i.String()) },
		StreamRejected: func(err error) { r.Log.Info("xDS stream rejected", "reason", err.Error()) },
		Limited: func(i Identity, limit, message string) {
			r.Log.Info("xDS stream closed: limit exceeded", "sidecar", i.String(), "limit", limit, "reason", message)
		},
		Rejected: r.nack,
		Failed: func(namespace string, err error) {
			r.Log.Error(err, "failed to build namespace configuration; sidecars keep the previous one", "namespace", namespace)
		},
	}
}

func (r Reporter) nack(n Rejection) {
	r.Log.Error(nil, "sidecar rejected configuration (NACK), keeping last accepted", "sidecar", n.Identity.String(),
		"node", n.Node, "type", n.TypeURL, "resources", strings.Join(n.Resources, ","), "reason", n.Reason)
	if n.Identity.Pod != "" {
		go r.event(n) // an observer must not block
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
