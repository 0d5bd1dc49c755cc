// Package serve wires the Deployments, each of which runs one component or both:
// the serving certificate, the active configuration, the admission webhooks, the xDS control plane, the debug
// endpoints, metrics and health. It makes the parts, connects them by function
// values and hands them to a manager; what they do is decided in their packages.
//
// What a caller may assume of Run: it returns when its context is done and the
// requests being served are answered, or when something that it requires fails at
// the start (the certificate, a port). An invalid configuration, an unavailable
// API server or missing ConfigMaps do not end it: it reports them, is not ready
// while it has no valid configuration, and applies the next change.
package serve
