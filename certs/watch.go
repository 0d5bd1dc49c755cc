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
// manager's runnable: while it runs, it takes up changes of the files, and
// keeps the certificate it has when a change cannot be read.
func Watch(dir string) (*certwatcher.CertWatcher, error) {
	w, err := certwatcher.New(filepath.Join(dir, CertificateFile), filepath.Join(dir, KeyFile))
	if err != nil {
		return nil, fmt.Errorf("load serving certificate: %w; the directory must hold %s and %s in PEM", err, CertificateFile, KeyFile)
	}
	return w, nil
}

// GetCertificate is what a TLS configuration asks for the certificate of a
// connection.
type GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error)

// ServerTLS sets what every HTTPS port of ours has: TLS 1.2 or newer, and
// HTTP/1.1 only. The API server is the one client, keeps its connections open
// and gains nothing from HTTP/2, whose stream handling has been the way to
// exhaust such servers (CVE-2023-44487, CVE-2023-45288).
func ServerTLS(get GetCertificate) func(*tls.Config) {
	return func(c *tls.Config) {
		c.MinVersion = tls.VersionTLS12
		c.NextProtos = []string{"http/1.1"}
		c.GetCertificate = get
	}
}
