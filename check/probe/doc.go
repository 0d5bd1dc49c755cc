// Package probe is what the pods of "outrider check --traffic" run: a server that plays the
// external service, a client that connects to it, and a reader of the kernel's counters.
//
// Contract: the client makes the connections that it is given, one after the other, and
// prints what it sees as lines of JSON; what that means is decided in package check. The
// reader answers at an abstract Unix socket, which only the containers of its pod reach, and
// which leaves the counters of TCP connections as they are.
package probe
