package envoy_test

import (
	"strings"
	"testing"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/egress/envoy"
	"github.com/outrider-mesh/outrider/test/egresstest"
	"github.com/outrider-mesh/outrider/test/kit"
)

// The bounds of what reports add to a listener. A port has seven loggers that count, of some
// 3 KiB of a sidecar's memory each: two of connections to addresses of the cluster, two of
// connections by SNI, one of undeclared requests and two of undeclared connections. It has two
// loggers of entries, of 2 KiB each. So a port takes some 25 KiB, with its configuration.
const (
	mostCounting = 7
	mostEntries  = 2
	mostAdded    = 4 << 10 // bytes of configuration
)

// TestReportsOfListeners bounds what reports add to each listener.
func TestReportsOfListeners(t *testing.T) {
	for _, mode := range []string{"ALLOW_ANY", "REGISTRY_ONLY"} {
		in := egresstest.Load(t, "testdata/hosts/input.yaml")
		in.Mesh = egresstest.Mesh(t, "accessLogFile: /dev/stdout\noutboundTrafficPolicy: {mode: "+mode+"}\n")
		without, with := listenersOf(t, in, false), listenersOf(t, in, true)
		if len(with) < 3 || len(without) != len(with) {
			t.Fatalf("%d listeners with reports, %d without", len(with), len(without))
		}
		for i, l := range with {
			counting := strings.Count(l, "envoy.access_loggers.stats")
			entries := strings.Count(l, "envoy.access_loggers.http_grpc") + strings.Count(l, "envoy.access_loggers.tcp_grpc")
			added := len(l) - len(without[i])
			if counting == 0 || counting > mostCounting || entries == 0 || entries > mostEntries || added > mostAdded {
				t.Errorf("%s: reports add %d loggers that count, %d of entries and %d bytes to listener %d, more than %d, %d and %d, or none",
					mode, counting, entries, added, i, mostCounting, mostEntries, mostAdded)
			}
		}
	}
}

// listenersOf are the listeners of a namespace, in binary form.
func listenersOf(t *testing.T, in egress.Input, reports bool) (out []string) {
	t.Helper()
	in.Reports = reports
	model, problems := egress.Build(in)
	kit.Must(t, problems.Err())
	all, err := envoy.Listeners(model.View("default"))
	kit.Must(t, err)
	for _, r := range all {
		out = append(out, string(r.Body.Value))
	}
	return out
}
