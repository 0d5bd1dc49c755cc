// Package certs keeps the serving certificate, the authorities that vouch for
// it, and the places where clients find those authorities.
//
// Without files of its own (Options.External nil) it keeps everything in one
// Secret. The leader issues and rotates, by the ordered rules in policy.go; every
// replica serves the Secret's newest certificate, without a restart. The
// authorities are published in the caBundle of the two webhook registrations,
// of which nothing else is ever written, and in the ConfigMap "outrider-ca" of
// every namespace whose pods may be injected, or have been by a file.
//
// A rotation never leaves a moment without trust: a new authority is published
// first and signs later, and the old one stays published until every replica
// serves under the new one.
//
// What a caller may assume: Start returns only when its context ends, whatever
// the API server does; a certificate that was served once stays until a better
// one is there; what is not this package's own is not touched.
package certs
