// Package live reads the facts of package check from a cluster.
//
// Contract: it only reads, apart from pods in dry run. The number of requests is bounded: some
// thirty, a page of 500 for each 500 nodes, namespaces and NetworkPolicies, and a pod in
// dry run in each of 20 namespaces. What cannot be read is named in Facts.Unread.
package live
