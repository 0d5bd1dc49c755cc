// Package ranges says which address ranges are a cluster's own.
//
// Documents go in: what a cloud's command line printed, Kubernetes objects,
// installation files, flags, error texts. Read turns them into evidence, each
// piece with its kind (service or pod), address family, ranges, source, grade
// and place. Resolve decides by a fixed order of precedence, per kind and
// family, and checks against the addresses the documents show in use.
//
// Contract: every function is pure. A range is taken from the path of a known
// kind of document and from nowhere else; text that only looks like a range is
// never taken. Where a tool fills in a range that its document leaves out, the
// evidence is graded Defaulted. What cannot be determined is an answer: the kind
// is listed as undetermined, with the command whose output would supply it. No
// input makes a function panic.
//
// Reading a live cluster belongs to platform/live, which hands objects to Read
// as documents.
package ranges
