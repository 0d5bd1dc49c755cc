package inject

import (
	"slices"

	"github.com/outrider-mesh/outrider/internal/jsontree"
)

// oneOf are fields of an object of which the API server accepts one.
type oneOf []string

var (
	handlers   = oneOf{"exec", "grpc", "httpGet", "sleep", "tcpSocket"}
	envValues  = oneOf{"value", "valueFrom"}
	envSources = oneOf{"configMapKeyRef", "fieldRef", "fileKeyRef", "resourceFieldRef", "secretKeyRef"}
)

// withNulls adds a null for each alternative that the base has and the patch replaces
// by another one: merged field by field, both would be there. An absent value is an
// empty one, as for the API server.
func (o oneOf) withNulls(base, patch *jsontree.Node) *jsontree.Node {
	chosen := func(name string) bool {
		n := patch.Get(name)
		return n.Kind() == jsontree.Object || n.Text() != ""
	}
	if !slices.ContainsFunc(o, chosen) {
		return patch
	}
	for _, name := range o {
		if base.Get(name) != nil && !chosen(name) {
			patch = patch.With(name, null)
		}
	}
	return patch
}

var null = jsontree.Parse("null").Seal()

// replacing is the patch of a container that replaces what cannot be merged field by
// field: the handler of a probe or of a lifecycle event, and the value of a variable.
func replacing(base, patch *jsontree.Node) *jsontree.Node {
	for _, path := range [...][]string{
		{"livenessProbe"}, {"readinessProbe"}, {"startupProbe"}, {"lifecycle", "postStart"}, {"lifecycle", "preStop"},
	} {
		patch = putChanged(patch, handlers.withNulls(base.At(path...), patch.At(path...)), path...)
	}
	for _, name := range [...]string{"seccompProfile", "appArmorProfile"} {
		path := []string{"securityContext", name}
		patch = putChanged(patch, profile(base.At(path...), patch.At(path...)), path...)
	}
	if env := patch.Get("env"); env.Kind() == jsontree.Array {
		patch = putChanged(patch, replacingEnv(base.Get("env").Items(), env), "env")
	}
	return patch
}

func replacingEnv(base []*jsontree.Node, env *jsontree.Node) *jsontree.Node {
	items := slices.Clone(env.Items())
	for n, item := range items {
		i := indexBy(base, "name", item.Get("name"))
		if i < 0 {
			continue
		}
		item = envValues.withNulls(base[i], item)
		from := envSources.withNulls(base[i].Get("valueFrom"), item.Get("valueFrom"))
		items[n] = putChanged(item, from, "valueFrom")
	}
	if slices.Equal(items, env.Items()) {
		return env
	}
	return jsontree.NewArray(items...)
}

// profile: only a profile of type Localhost has the name of one.
func profile(base, patch *jsontree.Node) *jsontree.Node {
	kind := patch.Get("type").Text()
	if kind == "" || kind == base.Get("type").Text() || base.Get("localhostProfile") == nil || patch.Get("localhostProfile") != nil {
		return patch
	}
	return patch.With("localhostProfile", null)
}

// putChanged sets a value that differs from what is there.
func putChanged(n, value *jsontree.Node, path ...string) *jsontree.Node {
	if value == n.At(path...) {
		return n
	}
	return n.Put(value, path...)
}
