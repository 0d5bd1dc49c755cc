// Package explain will answer questions: why a pod was or was not injected,
// where a connection to a destination goes and by which rule, what in a running
// pod differs from what it would get today. It is a pure room and calls the
// functions that inject, redirect and translate; it has no rules of its own.
package explain
