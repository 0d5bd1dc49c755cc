// Package live reads the facts of package check from a cluster.
//
// Contract: it only reads, apart from pods in dry run. The number of requests is bounded: a
// fixed number, a page for each 500 objects of a list, and pods in dry run in 20 namespaces
// at most. What cannot be read is named in Facts.Unread.
package live
