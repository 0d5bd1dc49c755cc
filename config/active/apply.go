package active

import (
	"fmt"
	"strings"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/inject"
	"github.com/outrider-mesh/outrider/internal/problem"
	"github.com/outrider-mesh/outrider/validate"
)

// load reads the content of the ConfigMaps and applies it if it is valid. One that
// does not exist keeps what it had: a deletion is one half of a replacement more often
// than a wish for the defaults.
func (h *Holder) load(c content) {
	h.mu.Lock()
	defer h.mu.Unlock()
	texts := c.texts
	if !c.all() {
		texts = c.complete(h.base())
	}
	if !c.any() && texts == (config.Texts{}) {
		h.report.noConfigMaps()
	}
	e := h.edit(texts, c.problems())
	if e != h.latest {
		h.reported = ""
	}
	missed := c.missed(h.options.ConfigMaps, texts)
	h.latest, h.content = e, c
	h.apply()
	h.report.deleted(missed, h.current.Load())
	h.publish()
	h.loadedOnce.Do(func() { close(h.loaded) })
	// Also after an edit that is rejected: the one before may not be stored yet.
	h.store.changed.Notify()
}

// base are the texts that a ConfigMap keeps: those of the active configuration, of
// what was rejected where there is none, or of the last good one at the start.
func (h *Holder) base() config.Texts {
	if s := h.current.Load(); s != nil {
		return s.Texts
	}
	if h.latest != nil {
		return h.latest.Texts
	}
	if s := h.lastGood(); s != nil {
		return s.Texts
	}
	return config.Texts{}
}

// edit is what the texts are, without reading again what was read before.
func (h *Holder) edit(texts config.Texts, keys problem.List) *validate.Configuration {
	known := []*validate.Configuration{h.latest}
	for _, s := range []*Snapshot{h.current.Load(), h.good} {
		if s != nil {
			known = append(known, s.edit)
		}
	}
	for _, e := range known {
		if e != nil && e.Config != nil && e.Texts == texts && len(keys) == 0 {
			return e
		}
	}
	return h.read(texts, keys)
}

// reload compiles the configuration again, for the cluster's ranges have changed.
func (h *Holder) reload() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.latest == nil {
		return
	}
	h.apply()
	// While an edit is rejected, the active configuration follows the ranges all the
	// same.
	if s := h.current.Load(); s != nil && s.edit != h.latest {
		if next, _ := h.compile(s.edit); next != nil {
			h.swap(next)
		}
	}
	h.publish()
}

// apply activates the latest edit if it is valid. An outcome is reported once:
// the ranges are read again and again.
func (h *Holder) apply() {
	next, problems := h.compile(h.latest)
	before := h.current.Load()
	if next == nil {
		h.errors = problems.Errors()
		if before == nil {
			if before = h.lastGood(); before != nil {
				h.report.restored(before)
				h.swap(before)
			}
		}
		if outcome := strings.Join(h.errors.Strings(), "\n"); outcome != h.reported {
			h.reported = outcome
			h.report.rejected(h.errors, before)
		}
		return
	}
	h.errors, h.applied = nil, h.latest
	h.swap(next)
	// How many addresses a warning counts differs from reading to reading.
	if outcome := fmt.Sprintf("%s, %d warnings", next.Hash(), len(problems)); outcome != h.reported {
		h.reported = outcome
		h.report.applied(next, before == nil)
	}
}

func (h *Holder) swap(next *Snapshot) {
	h.current.Store(next)
	for _, f := range h.subscribers {
		f(next)
	}
	h.store.changed.Notify()
}

func (h *Holder) read(texts config.Texts, keys problem.List) *validate.Configuration {
	return validate.ReadConfiguration(texts, keys, h.options.ConfigMaps.Labels(), h.options.CompileMesh)
}

// compile compiles an edit for the cluster as it is.
func (h *Holder) compile(e *validate.Configuration) (*Snapshot, problem.List) {
	if e.Config == nil {
		return compile(e, inject.Environment{})
	}
	env := *h.environment.Load()
	last := h.store.ranges
	if s := h.current.Load(); s != nil {
		last = rangesOf(s)
	}
	env.Ranges = h.ranges.names(e.Config, last)
	return compile(e, env)
}

// Check validates an edit of the active texts and activates nothing. It is false
// while the environment is unknown.
func (h *Holder) Check(change func(*config.Texts)) (problem.List, bool) {
	if h.environment.Load() == nil {
		return nil, false
	}
	var texts config.Texts
	if s := h.current.Load(); s != nil {
		texts = s.Texts
	}
	change(&texts)
	_, problems := h.compile(h.read(texts, nil))
	return problems, true
}
