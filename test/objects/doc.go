// Package objects makes random ServiceEntries and VirtualServices, for tests
// that hold what is made of them against a real Envoy.
package objects
