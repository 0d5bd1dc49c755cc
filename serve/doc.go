// Package serve wires the Deployment: the serving certificate, the two
// ConfigMaps, the webhook's doors, metrics and health.
//
// What a caller may assume of Run: it returns when its context ends and the
// requests under way are answered, or when something it cannot do without
// fails at the start (the certificate, a port). A configuration that is wrong,
// an API server that is away, ConfigMaps that are missing do not end it: it
// says so, is not ready where it has nothing valid to inject by, and takes up
// the next change.
package serve
