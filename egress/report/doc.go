// Package report counts what workloads reach.
//
// A Table has the destinations of the workloads of one namespace, within limits: what
// does not fit is counted, and how many hosts that were is estimated. Tables merge, in
// any order, so that several replicas can write to one object. The object is an
// EgressReport; a Table is read from one and written as one.
//
// What is reported is a claim of a sidecar. Observe takes any text, and never keeps
// more than the limits allow; nothing that one namespace reports is in the Table of
// another, because the caller selects the Table by the token that the report came
// with.
//
// The package is pure: the time is an argument.
//
// # Files
//
//   - destination.go: what is counted
//   - sketch.go: the estimated number of different names
//   - limits.go: the limits, and their arithmetic
//   - table.go: what is kept of a namespace
//   - object.go: the EgressReport
//   - hosts.go: what is listed of it
package report
