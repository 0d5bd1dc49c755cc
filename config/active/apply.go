package active

import (
	"fmt"
	"strings"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/inject"
	"github.com/outrider-mesh/outrider/internal/problem"
)

// load reads the texts of the ConfigMaps and applies them if they are valid.
func (h *Holder) load(texts config.Texts) {
	if texts == (config.Texts{}) {
		h.report.noConfigMaps()
	}
	e := h.read(texts)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.latest, h.reported = e, ""
	h.apply()
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
}

// apply activates the latest edit if it is valid. An outcome is reported once:
// the ranges are read again and again.
func (h *Holder) apply() {
	next, problems := h.compile(h.latest)
	before := h.current.Load()
	if next == nil {
		if outcome := strings.Join(problems.Errors().Strings(), "\n"); outcome != h.reported {
			h.reported = outcome
			h.report.rejected(problems.Errors(), before)
		}
		return
	}
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
}

func (h *Holder) read(texts config.Texts) *edit {
	return readEdit(texts, h.options.ConfigMaps.Labels(), h.options.CompileMesh)
}

// compile compiles an edit for the cluster as it is.
func (h *Holder) compile(e *edit) (*Snapshot, problem.List) {
	if e.config == nil {
		return e.compile(inject.Environment{})
	}
	env := *h.environment.Load()
	env.Ranges = h.ranges.names(e.config, h.current.Load())
	return e.compile(env)
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
	_, problems := h.compile(h.read(texts))
	return problems, true
}
