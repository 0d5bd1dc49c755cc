package xds

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/outrider-mesh/outrider/egress/report"
)

// reported keeps what sidecars report.
type reported struct {
	mu     sync.Mutex
	tables map[string]*report.Table // by namespace
	// wait delays each call; nil: it does not.
	wait func()
	kind string // of workloads; "": Pod
}

func newReported() *reported { return &reported{tables: map[string]*report.Table{}} }

func (r *reported) Workload(_ context.Context, of Identity) report.Workload {
	return report.Workload{Kind: cmp.Or(r.kind, "Pod"), Name: of.Pod}
}

func (r *reported) Observe(namespace string, of report.Workload, all []report.DestinationReport) {
	if r.wait != nil {
		r.wait()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tables[namespace] == nil {
		r.tables[namespace] = report.NewTable(report.DefaultLimits)
	}
	for _, d := range all {
		r.tables[namespace].Observe(of, d.Destination, d.Counts)
	}
}

func (r *reported) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tables = map[string]*report.Table{}
}

// text has a line for each destination of a namespace.
func (r *reported) text(namespace string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tables[namespace] == nil {
		return ""
	}
	var lines []string
	for _, w := range r.tables[namespace].Content().Workloads {
		for _, d := range w.Destinations {
			lines = append(lines, fmt.Sprintf("%s %s:%d %s %s %s connections=%d requests=%d", w.Name, d.Host, d.Port, d.Protocol, d.Verdict, d.Rule, d.Connections, d.Requests))
		}
		if w.More != nil {
			lines = append(lines, fmt.Sprintf("%s more=%d connections=%d requests=%d", w.Name, w.More.Number, w.More.Connections, w.More.Requests))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func (r *reported) bytes(namespace, host string) (sent, received uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range r.tables[namespace].Content().Workloads {
		for _, d := range w.Destinations {
			if d.Host == host {
				sent, received = sent+d.BytesSent, received+d.BytesReceived
			}
		}
	}
	return sent, received
}

// connections are those of a namespace, listed or not.
func (r *reported) connections(namespace string) (n uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range r.tables[namespace].Content().Workloads {
		for _, d := range w.Destinations {
			n += d.Connections
		}
		if w.More != nil {
			n += w.More.Connections
		}
	}
	return n
}
