package xds

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/outrider-mesh/outrider/test/kit"
)

// The bounds of what reports take of a sidecar with three listeners and ten hosts in use. With
// BenchmarkReportCost it is at most 0.5 MiB: what Envoy allocates for loggers and filters, of
// which some 60 KiB is independent of the number of listeners, and 2 KiB for each metric that
// is sent, of which the sidecar keeps the memory.
const (
	mostForLoggers = 250 << 10 // bytes; 101 to 191 KiB are measured on an idle machine
	mostMetrics    = 140       // in use: 60 of ten hosts, 19 of the control plane's cluster, and Envoy's own
)

// TestReportBudget has a real sidecar with reports, and one without: the former allocates
// little more, and has few metrics to send.
func TestReportBudget(t *testing.T) {
	for _, mode := range []string{"ALLOW_ANY", "REGISTRY_ONLY"} {
		t.Run(mode, func(t *testing.T) {
			edit := func(bootstrap string) string {
				return strings.Replace(withoutCounts(bootstrap), "|ready|", "|ready|memory|", 1)
			}
			without, with := costMesh(t, mode, edit, nil), costMesh(t, mode, edit, reporting)
			more := 0
			kit.EventuallyTrue(t, fmt.Sprintf("reports add at most %d KiB to what the sidecar allocates, beside what is allocated for a while", mostForLoggers>>10), func() bool {
				more = with.allocated() - without.allocated()
				return more <= mostForLoggers
			})
			metrics := with.metricsInUse()
			t.Logf("reports add %d KiB to what is allocated; %d metrics in use", more>>10, metrics)
			for _, read := range []string{"cluster.xds-grpc.membership_total: 1", "cluster.xds-grpc.update_failure: ", "control_plane.connected_state: 1"} {
				if !strings.Contains(with.admin("/stats"), "\n"+read) {
					t.Errorf("no %q, which outrider check reads", read)
				}
			}
			if metrics > mostMetrics {
				t.Errorf("%d metrics are in use, more than %d:\n%s", metrics, mostMetrics, with.admin("/stats?usedonly"))
			}
		})
	}
}

// allocated are the bytes that Envoy has allocated.
func (m *mesh) allocated() int {
	m.t.Helper()
	var memory struct{ Allocated string }
	kit.Must(m.t, json.Unmarshal([]byte(m.admin("/memory")), &memory))
	n, err := strconv.Atoi(memory.Allocated)
	kit.Must(m.t, err)
	return n
}

var numberOf = regexp.MustCompile(`(?m)^\S+: (\d+|P0\(.*)$`)

// metricsInUse are those that the sidecar sends.
func (m *mesh) metricsInUse() int { return len(numberOf.FindAllString(m.admin("/stats?usedonly"), -1)) }
