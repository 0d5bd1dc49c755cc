package report

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// The kind of the object, and its name in each namespace.
const (
	Group    = "outrider.dev"
	Version  = "v1alpha1"
	Kind     = "EgressReport"
	Resource = "egressreports"
	Name     = "egress"
)

// Content are the fields of an EgressReport beside its metadata.
type Content struct {
	Summary       Summary          `json:"summary"`
	Workloads     []WorkloadReport `json:"workloads,omitempty"`
	MoreWorkloads *More            `json:"moreWorkloads,omitempty"`
	// LastWrite identifies the latest write: a replica does not repeat one whose answer it
	// has not received.
	LastWrite string `json:"lastWrite,omitempty"`
}

// Summary is what `kubectl get` prints.
type Summary struct {
	Workloads   int        `json:"workloads"`
	Passthrough int        `json:"passthrough"` // destinations
	Blocked     int        `json:"blocked"`
	Allowed     int        `json:"allowed"`
	Last        *time.Time `json:"lastSeen,omitempty"`
	// Oldest is when the destination was seen that is the first to expire.
	Oldest *time.Time `json:"oldest,omitempty"`
}

// WorkloadReport is what a workload reaches.
type WorkloadReport struct {
	Workload
	Destinations []DestinationReport `json:"destinations,omitempty"`
	More         *More               `json:"more,omitempty"`
}

// DestinationReport is a destination with its counts.
type DestinationReport struct {
	Destination
	Counts
}

// More is what exceeds a limit.
type More struct {
	// Hosts, or workloads: how many there are, estimated.
	Number uint64  `json:"number"`
	Sketch *Sketch `json:"sketch"`
	Counts
}

// Content is the table as an object, sorted.
func (t *Table) Content() Content {
	out := Content{MoreWorkloads: t.beyond.more()}
	var last time.Time
	for _, w := range slices.SortedFunc(maps.Keys(t.workloads), compareWorkloads) {
		of := t.workloads[w]
		if len(of.of) == 0 && !of.overflow.used { // its declared hosts had no place
			continue
		}
		out.Summary.Workloads++
		r := WorkloadReport{Workload: w, More: of.overflow.more()}
		for _, d := range slices.SortedFunc(maps.Keys(of.of), compareDestinations) {
			c := *of.of[d]
			last = later(last, c.Last)
			c.First, c.Last = seconds(c.First), seconds(c.Last)
			r.Destinations = append(r.Destinations, DestinationReport{d, c})
			switch d.Verdict {
			case Passthrough:
				out.Summary.Passthrough++
			case Blocked:
				out.Summary.Blocked++
			case Allowed:
				out.Summary.Allowed++
			}
		}
		last = later(last, of.overflow.counts.Last)
		out.Workloads = append(out.Workloads, r)
	}
	if last = later(last, t.beyond.counts.Last); !last.IsZero() {
		out.Summary.Last, out.Summary.Oldest = new(seconds(last)), new(seconds(t.Oldest()))
	}
	return out
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func seconds(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }

func (o *overflow) more() *More {
	if !o.used {
		return nil
	}
	m := &More{Number: o.names.estimate(), Sketch: new(o.names), Counts: o.counts}
	m.First, m.Last = seconds(m.First), seconds(m.Last)
	return m
}

// Table reads an object's fields into a table. Whoever may edit the object may have
// written anything: what exceeds the limits is counted, and what is later than now is
// of now, so that it expires.
func (c Content) Table(l Limits, now time.Time) *Table {
	t := NewTable(l)
	for _, w := range c.Workloads {
		if w.Kind == "" || w.Name == "" || len(w.Kind) > maxHost || len(w.Name) > maxHost {
			continue
		}
		for _, d := range w.Destinations {
			if d.valid() {
				t.Observe(w.Workload, d.Destination, d.at(now))
			}
		}
		if w.More != nil && w.More.Sketch != nil {
			more := overflow{names: *w.More.Sketch, counts: w.More.at(now), used: true}
			if of := t.workload(w.Workload); of != nil {
				of.overflow.merge(&more)
			}
		}
	}
	if c.MoreWorkloads != nil && c.MoreWorkloads.Sketch != nil {
		t.beyond.merge(&overflow{names: *c.MoreWorkloads.Sketch, counts: c.MoreWorkloads.at(now), used: true})
	}
	return t
}

// valid is what Observe is called with by a replica.
func (d Destination) valid() bool {
	host := d.Host
	if d.Verdict == Allowed { // counted by the host of its ServiceEntry
		host = strings.TrimPrefix(host, "*.")
	}
	return host != "" && CleanHost(host) == host && d.Port != 0 && len(d.Rule) <= 2*maxHost+1 &&
		slices.Contains(Verdicts(), d.Verdict) && slices.Contains([]Protocol{HTTP, TLS, TCP}, d.Protocol)
}

// at are counts of times that are not later than now.
func (c Counts) at(now time.Time) Counts {
	if c.Last.After(now) || c.Last.IsZero() {
		c.Last = now
	}
	if c.First.After(c.Last) || c.First.IsZero() {
		c.First = c.Last
	}
	return c
}

// Read reads an object's fields.
func Read(data []byte) (Content, error) {
	var c Content
	if err := json.Unmarshal(data, &c); err != nil {
		return Content{}, fmt.Errorf("read %s: %w", Kind, err)
	}
	return c, nil
}
