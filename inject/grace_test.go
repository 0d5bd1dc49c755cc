package inject

import (
	"fmt"
	"testing"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/test/kit"
)

// TestPreStopSleep_Grace: the API server rejects a pod with a preStop hook that sleeps as
// long as its terminationGracePeriodSeconds, or longer.
func TestPreStopSleep_Grace(t *testing.T) {
	for _, native := range []bool{true, false} {
		i := mustCompile(t, config.Texts{Values: fmt.Sprintf("pilot: {env: {ENABLE_NATIVE_SIDECARS: %v}}\n", native)}, Environment{})
		for grace, want := range map[string]map[bool]int64{
			"":                                   {true: 1, false: 5},
			`"terminationGracePeriodSeconds":0,`: {true: 0, false: 0}, `"terminationGracePeriodSeconds":1,`: {true: 0, false: 0},
			`"terminationGracePeriodSeconds":2,`: {true: 1, false: 1}, `"terminationGracePeriodSeconds":60,`: {true: 1, false: 5},
		} {
			result := mustInject(t, i, Request{Pod: []byte(`{"metadata":{"name":"a"},"spec":{` + grace + `"containers":[{"name":"a","image":"a"}]}}`)})
			pod, err := decodePod(result.Tree().AppendTo(nil))
			kit.Must(t, err)
			got := int64(0)
			for _, c := range append(pod.Spec.InitContainers, pod.Spec.Containers...) {
				if c.Name == proxyContainerName && c.Lifecycle != nil {
					got = c.Lifecycle.PreStop.Sleep.Seconds
				}
			}
			if got != want[native] {
				t.Errorf("native %v, %q: the hook sleeps %d s, want %d", native, grace, got, want[native])
			}
		}
	}
}
