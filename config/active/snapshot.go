package active

import (
	"slices"

	meshconfig "istio.io/api/mesh/v1alpha1"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/inject"
	"github.com/outrider-mesh/outrider/internal/problem"
)

// Snapshot is one valid configuration.
type Snapshot struct {
	Texts    config.Texts
	Config   *config.Config
	Injector *inject.Injector
	Mesh     *egress.Mesh // the same one until the next edit
	Warnings problem.List

	edit *edit
}

// Hash identifies what is injected: pods carry it in their status annotation.
func (s *Snapshot) Hash() string { return s.Injector.Hash() }

// edit is the content of one set of texts, whatever the cluster is.
type edit struct {
	texts  config.Texts
	config *config.Config // nil with an error in the texts
	mesh   *egress.Mesh   // nil where config is
	read   problem.List   // problems of the keys and the texts
	built  problem.List   // problems of the compiled mesh configuration
}

// readEdit reads and compiles what does not depend on the cluster. An error about the
// keys of the ConfigMaps is one of the texts: some of them were lost.
func readEdit(texts config.Texts, keys problem.List, labels config.Labels, compileMesh func(*meshconfig.MeshConfig) *egress.Mesh) *edit {
	e := &edit{texts: texts}
	e.config, e.read = config.Parse(texts, labels)
	e.read = slices.Concat(keys, e.read)
	if keys.HasErrors() {
		e.config = nil
	}
	if e.config == nil {
		return e
	}
	e.mesh = compileMesh(e.config.Mesh)
	for _, p := range e.mesh.Problems() {
		e.built.Add(e.config.InMesh(p))
	}
	return e
}

// compile is the edit as a Snapshot, or nil with an error. The problems are all
// errors and warnings.
func (e *edit) compile(env inject.Environment) (*Snapshot, problem.List) {
	if e.config == nil {
		return nil, e.read
	}
	injector, problems := inject.Compile(e.config, env)
	problems = slices.Concat(e.read, problems, e.built)
	if problems.HasErrors() {
		return nil, problems
	}
	return &Snapshot{
		Texts: e.texts, Config: e.config, Injector: injector, Mesh: e.mesh, Warnings: problems.Warnings(), edit: e,
	}, problems
}
