// Package certs manages the serving certificate, the CA certificates that verify
// it, and the places where clients read those.
//
// Without an external certificate (Options.External nil) it stores everything in one
// Secret. The leader issues and rotates, by the ordered rules in policy.go; every
// replica serves the Secret's newest certificate, without a restart. The CA bundle
// is published in the caBundle of the two webhook configurations, of which nothing
// else is ever written, and in the ConfigMap "outrider-ca" of every namespace whose
// pods may be injected, or were injected from a file.
//
// A replica of a Deployment that does not lead (Options.Follow) only reads the
// Secret and reports what it serves. It keeps its certificate whatever becomes of
// the leader, and waits for the first one.
//
// A rotation never interrupts trust: a new CA certificate is published first and
// signs later, and the old one stays published until every replica serves a
// certificate of the new one.
//
// What a caller may assume: Start returns only when its context ends, whatever
// the API server does; a certificate that was served once stays until a better
// one is available; objects that are not managed by this package are not written.
package certs
