// Package kernel puts a redirect.Plan into the Linux kernel's nf_tables, reads
// it back, and proves it with real connections.
//
// Contract: every function works in the network namespace of the calling
// thread and runs no helper program. Apply is one transaction: after a
// failure, or a kill at any moment, either the old rules are in force or the
// new ones. Applying twice is the same as once.
package kernel
