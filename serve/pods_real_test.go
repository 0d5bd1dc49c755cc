package serve

import (
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

const podsMetric = "sidecar_injection_pods"

// states waits until pods are counted so.
func (i *instance) states(want string) {
	i.t.Helper()
	i.eventually("pods are counted as "+want, func() string {
		var got string
		for _, state := range []string{"active", "stale", "missing", "failed"} {
			got += fmt.Sprintf("%s %v ", state, i.metric(podsMetric, state))
		}
		if got != want+" " {
			return got
		}
		return ""
	})
}

// label gives a namespace the label of the instance.
func (i *instance) label(ns string) {
	i.t.Helper()
	patch := fmt.Sprintf(`{"metadata":{"labels":{"istio.io/rev":%q}}}`, i.revision)
	_, err := i.Client.CoreV1().Namespaces().Patch(i.t.Context(), ns, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	i.must(err)
}

// TestPodsAreCounted: pods of the cluster are counted by their state, again after an edit,
// and those of other revisions are none of an instance.
func TestPodsAreCounted(t *testing.T) {
	i := startInstance(t, "global: {}\n", func(o *Options) { o.PodCountInterval = 500 * time.Millisecond }).ready()
	ns, later := i.workspace(), i.Namespace(t, nil)
	for n := range 3 {
		_, err := i.create(ns, sleepPod(fmt.Sprint("web-", n)))
		i.must(err)
	}
	_, err := i.create(later, sleepPod("early"))
	i.must(err)
	i.states("active 3 stale 0 missing 0 failed 0")
	i.label(later)
	i.states("active 3 stale 0 missing 1 failed 0")
	i.setValues("global: {proxy: {excludeIPRanges: 10.1.0.0/16}}\n")
	i.states("active 0 stale 3 missing 1 failed 0")
	i.setValues("# no pod depends on a comment\nglobal: {proxy: {}}\n")
	i.states("active 3 stale 0 missing 1 failed 0")
	if all := i.metric(podsMetric); all < 4 {
		t.Errorf("%v pods in all", all)
	}
	now := int64(0)
	i.must(i.Client.CoreV1().Pods(ns).Delete(t.Context(), "web-0", metav1.DeleteOptions{GracePeriodSeconds: &now}))
	i.states("active 2 stale 0 missing 1 failed 0")

	if i.metric("sidecar_injection_pods_counted_timestamp_seconds") < float64(time.Now().Add(-time.Minute).Unix()) {
		t.Error("the time of the last count is not set")
	}
}
