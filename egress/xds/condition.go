package xds

import (
	"cmp"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// behindAfter is how long a sidecar may take to confirm a response: it takes milliseconds,
// and a sidecar of a node without processor time some seconds.
const behindAfter = 10 * time.Second

// Condition is a sidecar that does not have the newest configuration.
type Condition struct {
	Identity Identity
	// Since is when it confirmed a response last, for a sidecar that is behind.
	Since time.Time
	// Rejected is what it rejects; nil for a sidecar that is behind.
	Rejected *Rejection
}

// Conditions are the connected sidecars in numbers, and those that do not have the newest
// configuration.
type Conditions struct {
	Connected, Behind, Rejecting int
	Problems                     []Condition // sorted
}

// Conditions looks at every stream: a lock and a few comparisons for each.
func (s *Server) Conditions(now time.Time) Conditions {
	s.mu.Lock()
	all := make([]*stream, 0, len(s.streams))
	for st := range s.streams {
		all = append(all, st)
	}
	s.mu.Unlock()
	current := s.current.Load()
	out := Conditions{Connected: len(all)}
	for _, st := range all {
		c, bad := st.condition(current, now)
		switch {
		case !bad:
			continue
		case c.Rejected != nil:
			out.Rejecting++
		default:
			out.Behind++
		}
		out.Problems = append(out.Problems, c)
	}
	slices.SortFunc(out.Problems, func(a, b Condition) int { return cmp.Compare(a.Identity.String(), b.Identity.String()) })
	return out
}

func (st *stream) condition(current *generation, now time.Time) (Condition, bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	c := Condition{Identity: st.identity}
	for _, s := range st.types {
		if s.rejected != nil && (c.Rejected == nil || s.rejected.TypeURL < c.Rejected.TypeURL) {
			rejected := *s.rejected
			c.Rejected = &rejected
		}
	}
	if c.Rejected != nil {
		return c, true
	}
	for _, s := range st.types {
		if len(s.pending) > 0 && now.Sub(s.progress) > behindAfter && (c.Since.IsZero() || s.progress.Before(c.Since)) {
			c.Since = s.progress
		}
	}
	if c.Since.IsZero() && current != nil && st.generation != nil && st.generation.number < current.number && now.Sub(current.published) > behindAfter {
		c.Since = current.published
	}
	return c, !c.Since.IsZero()
}

// ConditionMetrics are the sidecars that do not have the newest configuration.
func ConditionMetrics(s *Server) []prometheus.Collector {
	gauge := func(name, help string, of func(Conditions) int) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "outrider", Subsystem: "xds", Name: name, Help: help},
			func() float64 { return float64(of(s.Conditions(time.Now()))) })
	}
	return []prometheus.Collector{
		gauge("behind", "Connected sidecars that have not confirmed their newest configuration for 10 s.", func(c Conditions) int { return c.Behind }),
		gauge("rejecting", "Connected sidecars that reject a part of their configuration, and keep what they had.", func(c Conditions) int { return c.Rejecting }),
	}
}
