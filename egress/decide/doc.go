// Package decide determines where a request goes, and why, from the view of a
// namespace: the clusters that it is forwarded to, or the response of the sidecar
// itself, and the objects that are the reason.
//
// It reads the model alone. Package egress/envoy, which makes Envoy's
// configuration of the model, is not imported: the two come to their results in
// different ways, and random requests through a real sidecar compare them. They
// share the model of egress: the declared hosts, the validated routes, and what
// the destination of a route resolves to.
//
// # Files
//
// Each file uses only those before it:
//
//   - request.go: a request, and the decision about it
//   - text.go: hosts, paths and addresses as Envoy compares them
//   - match.go: whether a match of a route is true for a request
//   - rewrite.go: the path, the redirect and the CORS answer that a request gets
//   - http.go: the decision about a request by its Host
//   - decide.go: the decision about a connection
package decide
