package serve

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

// manyRanges is an include list of one family without the cluster's ranges, longer
// than a warning may be.
var manyRanges = func() string {
	var list []string
	for n := range 30 {
		list = append(list, fmt.Sprintf("192.168.%d.0/25", n))
	}
	return strings.Join(list, ",")
}()

// kubectl prints each fact about a list once, the worst first, and whole: where the
// API server would cut a warning, its value has been cut.
func TestWarningsAreWhole(t *testing.T) {
	i := startInstance(t, "{}").ready()
	i.validateEdits()
	const (
		path  = "annotation traffic.sidecar.istio.io/includeOutboundIPRanges"
		shown = `"192.168.0.0/25,192.168.1.0/25,192.168.2.0/25,192.168.3.0/25,…"`
	)
	// How much of the value remains depends on the length of the instance's names.
	configMap := "ConfigMap " + i.namespace + "/istio-sidecar-injector-" + i.revision + `: key "values":1:`
	for _, tt := range []struct {
		name, text, namespace string
		want                  [][2]string // the beginning and the end of each
	}{
		{"a pod template", `{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a", "annotations": {"traffic.sidecar.istio.io/excludeOutboundIPRanges": "10.0.0.0/8"}},
			"spec": {"selector": {"matchLabels": {"app": "a"}}, "template": {
				"metadata": {"labels": {"app": "a"}, "annotations": {"traffic.sidecar.istio.io/includeOutboundIPRanges": "` + manyRanges + `"}},
				"spec": {"containers": [{"name": "a", "image": "a"}]}}}}`, i.workspace(), [][2]string{
			{path + ": " + shown, `: only IPv4 ranges: all IPv6 traffic bypasses the sidecar; add IPv6 ranges, or use "*"; not needed on single-stack clusters`},
			{path + ": " + shown, ": omits 1 of 1 Service addresses in use, such as 10.0.0.1 of Service default/kubernetes: traffic to them bypasses the sidecar"},
			{`annotation traffic.sidecar.istio.io/excludeOutboundIPRanges: "10.0.0.0/8": no effect on the metadata of a Deployment itself; `, "move it to spec.template.metadata.annotations"},
		}},
		{"the values", i.named(`{values: "global: {proxy: {includeIPRanges: \"` + manyRanges + `\", imag: x}}"}`), i.namespace, [][2]string{
			{configMap + `35: global.proxy.includeIPRanges: "192.168.0.0/25`, ": only IPv4 ranges: all IPv6 traffic bypasses the sidecar"},
			{configMap + "35: global.proxy.includeIPRanges: ", "omits 1 of 1 Service addresses in use, such as 10.0.0.1 of Service default/kubernetes: traffic to them bypasses the sidecar"},
			{configMap + fmt.Sprintf("%d: global.proxy.imag: ", 39+len(manyRanges)), `unknown key; did you mean "image"?`},
		}},
	} {
		i.eventually(tt.name, func() string {
			out, err := i.kubectl(tt.text, "apply", "--dry-run=server", "-n", tt.namespace, "-f", "-")
			if err != nil {
				return err.Error() + out
			}
			var got []string
			for line := range strings.Lines(out) {
				// kubectl has a warning of its own about a ConfigMap that it did not create.
				if w, ok := strings.CutPrefix(line, "Warning: "); ok && !strings.Contains(w, "last-applied-configuration") {
					got = append(got, strings.TrimSuffix(w, "\n"))
				}
			}
			for _, w := range got {
				if n := utf8.RuneCountInString(w); n > 256 {
					t.Errorf("%s: %d characters: %s", tt.name, n, w)
				}
			}
			if len(got) != len(tt.want) {
				return fmt.Sprintf("%d warnings, want %d:\n%s", len(got), len(tt.want), strings.Join(got, "\n"))
			}
			for n, w := range tt.want {
				// The fix may have been omitted.
				whole := strings.HasSuffix(got[n], w[1]) || strings.Contains(got[n], w[1]+"; ")
				if !strings.HasPrefix(got[n], w[0]) || !whole {
					return fmt.Sprintf("got\n%s\nwant\n%s … %s", got[n], w[0], w[1])
				}
			}
			return ""
		})
	}
}
