// Package inject decides whether a pod gets a sidecar, resolves every setting
// to a value and its source, renders the templates, merges them into the pod
// and returns the changes as a JSON patch.
//
// It is pure: an Injector is compiled once from one configuration, never
// changes afterwards, and may be used by any number of goroutines. The webhook
// and kube-inject both call Injector.Inject; there is no second way to assemble
// the same result.
//
// # Files
//
// Each file uses only those before it:
//
//   - version.go: Kubernetes versions
//   - windows.go: whether a pod runs on Windows nodes
//   - decide.go: whether a pod is injected, with the reason
//   - settings.go: the settings of a pod with their sources
//   - request.go: the environment, a request, its result and patch
//   - types.go: the values of the wrong type in an object
//   - errors.go: the rejection of a pod
//   - schema.go: how strategic merge patch treats each field of a pod
//   - canonical.go: the API server's form of values
//   - merge.go: strategic merge patch
//   - ranges.go: the names in range lists
//   - overlay.go: the data of templates, and the overlays they render to
//   - apitoken.go: the API token, which the sidecar does not use
//   - injector.go: a compiled configuration
//   - resolver.go: the settings of the redirect and the templates
//   - resolver_identity.go: the uid and gid of the sidecar
//   - resolver_proxy.go: the settings of the proxy
//   - resolver_bypass.go: warnings about what the redirect does not capture
//   - resolve.go: all settings and overlays of a pod
//   - compile.go: a configuration to an Injector
//   - owner.go: the workload of a pod
//   - edit.go: edits of a pod's tree by path and by name
//   - overrides.go: the user's own versions of injected containers
//   - oneof.go: fields of which the API server accepts one, in those versions
//   - status.go: the status annotation, and the removal of an injection by it
//   - mutation.go: an injection in progress
//   - containers.go: the containers of the user's pod
//   - own.go: checks of those with the name of an injected one
//   - changed.go: what the pod replaces in the injected containers
//   - budget.go: the resources of a pod as a whole
//   - steps.go: the steps of an injection
//   - steps_user.go: the steps about the user's own containers, and the status
//   - limits.go: the sidecar's requests compared with its limits
//   - outcome.go: checks of the injected pod
//   - warn_conflict.go: warnings about what the sidecar shares with the pod
//   - warn_powers.go: warnings about ways around the sidecar
//   - warn_node.go: warnings about what a pod reaches by its node
//   - warn_proxy.go: warnings about what annotations and names change in the sidecar
//   - ephemeral.go: the ephemeral containers of a running pod
//   - warn.go: warnings about an injected pod
//   - inject.go: the injection
//   - uninject.go: the removal of an injection
//   - workload.go: pod templates in objects
//   - review.go: warnings about a workload
package inject
