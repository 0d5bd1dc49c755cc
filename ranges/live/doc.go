// Package live reads from a cluster what it shows of its own address ranges,
// and follows it. Objects are marshalled to text on purpose: package ranges has
// one reader, for documents and live objects alike.
//
// What may be assumed: nothing is written, except that with Options.Probe the
// API server is asked, by a dry run, to create a Service whose address it must
// reject. An answer of "forbidden" or "not found" is no evidence and no failure,
// for every single source. Any other failure fails the whole reading: partial
// data could give other ranges than all of it.
//
// docs/ranges.md lists the permissions that the sources need; deploy/outrider.yaml
// has them as roles.
package live
