package cluster

import "github.com/outrider-mesh/outrider/test/envoy"

// References of the product's images, as the default configuration
// names them.
const (
	OutriderRef     = "docker.io/outrider/outrider:dev"
	OutriderInitRef = "docker.io/outrider/outrider-init:dev"
)

// EnvoyRef is the image of the sidecar.
var EnvoyRef = "docker.io/envoyproxy/envoy:distroless-v" + envoy.Version
