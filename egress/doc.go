// Package egress will turn the mesh configuration, ServiceEntries and
// VirtualServices into what the sidecars run: objects become a model, the model
// becomes Envoy resources and the bootstrap. It is a pure room: the same objects
// give the same resources in the same order. Serving them belongs to egress/xds,
// watching the objects to egress/kube.
package egress
