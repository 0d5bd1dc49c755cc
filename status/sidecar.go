package status

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// startTime is how long a sidecar may take until it is ready: pulling its image included.
const startTime = time.Minute

// notReady is the problem of a sidecar that is not ready, where it has one.
func notReady(p *corev1.Pod, now time.Time) (Sidecar, bool) {
	if p.Status.StartTime == nil || now.Sub(p.Status.StartTime.Time) < startTime {
		return Sidecar{}, false
	}
	for _, list := range [][]corev1.ContainerStatus{p.Status.InitContainerStatuses, p.Status.ContainerStatuses} {
		for i := range list {
			s := &list[i]
			if s.Name != "istio-proxy" || s.Ready {
				continue
			}
			out := Sidecar{Namespace: p.Namespace, Pod: p.Name, ID: NotReady, Text: "istio-proxy is not ready"}
			switch w, t, last := s.State.Waiting, s.State.Terminated, s.LastTerminationState.Terminated; {
			case w != nil:
				out.Text = fmt.Sprintf("istio-proxy does not run: %s", w.Reason)
			case t != nil:
				out.Text, out.Time = fmt.Sprintf("istio-proxy has ended with exit code %d: %s", t.ExitCode, t.Reason), t.FinishedAt.UTC()
			case last != nil:
				out.Text += fmt.Sprintf("; it has restarted %d times, the last time after exit code %d: %s", s.RestartCount, last.ExitCode, last.Reason)
				out.Time = last.FinishedAt.UTC()
			}
			return out, true
		}
	}
	return Sidecar{}, false
}

// RejectedEvent is the reason of the events on pods whose sidecar rejects a configuration.
const RejectedEvent = "SidecarRejectedConfiguration"

// rejections are what events report of pods that still run.
func rejections(events []corev1.Event, runs func(namespace, name, uid string) bool) (out []Sidecar) {
	last := map[string]int{}
	for i := range events {
		e := &events[i]
		o := e.InvolvedObject
		if e.Reason != RejectedEvent || !runs(o.Namespace, o.Name, string(o.UID)) {
			continue
		}
		at := e.EventTime.Time
		for _, t := range []time.Time{e.LastTimestamp.Time, e.CreationTimestamp.Time} {
			if t.After(at) {
				at = t
			}
		}
		if e.Series != nil && e.Series.LastObservedTime.After(at) {
			at = e.Series.LastObservedTime.Time
		}
		found := Sidecar{Namespace: o.Namespace, Pod: o.Name, ID: Rejecting, Text: e.Message, Time: at.UTC().Truncate(time.Second)}
		id := o.Namespace + "/" + o.Name
		if j, ok := last[id]; !ok {
			last[id] = len(out)
			out = append(out, found)
		} else if out[j].Time.Before(found.Time) {
			out[j] = found
		}
	}
	return out
}
