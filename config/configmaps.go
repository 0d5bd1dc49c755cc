package config

import (
	"fmt"

	"github.com/outrider-mesh/outrider/internal/revision"
)

// ConfigMaps are where a cluster keeps the texts.
type ConfigMaps struct {
	Namespace string
	Injector  string // the name of the ConfigMap with the keys config and values
	Mesh      string // the name of the ConfigMap with the key mesh
}

// ConfigMapsOf are the ConfigMaps of a revision.
func ConfigMapsOf(namespace string, r revision.Revision) ConfigMaps {
	return ConfigMaps{Namespace: namespace, Injector: r.Name("istio-sidecar-injector"), Mesh: r.Name("istio")}
}

// Labels name the texts in messages.
func (c ConfigMaps) Labels() Labels {
	label := func(name, key string) string {
		return fmt.Sprintf("ConfigMap %s/%s, key %q", c.Namespace, name, key)
	}
	return Labels{
		Config: label(c.Injector, "config"),
		Values: label(c.Injector, "values"),
		Mesh:   label(c.Mesh, "mesh"),
	}
}
