// Package kube watches what the sidecars' configuration is made of: Services,
// EndpointSlices, ServiceEntries and VirtualServices.
//
// A Watcher builds a model from all of them and from the mesh configuration that
// it is given, and hands it on: first when everything is known, then after each
// burst of changes that matter. What a caller may assume:
//
//   - no model is made before every list has been read once, so none is empty
//     because something is still missing;
//   - an API server that goes away changes nothing: what was last known stays;
//   - an object that cannot be read is a problem of its own and is left out;
//     the others are not affected;
//   - where a kind is not installed, there are no objects of it; once it is, they
//     are taken up without a restart;
//   - Options.Built is called from one goroutine.
package kube
