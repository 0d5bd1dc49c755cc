// Package templates holds the sidecar templates that are built in.
package templates

import _ "embed"

// Sidecar is the default template: the init container that redirects, the
// Envoy sidecar without an agent, and the volume with its credentials. A
// template named "sidecar" in the ConfigMap replaces it.
//
//go:embed sidecar.yaml
var Sidecar string
