package config

import (
	"strings"

	"github.com/outrider-mesh/outrider/internal/document"
	"github.com/outrider-mesh/outrider/internal/problem"
)

// meshText is the text of the mesh configuration as it was read.
type meshText struct {
	source string
	root   *document.Node // nil: an empty text
}

// InMesh is a problem of the mesh configuration at its place in the text: with
// the text's name, and the line, column and value of the path. Who compiles Mesh
// finds problems that Parse does not.
func (c *Config) InMesh(p problem.Problem) problem.Problem {
	p = p.In(c.meshText.source)
	n := c.meshText.root
	for _, name := range strings.Split(p.Path, ".") {
		if n = n.GetProto(name); n == nil {
			return p
		}
	}
	p.Value = n.Quoted()
	return p.On(n.Line, n.Column)
}
