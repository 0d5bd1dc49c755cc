package report

import (
	"cmp"
	"slices"
	"time"
)

// Host is a destination of a workload.
type Host struct {
	Namespace string `json:"namespace"`
	Workload  `json:"workload"`
	DestinationReport
}

// MoreHosts are those of a workload that exceed the limits of its report; without a
// workload, workloads.
type MoreHosts struct {
	Namespace string    `json:"namespace"`
	Workload  *Workload `json:"workload,omitempty"`
	Number    uint64    `json:"number"`
	Counts
}

// Filter selects hosts; an empty field selects all.
type Filter struct {
	Verdict   Verdict
	Since     time.Time
	Workloads map[Workload]bool
}

// Hosts are the selected hosts of a namespace's report, and what exceeds its limits.
func (c Content) Hosts(namespace string, f Filter) (hosts []Host, more []MoreHosts) {
	selected := func(last time.Time) bool { return f.Since.IsZero() || !last.Before(f.Since) }
	for _, w := range c.Workloads {
		if f.Workloads != nil && !f.Workloads[w.Workload] {
			continue
		}
		for _, d := range w.Destinations {
			if (f.Verdict == "" || d.Verdict == f.Verdict) && selected(d.Last) {
				hosts = append(hosts, Host{namespace, w.Workload, d})
			}
		}
		if w.More != nil && selected(w.More.Last) {
			more = append(more, MoreHosts{namespace, &w.Workload, w.More.Number, w.More.Counts})
		}
	}
	if c.MoreWorkloads != nil && f.Workloads == nil && selected(c.MoreWorkloads.Last) {
		more = append(more, MoreHosts{namespace, nil, c.MoreWorkloads.Number, c.MoreWorkloads.Counts})
	}
	return hosts, more
}

// Sort orders hosts: the newest first, or those with most connections and requests.
func Sort(all []Host, busiest bool) {
	slices.SortStableFunc(all, func(a, b Host) int {
		if busiest {
			if by := cmp.Compare(b.Connections+b.Requests, a.Connections+a.Requests); by != 0 {
				return by
			}
		}
		return cmp.Or(b.Last.Compare(a.Last), cmp.Compare(a.Namespace, b.Namespace), compareWorkloads(a.Workload, b.Workload),
			compareDestinations(a.Destination, b.Destination))
	})
}
