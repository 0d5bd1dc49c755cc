package certs

import (
	"crypto/tls"
	"fmt"
	"path/filepath"

	"sigs.k8s.io/controller-runtime/pkg/certwatcher"
)

// The files of a certificate directory, as a Secret of type kubernetes.io/tls
// is mounted.
const (
	CertificateFile = "tls.crt"
	KeyFile         = "tls.key"
)

// Watch loads the certificate and key in dir. The watcher it returns is a
// manager's runnable: while it runs, it reloads changed files, and keeps the
// current certificate when they are invalid.
func Watch(dir string) (*certwatcher.CertWatcher, error) {
	w, err := certwatcher.New(filepath.Join(dir, CertificateFile), filepath.Join(dir, KeyFile))
	if err != nil {
		return nil, fmt.Errorf("load serving certificate: %w; the directory must hold %s and %s in PEM", err, CertificateFile, KeyFile)
	}
	return w, nil
}

// GetCertificate returns the certificate of a connection, for a TLS configuration.
type GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error)

// CipherSuites are those of TLS 1.2 with forward secrecy and authenticated encryption.
// Go's default also has suites with CBC and SHA-1. The suites of TLS 1.3 cannot be
// chosen, and all of them are of this kind.
func CipherSuites() []uint16 {
	return []uint16{
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
		tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
	}
}

// ServerTLS configures an HTTPS port: TLS 1.2 or newer, and HTTP/1.1 only. The API
// server is the only client, keeps its connections open and gains nothing from
// HTTP/2, whose stream handling has been used to exhaust such servers (CVE-2023-44487, CVE-2023-45288).
func ServerTLS(get GetCertificate) func(*tls.Config) {
	return func(c *tls.Config) {
		c.MinVersion, c.CipherSuites = tls.VersionTLS12, CipherSuites()
		c.NextProtos = []string{"http/1.1"}
		c.GetCertificate = get
		// Of TLS 1.2, only suites with forward secrecy and authenticated encryption.
		c.CipherSuites = []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		}
		// The API server does not resume sessions.
		c.SessionTicketsDisabled = true
	}
}
