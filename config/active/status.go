package active

import (
	"fmt"
	"strings"

	"github.com/outrider-mesh/outrider/internal/problem"
)

// Where the active configuration comes from.
const (
	// FromConfigMaps is that it is what the ConfigMaps have.
	FromConfigMaps = "configmap"
	// FromLastGood is that the ConfigMaps have another one, which is rejected, or do
	// not exist any more.
	FromLastGood = "last-good"
	// FromDefaults is that there are no ConfigMaps, and never were valid ones.
	FromDefaults = "defaults"
)

// Status is which configuration is active, and why a newer one is not.
type Status struct {
	Hash   string // empty while there is none
	Source string // of it; empty while there is none
	// Rejected is set while what the ConfigMaps have is rejected.
	Rejected bool
	// NotApplied is why the active configuration is not what the ConfigMaps have, on
	// one line; empty where it is.
	NotApplied string
}

// String is the status on one line.
func (s Status) String() string {
	out := "no valid configuration"
	if s.Hash != "" {
		out = fmt.Sprintf("%s from %s", s.Hash, s.Source)
	}
	if s.NotApplied != "" {
		out += "; not applied: " + s.NotApplied
	}
	return out
}

// Status is the current one.
func (h *Holder) Status() Status {
	if s := h.status.Load(); s != nil {
		return *s
	}
	return Status{}
}

// OnStatus calls f after each change of the status. It must be called before Start.
func (h *Holder) OnStatus(f func()) { h.onStatus = append(h.onStatus, f) }

// maxReason is enough for a problem with its place, rule and fix.
const maxReason = 400

// publish computes the status. h.mu is held.
func (h *Holder) publish() {
	s := Status{}
	now := h.current.Load()
	if now != nil {
		s.Hash, s.Source = now.Hash(), FromConfigMaps
	}
	missed := h.content.missed(h.options.ConfigMaps, h.latest.Texts)
	switch {
	case len(h.errors) > 0:
		s.Rejected, s.NotApplied = true, summary(h.errors)
	case len(missed) > 0:
		s.NotApplied = h.report.missing(missed)
	case now != nil && !h.content.any():
		s.Source = FromDefaults
	}
	if now != nil && s.NotApplied != "" {
		s.Source = FromLastGood
	}
	if before := h.status.Swap(&s); before != nil && *before == s {
		return
	}
	h.report.metrics.status(s)
	for _, f := range h.onStatus {
		f()
	}
}

// summary is the first problem, and how many there are.
func summary(problems problem.List) string {
	out := problem.Clip(problems[0].String(), maxReason)
	if n := len(problems) - 1; n > 0 {
		out += fmt.Sprintf(" (and %d more)", n)
	}
	return strings.TrimSpace(out)
}
