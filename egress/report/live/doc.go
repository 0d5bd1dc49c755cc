// Package live writes what sidecars report to the EgressReports of a cluster.
//
// A Recorder counts in memory, and adds what it has counted to the object of each
// namespace: at most once in an interval, and only what is new. Every replica has one,
// and each adds to the same objects: a write is for the version that was read, so no
// replica overwrites the counts of another. What was counted since the last write is
// lost with a replica that is killed; one that is stopped writes it.
//
// A namespace is that of the token that a report came with, and so is the pod, of which
// the API server is asked what it belongs to.
package live
