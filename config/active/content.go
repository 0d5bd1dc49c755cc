package active

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/internal/problem"
)

// content is what the two ConfigMaps have. The texts of one that does not exist are
// empty.
type content struct {
	texts          config.Texts
	injector, mesh part
}

// part is one ConfigMap.
type part struct {
	exists   bool
	problems problem.List // about its keys
}

// set replaces what a ConfigMap has; nil is one that does not exist.
func (c *content) set(l config.Location, name string, cm *corev1.ConfigMap) {
	p := part{}
	if cm == nil {
		cm = &corev1.ConfigMap{}
	} else {
		p.exists = true
		for _, found := range config.KeyProblems(l.Keys(name), slices.Collect(maps.Keys(cm.Data)), slices.Collect(maps.Keys(cm.BinaryData))) {
			p.problems.Add(found.In("ConfigMap " + l.Namespace + "/" + name))
		}
	}
	l.Set(&c.texts, name, cm.Data)
	if name == l.Injector {
		c.injector = p
	} else {
		c.mesh = p
	}
}

func (c *content) equal(o content) bool {
	return c.texts == o.texts && c.injector.equal(o.injector) && c.mesh.equal(o.mesh)
}

func (p part) equal(o part) bool {
	return p.exists == o.exists && slices.Equal(p.problems.Strings(), o.problems.Strings())
}

// complete are the texts, with those of base for a ConfigMap that does not exist.
func (c *content) complete(base config.Texts) config.Texts {
	t := c.texts
	if !c.injector.exists {
		t.Config, t.Values = base.Config, base.Values
	}
	if !c.mesh.exists {
		t.Mesh = base.Mesh
	}
	return t
}

func (c *content) problems() problem.List {
	return slices.Concat(c.injector.problems, c.mesh.problems)
}

// missed are the names of ConfigMaps that do not exist, although the texts have
// something of theirs.
func (c *content) missed(l config.Location, t config.Texts) (names []string) {
	if !c.injector.exists && t.Config+t.Values != "" {
		names = append(names, l.Injector)
	}
	if !c.mesh.exists && t.Mesh != "" {
		names = append(names, l.Mesh)
	}
	return names
}

// any reports whether one of the ConfigMaps exists.
func (c *content) any() bool { return c.injector.exists || c.mesh.exists }

// all reports whether both do.
func (c *content) all() bool { return c.injector.exists && c.mesh.exists }
