package webhook

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/tidwall/gjson"
)

// Bodies that are valid and unusual reviews: each gets the right response, at a
// bounded cost.
func TestPodHandler_VeryLargePods(t *testing.T) {
	quote := func(s string) string { b, _ := json.Marshal(s); return string(b) }
	annotated := func(name, value string) string {
		return `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","annotations":{` + quote(name) + `:` + quote(value) + `}},"spec":{"containers":[{"name":"a","image":"a"}]}}`
	}
	containers := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `,{"name":"c%d","image":"a"}`, i)
		}
		return `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"},"spec":{"containers":[` + b.String()[1:] + `]}}`
	}
	variables := func(size int) string {
		return `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"},"spec":{"containers":[{"name":"a","image":"a","env":[{"name":"BIG","value":"` +
			strings.Repeat("x", size) + `"}]}]}}`
	}
	million := 1_000_000
	for _, tt := range []struct {
		name    string
		pod     string
		allowed bool
		message string
	}{
		{"a million bytes in a user's annotation", annotated("example.com/big", strings.Repeat("a", million)), true, ""},
		{"a million bytes of junk in a range list", annotated("traffic.sidecar.istio.io/excludeOutboundIPRanges", strings.Repeat("a", million)), false, "excludeOutboundIPRanges"},
		{"a million bytes of wrong ranges", annotated("traffic.sidecar.istio.io/excludeOutboundIPRanges", strings.Repeat("10.0.0.0/99,", million/12)), false, "excludeOutboundIPRanges"},
		{"a million bytes of junk in a port list", annotated("traffic.sidecar.istio.io/excludeOutboundPorts", strings.Repeat("99999,", million/6)), false, "excludeOutboundPorts"},
		{"a million bytes of template names", annotated("inject.istio.io/templates", strings.Repeat("a,", million/2)), false, "inject.istio.io/templates"},
		{"a million bytes of YAML", annotated("proxy.istio.io/config", strings.Repeat("[", million)), false, "proxy.istio.io/config"},
		{"a million bytes of an earlier status", annotated("sidecar.istio.io/status", strings.Repeat(`{"a":`, million/5)), true, ""},
		{"ten thousand containers", containers(10_000), true, ""},
		{"three megabytes", variables(3 << 20), true, ""},
		{"an unknown field nested 9,000 deep", `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"},"spec":{"containers":[{"name":"a"}],"a":` + strings.Repeat(`{"a":`, 9000) + `1` + strings.Repeat(`}`, 9000) + `}}`, true, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newFixture(t, compiled(t, ""))
			h := NewPodHandler(b.options)
			body := reviewOf(tt.pod)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			w := post(h, body)
			runtime.ReadMemStats(&after)
			got := answerOf(t, w)
			allocated := after.TotalAlloc - before.TotalAlloc
			t.Logf("%d bytes in, %d out, %d allocated", len(body), w.Body.Len(), allocated)
			if got.Allowed != tt.allowed {
				t.Errorf("allowed %v: %+v", got.Allowed, got.Result)
			}
			if n := b.metric("sidecar_injection_panics_total"); n != 0 {
				t.Errorf("%v panics", n)
			}
			if !got.Allowed && (got.Result.Message == "" || len(got.Result.Message) > maxMessage+100 || !strings.Contains(got.Result.Message, tt.message)) {
				t.Errorf("message of %d bytes: %.300s", len(got.Result.Message), got.Result.Message)
			}
			if tt.allowed && !strings.Contains(gjson.ParseBytes(got.Patch).Raw, "istio-proxy") {
				t.Errorf("not injected: %.300s", got.Patch)
			}
			// Decoded values are larger than their text, and so are the messages
			// about a hundred thousand bad items before they are cut; what grows
			// faster than the body is a defect.
			if limit := uint64(150*len(body) + 1<<20); allocated > limit {
				t.Errorf("%d bytes allocated for a body of %d, more than %d", allocated, len(body), limit)
			}
		})
	}
}
