package active

import (
	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/inject"
	"github.com/outrider-mesh/outrider/internal/problem"
	"github.com/outrider-mesh/outrider/validate"
)

// Snapshot is one valid configuration.
type Snapshot struct {
	Texts    config.Texts
	Config   *config.Config
	Injector *inject.Injector
	Mesh     *egress.Mesh // the same one until the next edit
	Warnings problem.List

	edit *validate.Configuration
}

// Hash identifies what is injected: pods carry it in their status annotation.
func (s *Snapshot) Hash() string { return s.Injector.Hash() }

// compile is an edit as a Snapshot for a cluster, or nil with an error. The problems are all
// errors and warnings.
func compile(e *validate.Configuration, env inject.Environment) (*Snapshot, problem.List) {
	injector, problems := e.Compile(env)
	if injector == nil {
		return nil, problems
	}
	return &Snapshot{
		Texts: e.Texts, Config: e.Config, Injector: injector, Mesh: e.Mesh, Warnings: problems.Warnings(), edit: e,
	}, problems
}
