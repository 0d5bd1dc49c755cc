// Package active holds the one configuration that is in use. It watches the two
// ConfigMaps of config and the cluster's ranges, and after each change reads,
// compiles and validates the whole configuration before it becomes active.
//
// What a caller may assume:
//
//   - A Snapshot is whole and never changed. Whoever serves a request loads
//     Current once, so that one configuration decides all of it.
//   - A configuration with an error changes nothing, not even in part: the last
//     good one stays active, and an event on the ConfigMap, the log and a metric
//     report all errors.
//   - An edit is read once, and its mesh configuration compiled once. A change of
//     the cluster's ranges compiles the injector again and nothing else.
//   - Subscribers are called for each Snapshot, one after the other, on one
//     goroutine at a time.
//   - Check validates an edit by the same functions and activates nothing.
package active
