package serve

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Component is a part of the product that a replica runs.
type Component string

// The components. The manifests have a Deployment for each, with memory and
// processor time of its own, so that neither can take them from the other. One
// Deployment can run both.
const (
	// Webhook injects pods, validates workloads and the two ConfigMaps, issues the
	// certificates of both components and publishes their CA bundle.
	Webhook Component = "webhook"
	// XDS configures the sidecars, validates ServiceEntries and VirtualServices and
	// writes their status, creates their CRDs, and has the debug endpoints. What
	// tenants write in these objects is read here and nowhere else.
	XDS Component = "xds"
)

// Components lists the components.
func Components() []Component { return []Component{Webhook, XDS} }

// ParseComponents reads the names of components.
func ParseComponents(names []string) (out []Component, err error) {
	if len(names) == 0 {
		return nil, errors.New("at least one component is required; use webhook, xds or webhook,xds")
	}
	for _, name := range names {
		c := Component(strings.TrimSpace(name))
		if !slices.Contains(Components(), c) {
			return nil, fmt.Errorf("%q: unknown component; use webhook, xds or webhook,xds", name)
		}
		out = append(out, c)
	}
	return out, nil
}

// runs reports whether the replica runs the component.
func (o *Options) runs(c Component) bool {
	return len(o.Components) == 0 || slices.Contains(o.Components, c)
}
