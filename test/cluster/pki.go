package cluster

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// validity of all certificates: a cluster is not kept for longer.
const validity = 365 * 24 * time.Hour

// authority issues the cluster's certificates into one directory: NAME.crt and
// NAME.key.
type authority struct {
	dir    string
	cert   *x509.Certificate
	key    *ecdsa.PrivateKey
	pem    []byte
	serial int64
}

func newAuthority(dir string) (*authority, error) {
	a := &authority{dir: dir}
	now := time.Now()
	t := &x509.Certificate{
		Subject: pkix.Name{CommonName: "kubernetes"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(validity),
		IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	var err error
	a.pem, _, err = a.issue("ca", t)
	return a, err
}

// server issues a serving certificate for names and addresses.
func (a *authority) server(file string, names []string, addresses []net.IP) error {
	_, _, err := a.issue(file, &x509.Certificate{
		Subject: pkix.Name{CommonName: file}, DNSNames: names, IPAddresses: addresses,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	return err
}

// client issues a certificate for a user, and writes FILE.kubeconfig, with
// which the user reaches the API server.
func (a *authority) client(file, user, group, server string) error {
	t := &x509.Certificate{
		Subject:  pkix.Name{CommonName: user},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if group != "" {
		t.Subject.Organization = []string{group}
	}
	cert, key, err := a.issue(file, t)
	if err != nil {
		return err
	}
	b64 := base64.StdEncoding.EncodeToString
	text := fmt.Sprintf(kubeconfig, b64(a.pem), server, file, b64(cert), b64(key))
	return os.WriteFile(filepath.Join(a.dir, file+".kubeconfig"), []byte(text), 0o600)
}

const kubeconfig = `apiVersion: v1
kind: Config
clusters:
- name: outrider
  cluster:
    certificate-authority-data: %s
    server: %s
contexts:
- name: outrider
  context: {cluster: outrider, user: %[3]s}
current-context: outrider
users:
- name: %[3]s
  user:
    client-certificate-data: %[4]s
    client-key-data: %[5]s
`

// issue signs a certificate with a fresh key and writes both. The first one is
// the authority's own.
func (a *authority) issue(file string, t *x509.Certificate) (cert, keyPEM []byte, err error) {
	fail := func(err error) ([]byte, []byte, error) {
		return nil, nil, fmt.Errorf("issue certificate %s: %w", file, err)
	}
	key, keyPEM, err := newKey()
	if err != nil {
		return fail(err)
	}
	a.serial++
	t.SerialNumber = big.NewInt(a.serial)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = t, key
	} else {
		t.NotBefore, t.NotAfter = parent.NotBefore, parent.NotAfter
	}
	der, err := x509.CreateCertificate(rand.Reader, t, parent, &key.PublicKey, signer)
	if err != nil {
		return fail(err)
	}
	if a.cert == nil {
		a.key = key
		if a.cert, err = x509.ParseCertificate(der); err != nil {
			return fail(err)
		}
	}
	cert = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := os.WriteFile(filepath.Join(a.dir, file+".crt"), cert, 0o644); err != nil {
		return fail(err)
	}
	if err := os.WriteFile(filepath.Join(a.dir, file+".key"), keyPEM, 0o600); err != nil {
		return fail(err)
	}
	return cert, keyPEM, nil
}

// newKey makes a private key, also as PEM.
func newKey() (*ecdsa.PrivateKey, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	return key, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), nil
}

// keyPair writes a key that signs tokens and its public half.
func keyPair(private, public string) error {
	key, keyPEM, err := newKey()
	if err != nil {
		return fmt.Errorf("make key %s: %w", private, err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return fmt.Errorf("make key %s: %w", private, err)
	}
	if err := os.WriteFile(private, keyPEM, 0o600); err != nil {
		return err
	}
	return os.WriteFile(public, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o644)
}
