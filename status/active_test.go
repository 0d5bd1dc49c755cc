package status_test

import (
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/outrider-mesh/outrider/annotation"
	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/status"
	"github.com/outrider-mesh/outrider/test/kit"
)

// lease is that of a replica that reported some seconds ago.
func lease(name, components, hash, source, notApplied string, seconds int) coordinationv1.Lease {
	renewed, duration := metav1.NewMicroTime(at.Add(-time.Duration(seconds)*time.Second)), int32(60)
	l := coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{
		Name: "outrider-replica-" + name, Labels: map[string]string{annotation.Rev: "default"},
		Annotations: map[string]string{
			annotation.ReplicaComponents: components, annotation.ConfigHash: hash, annotation.ConfigSource: source, annotation.ConfigReason: notApplied,
			annotation.ReplicaVersion: "v1", annotation.ReplicaSidecars: "",
		},
	}}
	l.Spec.RenewTime, l.Spec.LeaseDurationSeconds = &renewed, &duration
	return l
}

// TestChoose: the active configuration is what the replicas of the webhook report.
func TestChoose(t *testing.T) {
	now, good := config.Texts{Values: "now"}, config.Texts{Values: "good"}
	record, err := config.NewRecord("good", at.Add(-time.Hour), "v1", config.Location{}, good)
	kit.Must(t, err)
	for name, tt := range map[string]struct {
		in      status.Configurations
		hash    string // of the compiled texts
		texts   config.Texts
		source  string
		since   bool
		warning string
	}{
		"applied": {status.Configurations{ConfigMaps: good, History: config.History{record}, Leases: []coordinationv1.Lease{lease("a", "webhook", "good", "configmap", "none", 5)}},
			"good", good, "configmap", true, ""},
		"no ConfigMaps": {status.Configurations{None: true, Leases: []coordinationv1.Lease{lease("a", "webhook", "h", "defaults", "none", 5)}}, "h", config.Texts{}, "defaults", false, ""},
		"rejected": {status.Configurations{ConfigMaps: now, History: config.History{record}, Leases: []coordinationv1.Lease{lease("a", "webhook", "good", "last-good", "line 3", 5)}},
			"good", good, "last-good", true, ""},
		"rejected, and not stored": {status.Configurations{ConfigMaps: now, Leases: []coordinationv1.Lease{lease("a", "webhook", "good", "last-good", "line 3", 5)}},
			"now", now, "configmap", false, "the last good configuration good, which is active, could not be read"},
		"the control plane's is not that of pods": {status.Configurations{ConfigMaps: now, History: config.History{record}, Leases: []coordinationv1.Lease{
			lease("a", "webhook", "now", "configmap", "none", 5), lease("b", "xds", "good", "last-good", "line 3", 5),
		}}, "now", now, "configmap", false, ""},
		"a replica that is gone": {status.Configurations{ConfigMaps: now, History: config.History{record}, Leases: []coordinationv1.Lease{
			lease("a", "webhook", "now", "configmap", "none", 5), lease("b", "webhook", "good", "last-good", "line 3", 500),
		}}, "now", now, "configmap", false, ""},
		"two configurations": {status.Configurations{ConfigMaps: now, Leases: []coordinationv1.Lease{
			lease("a", "webhook", "now", "configmap", "none", 5), lease("b", "webhook", "old", "configmap", "none", 5),
		}}, "now", now, "configmap", false, "the replicas of the webhook have different configurations: now, old; pods are compared with now"},
		"another version": {status.Configurations{ConfigMaps: now, Leases: []coordinationv1.Lease{lease("a", "webhook", "theirs", "configmap", "none", 5)}},
			"ours", now, "configmap", false, "the webhook has configuration theirs, and this program, version v2, has ours"},
		"no replica":          {status.Configurations{ConfigMaps: now}, "now", now, "configmap", false, "no replica of revision default reports its configuration"},
		"Leases are not read": {status.Configurations{ConfigMaps: now, Unread: true}, "now", now, "configmap", false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := tt.in.Choose("", at)
			c.Compiled(tt.hash, "v2")
			if c.Texts != tt.texts || c.Active.Source != tt.source || c.Active.Since.IsZero() == tt.since || c.Active.Hash != tt.hash || (c.Active.NotApplied != "") != strings.HasPrefix(name, "rejected") {
				t.Errorf("%+v", c)
			}
			warnings := strings.Join(c.Warnings, "\n")
			if (warnings == "") != (tt.warning == "") || !strings.Contains(warnings, tt.warning) {
				t.Errorf("%q", warnings)
			}
		})
	}
}

// TestReplicasAndSidecars: what replicas report, and what events and the pods themselves
// show, of pods that run.
func TestReplicasAndSidecars(t *testing.T) {
	base := settings(t, config.Texts{})
	in := input(base)
	xds := lease("xds-1", "xds", "abc", "configmap", "none", 5)
	xds.Annotations[annotation.ReplicaSidecars] = `{"connected":7,"behind":1,"rejecting":2,"problems":[{"namespace":"shop","pod":"a-5c4-1","id":"behind","text":"slow"},{"namespace":"shop","pod":"gone","id":"behind","text":"x"}]}`
	other := lease("canary", "webhook", "abc", "configmap", "none", 5)
	other.Labels[annotation.Rev] = "canary"
	in.Leases = []coordinationv1.Lease{xds, lease("w", "webhook", "abc", "configmap", "none", 900), other}
	a, b := started(t, base, pod("a", "1", nil)), started(t, base, pod("b", "1", nil))
	begun := metav1.NewTime(at.Add(-time.Hour))
	b.Status.StartTime = &begun
	b.Status.InitContainerStatuses = []corev1.ContainerStatus{{Name: "istio-proxy", RestartCount: 4, LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 137, Reason: "OOMKilled", FinishedAt: begun}}}}
	event := func(uid, text string, minutes int) corev1.Event {
		return corev1.Event{Reason: status.RejectedEvent, Message: text, LastTimestamp: metav1.NewTime(at.Add(-time.Duration(minutes) * time.Minute)),
			InvolvedObject: corev1.ObjectReference{Namespace: "shop", Name: "a-5c4-1", UID: a.UID}}
	}
	earlier := event("", "of an earlier pod of the name", 1)
	earlier.InvolvedObject.UID = "other"
	in.Events = []corev1.Event{event("", "older", 9), event("", "Envoy rejected 80", 2), earlier}
	r := collect(t, in, a, b).Report()
	if len(r.Replicas) != 2 || r.Replicas[1].Name != "xds-1" || *r.Replicas[1].Connected != 7 || r.Replicas[1].Behind != 1 || r.Replicas[1].Rejecting != 2 || !r.Replicas[0].Silent || r.Replicas[1].Silent {
		t.Errorf("%+v", r.Replicas)
	}
	var got []string
	for _, s := range r.Sidecars {
		got = append(got, s.Pod+" "+s.ID+" "+s.Text)
	}
	want := []string{"a-5c4-1 behind slow", "a-5c4-1 rejecting Envoy rejected 80", "b-5c4-1 not_ready istio-proxy is not ready; it has restarted 4 times, the last time after exit code 137: OOMKilled"}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
	text := r.Text(status.Style{Now: at})
	for _, want := range []string{"7, 1 behind, 2 rejecting", "(silent)", "Sidecars with a problem:", "OOMKilled"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}
