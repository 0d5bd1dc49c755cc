package serve

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/rest"
)

var update = flag.Bool("update", false, "write the reference page of metrics")

const metricsPage = "../docs/metrics.md"

// collecting is a registry that remembers what was registered.
type collecting struct {
	*prometheus.Registry
	mu  sync.Mutex
	all []prometheus.Collector
}

func (c *collecting) Register(m prometheus.Collector) error {
	c.mu.Lock()
	c.all = append(c.all, m)
	c.mu.Unlock()
	return c.Registry.Register(m)
}

func (c *collecting) MustRegister(all ...prometheus.Collector) {
	for _, m := range all {
		if err := c.Register(m); err != nil {
			panic(err)
		}
	}
}

// described is how a Desc prints itself: the library tells it no other way.
var described = regexp.MustCompile(`^Desc\{fqName: "([^"]*)", help: "((?:[^"\\]|\\.)*)", unit: "[^"]*", constLabels: \{[^}]*\}, variableLabels: \{([^}]*)\}\}$`)

func kindOf(c prometheus.Collector) string {
	switch c.(type) {
	case *prometheus.CounterVec:
		return "counter"
	case *prometheus.GaugeVec:
		return "gauge"
	case prometheus.Histogram, *prometheus.HistogramVec:
		return "histogram"
	case prometheus.Gauge: // has what a counter has, and more
		return "gauge"
	}
	return "counter"
}

// TestMetricsPage holds the page against what the program registers.
func TestMetricsPage(t *testing.T) {
	registry := &collecting{Registry: prometheus.NewRegistry()}
	_, err := assemble(Options{
		Cluster: &rest.Config{Host: "https://127.0.0.1:1"}, Namespace: "istio-system",
		Address: "127.0.0.1:9443", XDSAddress: "127.0.0.1:15012", MetricsAddress: "0", HealthAddress: "0",
		Registry: registry, Log: logr.Discard(),
	})
	if err != nil {
		t.Fatal(err)
	}
	type row struct{ name, kind, labels, help string }
	var rows []row
	for _, c := range registry.all {
		descs := make(chan *prometheus.Desc, 10)
		c.Describe(descs)
		close(descs)
		for d := range descs {
			m := described.FindStringSubmatch(d.String())
			if m == nil {
				t.Fatalf("no description: %s", d)
			}
			if m[2] == "" || !strings.HasSuffix(m[2], ".") {
				t.Errorf("%s: help %q is no sentence", m[1], m[2])
			}
			rows = append(rows, row{m[1], kindOf(c), strings.ReplaceAll(m[3], ",", ", "), strings.ReplaceAll(m[2], `\"`, `"`)})
		}
	}
	slices.SortFunc(rows, func(a, b row) int { return cmp.Compare(a.name, b.name) })
	var b strings.Builder
	b.WriteString(`# Metrics

What ` + "`outrider serve`" + ` counts, at ` + "`/metrics`" + ` of ` + "`--metrics-address`" + `. No label has a value that a user or a sidecar
chooses. This page is made from the program: ` + "`go test ./serve -run MetricsPage -update`" + `.

| metric | type | labels | meaning |
|---|---|---|---|
`)
	for _, r := range rows {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", r.name, r.kind, r.labels, strings.ReplaceAll(r.help, "|", `\|`))
	}
	if *update {
		if err := os.WriteFile(metricsPage, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if on, err := os.ReadFile(metricsPage); err != nil || string(on) != b.String() {
		t.Errorf("%s is not what the program registers (%v); run go test ./serve -run MetricsPage -update", metricsPage, err)
	}
}
