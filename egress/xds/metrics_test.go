package xds

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/outrider-mesh/outrider/egress/envoy"
	"github.com/outrider-mesh/outrider/test/kit"
)

func TestMetrics(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	calls := 0
	o := Metrics(registry, Observer{Rejected: func(Rejection) { calls++ }})
	o.connected(Identity{})
	o.connected(Identity{})
	o.disconnected(Identity{})
	_ = o.streamRejected(errors.New("no token"))
	o.sent(envoy.TypeRoute, 2, 100)
	o.rejected(Rejection{TypeURL: envoy.TypeListener})
	o.failed("shop", errors.New("marshal"))
	if calls != 1 {
		t.Errorf("the next observer got %d rejections, want 1", calls)
	}
	families, err := registry.Gather()
	kit.Must(t, err)
	var got []string
	for _, f := range families {
		for _, m := range f.Metric {
			line := f.GetName()
			for _, l := range m.Label {
				line += " " + l.GetValue()
			}
			got = append(got, fmt.Sprint(line, " ", m.GetCounter().GetValue()+m.GetGauge().GetValue()))
		}
	}
	want := []string{
		"outrider_xds_connected 1", "outrider_xds_connections_total 2", "outrider_xds_refusals_total 1",
		"outrider_xds_rejections_total Listener 1", "outrider_xds_resource_bytes_total RouteConfiguration 100",
		"outrider_xds_resources_total RouteConfiguration 2", "outrider_xds_responses_total RouteConfiguration 1",
		"outrider_xds_view_failures_total 1",
	}
	if !slices.Equal(got, want) {
		t.Errorf("metrics\n%s, want\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
