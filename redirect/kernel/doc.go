// Package kernel installs a redirect.Plan in the Linux kernel's nf_tables,
// compares what the kernel holds with the plan, and verifies it with test
// connections.
//
// Contract: every function works in the network namespace of the calling
// thread and runs no helper program. Apply is one transaction: after a
// failure, or a kill at any moment, either the old rules are active or the new
// ones. Applying twice is the same as once.
package kernel
