// Package ranges determines the address ranges that belong to a cluster.
//
// Documents go in: the output of a cloud's command line, Kubernetes objects,
// installation files, flags, error messages. Read turns them into evidence, each
// piece with its kind (service or pod), address family, ranges, source, grade
// and place. Resolve selects by a fixed order of precedence, per kind and
// family, and checks against the addresses that the documents show in use.
//
// Contract: every function is pure. A range is read from the path of a known
// kind of document and from nowhere else; text that only looks like a range is
// ignored. Where a tool has a default for a range that its document omits, the
// evidence is graded as a default. A range that cannot be determined is a
// result: its kind is listed as undetermined, with the command whose output
// would provide it. No input makes a function panic.
//
// Reading a live cluster belongs to ranges/live, which passes objects to Read as
// documents.
//
// # Files
//
// Each file uses only those before it:
//   - evidence.go: kinds of ranges, address families, grades, and evidence with its precedence
//   - data.go: what all documents contain, and the platform they come from
//   - path.go: values of a document by their path
//   - load_json.go: JSON, one value after the other
//   - load.go: a document cut into values and lines
//   - reader.go: evidence from single values
//   - platforms.go: the platforms, their defaults, and the commands that print their ranges
//   - flags.go: flags of Kubernetes components
//   - nodes.go: Nodes, and what identifies their platform
//   - plugins.go: configuration of network plugins and small distributions
//   - cloud.go: what cloud providers describe beyond paths
//   - network.go: ranges of the underlying network
//   - kinds.go: the table of documents
//   - lines.go: keys of the table on single lines
//   - objects.go: Kubernetes objects
//   - dispatch.go: a value of any kind
//   - describe.go: the output of kubectl describe
//   - text.go: flags, tables and lines in text
//   - read.go: all documents
//   - resolve.go: the evidence that is used, by precedence
//   - default.go: the result by a platform's defaults alone
//   - names.go: the names that expand to a cluster's ranges
//   - render.go: the result as a table, JSON, Helm value, annotation and patch
package ranges
