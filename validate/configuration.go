package validate

import (
	"slices"

	meshconfig "istio.io/api/mesh/v1alpha1"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/inject"
	"github.com/outrider-mesh/outrider/internal/problem"
)

// Configuration is the content of one set of texts, whatever the cluster is.
type Configuration struct {
	Texts  config.Texts
	Config *config.Config // nil with an error in the texts
	Mesh   *egress.Mesh   // nil where Config is

	read  problem.List // problems of the keys and the texts
	built problem.List // problems of the compiled mesh configuration
}

// ReadConfiguration reads and compiles what does not depend on the cluster. An error about
// the keys of the ConfigMaps is one of the texts: some of them were lost.
func ReadConfiguration(texts config.Texts, keys problem.List, labels config.Labels, compileMesh func(*meshconfig.MeshConfig) *egress.Mesh) *Configuration {
	c := &Configuration{Texts: texts}
	c.Config, c.read = config.Parse(texts, labels)
	c.read = slices.Concat(keys, c.read)
	if keys.HasErrors() {
		c.Config = nil
	}
	if c.Config == nil {
		return c
	}
	c.Mesh = compileMesh(c.Config.Mesh)
	for _, p := range c.Mesh.Problems() {
		c.built.Add(c.Config.InMesh(p))
	}
	return c
}

// Compile compiles the configuration for a cluster. The injector is nil with an error. The
// problems are all errors and warnings.
func (c *Configuration) Compile(env inject.Environment) (*inject.Injector, problem.List) {
	if c.Config == nil {
		return nil, c.read
	}
	injector, problems := inject.Compile(c.Config, env)
	problems = slices.Concat(c.read, problems, c.built)
	if problems.HasErrors() {
		return nil, problems
	}
	return injector, problems
}
