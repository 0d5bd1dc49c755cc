package serve

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestEditAppliesToTheNextPod(t *testing.T) {
	i := startInstance(t, excludeOne).ready()
	ns := i.workspace()
	first, err := i.create(ns, sleepPod("first"))
	i.must(err)

	var took []time.Duration
	for n := range 9 {
		want := fmt.Sprintf("10.%d.0.0/16", n)
		i.setValues("global:\n  proxy:\n    excludeIPRanges: " + want + "\n")
		start := time.Now()
		i.eventually("the edit is active", func() string {
			pod, err := i.create(ns, sleepPod("probe"), metav1.DryRunAll)
			if err != nil {
				return err.Error()
			}
			if got := initArguments(pod); !strings.Contains(got, want) {
				return got
			}
			return ""
		})
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	t.Logf("edit to next pod: median %s, largest of %d: %s", took[len(took)/2], len(took), took[len(took)-1])

	again, err := i.Client.CoreV1().Pods(ns).Get(t.Context(), "first", metav1.GetOptions{})
	i.must(err)
	if initArguments(again) != initArguments(first) {
		t.Error("the edit changed a pod that was there before")
	}
}

func TestInvalidEditKeepsConfiguration(t *testing.T) {
	i := startInstance(t, excludeOne).ready()
	ns := i.workspace()
	i.setValues("global:\n  proxy:\n    excludeIPRanges: 10.1.0.0/16\n    includeIPRanges: 10.0.0.0/40\n")
	i.eventually("the edit is rejected", func() string {
		if i.metric("sidecar_injection_config_rejections_total") == 0 {
			return "nothing was rejected"
		}
		return ""
	})
	pod, err := i.create(ns, sleepPod("sleep"))
	i.must(err)
	if got := initArguments(pod); !strings.Contains(got, "10.96.0.0/12") || strings.Contains(got, "10.1.0.0") {
		t.Errorf("a rejected configuration is active, in part: %q", got)
	}
	if missing := i.readyz(); missing != "" {
		t.Errorf("not ready any more: %s", missing)
	}
	i.eventually("an event has the reason", func() string {
		events, err := i.Client.EventsV1().Events(i.namespace).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			return err.Error()
		}
		for _, e := range events.Items {
			if e.Reason == "ConfigurationRejected" && strings.Contains(e.Note, "10.0.0.0/40") && e.Regarding.Kind == "ConfigMap" {
				return ""
			}
		}
		return fmt.Sprintf("%d events, none of them fitting", len(events.Items))
	})

	// The ConfigMap is deleted: its last valid configuration stays active.
	i.must(i.Client.CoreV1().ConfigMaps(i.namespace).Delete(t.Context(), "istio-sidecar-injector-"+i.revision, metav1.DeleteOptions{}))
	time.Sleep(time.Second)
	pod, err = i.create(ns, sleepPod("later"))
	i.must(err)
	if got := initArguments(pod); !strings.Contains(got, "10.96.0.0/12") {
		t.Errorf("the deletion activated the defaults: %q", got)
	}
}

func TestInvalidInitialConfiguration(t *testing.T) {
	i := startInstance(t, "global:\n  proxy:\n    excludeIPRanges: nonsense\n")
	ns := i.workspace()
	i.eventually("the configuration is rejected", func() string {
		if i.metric("sidecar_injection_config_rejections_total") == 0 {
			return "nothing was rejected"
		}
		return ""
	})
	i.eventually("readiness names the configuration", func() string {
		if text := i.readyz(); !strings.Contains(text, "[-]configuration") || strings.Contains(text, "[-]certificate") {
			return "readyz: " + text
		}
		return ""
	})
	i.eventually("pods are denied with the reason", func() string {
		_, err := i.create(ns, sleepPod("sleep"))
		if err == nil || !strings.Contains(err.Error(), "no valid configuration loaded") {
			return fmt.Sprint(err)
		}
		return ""
	})
	i.setValues(excludeOne)
	i.ready()
	pod, err := i.create(ns, sleepPod("sleep"))
	i.must(err)
	if !injected(pod) {
		t.Error("not injected once the configuration was fixed")
	}
}

// A mesh ConfigMap alone is a configuration; the other one has its defaults.
func TestMeshConfigMapIsFollowed(t *testing.T) {
	i := startInstance(t, "").ready()
	_, err := i.Client.CoreV1().ConfigMaps(i.namespace).Create(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "istio-" + i.revision},
		Data:       map[string]string{"mesh": "defaultConfig:\n  concurrency: 7\n"},
	}, metav1.CreateOptions{})
	i.must(err)
	ns := i.workspace()
	i.eventually("the mesh configuration is active", func() string {
		pod, err := i.create(ns, sleepPod("probe"), metav1.DryRunAll)
		if err != nil {
			return err.Error()
		}
		for _, c := range pod.Spec.InitContainers {
			if text := strings.Join(append(c.Command, c.Args...), " "); c.Name == "istio-proxy" && strings.Contains(text, "--concurrency 7") {
				return ""
			}
		}
		return "no --concurrency 7"
	})
}
