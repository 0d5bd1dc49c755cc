// Package webhook answers admission reviews.
//
// There are four handlers. The one for InjectPath mutates pods and fails closed:
// a pod that cannot be processed is denied. The one for WarnPath reads workloads,
// returns warnings only, and always allows. Those for ValidatePath and
// ConfigurationPath deny objects and ConfigMaps with errors, warn about what has
// no effect, and fail open, since the control plane validates them again when it
// reads them. All share the same steps: receive the body, weigh it, wait for
// a place, decode the review once, load the active configuration once, decide,
// respond, count, log. A panic ends one request, never the process. Server is their
// port, whose connections are limited.
//
// What a caller may assume: a handler may be used by any number of goroutines;
// a request calls Options.Active once and sees one configuration throughout;
// memory in use is bounded by Limits;
// a client over a limit is rejected or cut off, and no other is.
package webhook
