// Package egresstest reads inputs of egress from text, makes random ones, and
// has a real Envoy validate what is made of them. It is for tests of packages
// outside egress, and for the external tests of egress itself.
package egresstest
