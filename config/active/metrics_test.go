package active

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Only the active hash has a sample.
func TestMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	m, err := newMetrics(registry)
	if err != nil {
		t.Fatal(err)
	}
	at := time.UnixMilli(1750000000500)
	m.applied(at)
	m.rejected()
	m.status(Status{Hash: "one", Source: FromConfigMaps})
	m.status(Status{Hash: "two", Source: FromLastGood, Rejected: true})
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, sample := range f.GetMetric() {
			name := f.GetName()
			for _, l := range sample.GetLabel() {
				name += " " + l.GetValue()
			}
			got[name] = sample.GetGauge().GetValue() + sample.GetCounter().GetValue()
		}
	}
	for name, want := range map[string]float64{
		"sidecar_injection_config_info two last-good": 1, "sidecar_injection_config_rejected": 1, "sidecar_injection_config_rejections_total": 1,
		"sidecar_injection_config_last_load_timestamp_seconds": 1750000000.5,
	} {
		if got[name] != want {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
	if len(got) != 4 {
		t.Errorf("%d samples: %v", len(got), got)
	}
}
