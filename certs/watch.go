package certs

import (
	"crypto/tls"
	"fmt"
	"path/filepath"

	"sigs.k8s.io/controller-runtime/pkg/certwatcher"
)

const (
	CertificateFile = "tls.crt"
	KeyFile         = "tls.key"
)

func Watch(dir string) (*certwatcher.CertWatcher, error) {
	w, err := certwatcher.New(filepath.Join(dir, CertificateFile), filepath.Join(dir, KeyFile))
	if err != nil {
		return nil, fmt.Errorf("load serving certificate: %w; the directory must hold %s and %s in PEM", err, CertificateFile, KeyFile)
	}
	return w, nil
}

type GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error)

func ServerTLS(get GetCertificate) func(*tls.Config) {
	return func(c *tls.Config) {
		c.MinVersion = tls.VersionTLS12
		c.NextProtos = []string{"http/1.1"}
		c.GetCertificate = get
	}
}
