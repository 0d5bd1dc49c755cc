package config

import (
	"fmt"

	"github.com/outrider-mesh/outrider/internal/revision"
)

// Location is where a cluster keeps the texts: in two ConfigMaps.
type Location struct {
	Namespace string
	Injector  string // the name of the ConfigMap with the keys config and values
	Mesh      string // the name of the ConfigMap with the key mesh
}

// LocationOf is the location of a revision.
func LocationOf(namespace string, r revision.Revision) Location {
	return Location{Namespace: namespace, Injector: r.Name("istio-sidecar-injector"), Mesh: r.Name("istio")}
}

// DiscoveryAddress is where the sidecars of a revision connect to unless the mesh
// configuration sets another address.
func DiscoveryAddress(namespace string, r revision.Revision) string {
	return r.Name("outrider") + "." + namespace + ".svc:15012"
}

// Labels name the texts in messages.
func (l Location) Labels() Labels {
	label := func(name, key string) string {
		return fmt.Sprintf("ConfigMap %s/%s, key %q", l.Namespace, name, key)
	}
	return Labels{
		Config: label(l.Injector, "config"),
		Values: label(l.Injector, "values"),
		Mesh:   label(l.Mesh, "mesh"),
	}
}
