// Package kube watches the sources of the sidecars' configuration: Services,
// EndpointSlices, nodes, ServiceEntries, VirtualServices and Sidecars.
//
// A Watcher builds a model from all of them and from the mesh configuration, and
// passes it to Options.Built: first when all initial lists are complete, then
// after each burst of relevant changes. What a caller may assume:
//
//   - no model is built before every initial list is complete, so none is empty
//     because a source is still pending;
//   - nodes that may not be read are not waited for: without their addresses more is
//     restricted;
//   - while the API server is unavailable the last known state is kept;
//   - an object that cannot be decoded is reported as a problem and ignored; the
//     others are not affected;
//   - a kind whose CRD is not installed has no objects; once the CRD is installed,
//     its objects are watched without a restart;
//   - Options.Built is called from one goroutine.
package kube
