// Package webhook is the HTTPS side of injection: it answers admission reviews.
//
// There are four doors. The one on InjectPath mutates pods and fails closed: a
// request that cannot be judged is refused. The one on WarnPath looks at
// workloads, only ever warns, and allows whatever happens. Those on ValidatePath
// and ConfigurationPath refuse objects and ConfigMaps that have errors, warn of
// what has no effect, and fail open, for what reads them judges them again. All
// share the same steps: limit the body, read it, decode the review once, load
// the settings once, judge, encode, count, log. A panic is the end of one
// request, never of the process.
//
// What a caller may assume: a handler may be used by any number of goroutines;
// the settings in force are swapped by Settings.Store, and a request sees one
// of them throughout; memory in use is bounded by Options.MaxConcurrent.
package webhook
