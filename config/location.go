package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/outrider-mesh/outrider/internal/document"
	"github.com/outrider-mesh/outrider/internal/problem"
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
		Config: label(l.Injector, keyConfig),
		Values: label(l.Injector, keyValues),
		Mesh:   label(l.Mesh, keyMesh),
	}
}

// The keys of the texts.
const (
	keyConfig = "config"
	keyValues = "values"
	keyMesh   = "mesh"
	// keyNetworks is in ConfigMap istio of an Istio, and is not read.
	keyNetworks = "meshNetworks"
)

// Keys are the keys that a ConfigMap has, those of its texts first; nil for another
// ConfigMap.
func (l Location) Keys(name string) []string {
	switch name {
	case l.Injector:
		return []string{keyConfig, keyValues}
	case l.Mesh:
		return []string{keyMesh, keyNetworks}
	}
	return nil
}

// Set replaces the texts of one ConfigMap by those in its data.
func (l Location) Set(t *Texts, name string, data map[string]string) {
	switch name {
	case l.Injector:
		t.Config, t.Values = data[keyConfig], data[keyValues]
	case l.Mesh:
		t.Mesh = data[keyMesh]
	}
}

// KeyProblems are errors about the keys of a ConfigMap, of which the texts' own are
// in known: a text where it is not read would be lost without them. A ConfigMap
// without any key means the defaults.
func KeyProblems(known, data, binary []string) (out problem.List) {
	for _, key := range known {
		if slices.Contains(binary, key) {
			out.Add(problem.Invalid(fmt.Sprintf("binaryData[%q]", key), "", "not read: a text must be UTF-8, in data", "save it as UTF-8, and set data["+strconv.Quote(key)+"]"))
		}
	}
	isKnown := func(key string) bool { return slices.Contains(known, key) }
	all := slices.Concat(data, binary)
	if len(all) == 0 || slices.ContainsFunc(all, isKnown) {
		return out
	}
	slices.Sort(all)
	quoted := make([]string, len(known))
	for i, key := range known {
		quoted[i] = strconv.Quote(key)
	}
	p := problem.Invalid("data", "", fmt.Sprintf("has the key %s, which is not read, and none of %s", strconv.Quote(problem.Short(all[0])), strings.Join(quoted, ", ")),
		"rename the key; for the defaults, remove it")
	if near := document.Nearest(all[0], known); near != "" {
		p.Fix = fmt.Sprintf("rename it to %q; for the defaults, remove it", near)
	}
	out.Add(p)
	return out
}

// PlaceOf is the place of a key in one of the texts, by its path, such as
// "global.proxy.includeIPRanges"; false where the text does not have it.
func PlaceOf(text, path string) (Place, bool) {
	n, _ := document.Load(text, maxText)
	line, column, exact := n.Place(path)
	return Place{line, column}, exact
}
