// Package egress turns the mesh configuration, the addresses of the cluster,
// ServiceEntries and VirtualServices into a model of what sidecars do with
// outbound traffic.
//
// It has two steps. Build turns objects into a Model: validated, normalized and
// sorted, with every problem it found; a part with an error is omitted, and the
// rest stays. A Model has one View per namespace, because objects can be private
// to namespaces and hosts can conflict. Package egress/envoy makes Envoy
// resources of a View, and egress/decide determines where a request goes and why.
// The two read the same View in different ways, and random requests through a real
// sidecar compare them.
//
// The package is pure: the same objects give the same model. Nothing changes
// after it is returned, so everything may be shared by goroutines, and must not
// be changed by who gets it. Serving the resources is the task of egress/xds,
// watching the objects that of egress/kube.
//
// # Names
//
// A host is a host and a port of a ServiceEntry. A domain is a name that the Host
// of requests is matched with: a declared host, or a name under a declared
// wildcard that a VirtualService has routes for. A route destination is what a
// VirtualService specifies; a destination is what it resolves to in a View.
//
// # Precedence
//
// Of two objects with the same host in one namespace, the older one applies, and
// of objects of the same age the first by name. A namespace's own objects take
// precedence over those of the root namespace, and these over all others; among the
// others the oldest applies. A name, with all that a wildcard covers and on all
// ports, belongs to the first entry that declares it. Routes apply to hosts that
// their own namespace declares, and where they are, in the root namespace
// everywhere.
//
// # Files
//
// Each file uses only those before it:
//
//   - meta.go: the identity of an object, and the namespaces it is exported to
//   - problem.go: what is wrong with an object
//   - condition.go: the problems of an object as a condition of its status
//   - names.go: the names of clusters and routes in access logs
//   - reason.go: why what is not declared is blocked, in words
//   - hostname.go: host names, wildcards, and what they cover
//   - address.go: the addresses that no declared name may resolve to
//   - inside.go: names and addresses of the cluster, the machine and metadata services
//   - envoynames.go: names that the real Envoy has, generated
//   - format.go: Envoy's format strings
//   - accesslog.go: the access log of the mesh
//   - exports.go: validation of exportTo and of its defaults
//   - visibility.go: who sees the ServiceEntries of a namespace at most
//   - mesh.go: the mesh configuration
//   - rejection.go: one state of an object, and that sidecars reject it
//   - limits.go: what the objects of a namespace may have
//   - input.go: all that a model is made of
//   - budget.go: which objects are within the limits
//   - host.go: a declared host and its endpoints
//   - routefields.go: the meaning of single fields of routes
//   - routes.go: validated routes
//   - support.go: which fields of an object have an effect
//   - weights.go: destinations without a weight, in JSON
//   - decode.go: objects from JSON
//   - gateways.go: what of a VirtualService is for the sidecars
//   - fields.go: validation of fields that several objects have
//   - regexclass.go: what Envoy's regular expressions do not have
//   - regex.go: validation of regular expressions
//   - headers.go: validation of header operations
//   - routedestination.go: validation of the destinations of a route
//   - httpmatch.go: validation of the matches of HTTP routes
//   - cors.go: validation of CORS policies
//   - retries.go: validation of retries
//   - redirect.go: validation of redirects
//   - rewrite.go: validation of rewrites
//   - httproute.go: validation of HTTP routes
//   - tlsroute.go: validation of TLS routes
//   - virtualservice.go: validation of a VirtualService
//   - portnames.go: validation of the ports' names and targets
//   - endpoints.go: validation of the endpoints of a ServiceEntry
//   - tlsport.go: HTTP on ports that have TLS
//   - entryaddress.go: the addresses of a ServiceEntry
//   - serviceentry.go: validation of a ServiceEntry
//   - patterns.go: hosts of Sidecars
//   - sidecar.go: validation of a Sidecar
//   - sidecars.go: which Sidecar applies to a workload, and what it exposes
//   - visible.go: the hosts that a namespace sees
//   - owners.go: which host owns the addresses of a TCP port
//   - model.go: the model of all objects
//   - scopes.go: what of the model a workload sees
//   - domain.go: virtual hosts and routes by SNI
//   - destination.go: what the destination of a route resolves to
//   - port.go: the hosts of a port
//   - claims.go: which hosts a view has
//   - view.go: the model as one namespace sees it
//   - resolve.go: resolution of route destinations in a view
//   - routetable.go: whose routes apply to a host
//   - domains.go: the virtual hosts of a view
//   - sni.go: the routes by SNI of a view
//   - counted.go: whose the names of clusters in counts are
//   - version.go: the version of a view
//   - viewports.go: the ports of a view
//   - views.go: the view of a namespace, made from the model
//   - sum.go: what the view of a workload is made of, as a hash
//   - private.go: the namespaces that have a view of their own
//   - ownprecedence.go: entries that take precedence in their own namespace alone
//   - precedence.go: what of an object does not apply in other namespaces
//   - audience.go: which hosts some namespace sees together
//   - sidecarchecks.go: problems between Sidecars and other objects
//   - overlaps.go: TCP hosts and others that may have the same addresses
//   - sharedports.go: problems of TCP hosts that share a port with others
//   - tlsdestination.go: HTTP that routes send to ports that have TLS
//   - reference.go: problems between objects
//   - object.go: the objects of a model, and the model without some of them
//   - build.go: the model, made from all objects
//   - check.go: the problems of one object
package egress
