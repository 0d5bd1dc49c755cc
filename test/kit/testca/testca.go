// Package testca issues certificates for the TLS servers of tests and of the demo.
package testca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"time"
)

// CA is a certificate authority with a fresh key. It may be used by any number of
// goroutines.
type CA struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// New makes a CA that is valid from notBefore on. So is what it issues.
func New(name string, notBefore time.Time, validity time.Duration) (*CA, error) {
	ca := &CA{}
	var err error
	ca.cert, ca.key, err = sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: name}, NotBefore: notBefore, NotAfter: notBefore.Add(validity),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, nil)
	if err != nil {
		return nil, fmt.Errorf("make the CA %s: %w", name, err)
	}
	return ca, nil
}

// PEM is the certificate that a client has to trust.
func (ca *CA) PEM() []byte { return encode("CERTIFICATE", ca.cert.Raw) }

// Issue makes a serving certificate for DNS names and addresses.
func (ca *CA) Issue(hosts ...string) (tls.Certificate, error) {
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: hosts[0]}, NotBefore: ca.cert.NotBefore, NotAfter: ca.cert.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	cert, key, err := sign(template, ca)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("issue a certificate for %s: %w", hosts[0], err)
	}
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}, nil
}

// IssueClient makes a client certificate with a common name.
func (ca *CA) IssueClient(name string) (tls.Certificate, error) {
	cert, key, err := sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: name}, NotBefore: ca.cert.NotBefore, NotAfter: ca.cert.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, ca)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("issue a certificate for %s: %w", name, err)
	}
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}, nil
}

// Files are a new CA's certificate, a serving certificate for hosts and its key,
// all PEM, as files and Secrets hold them.
func Files(notBefore time.Time, validity time.Duration, hosts ...string) (ca, cert, key []byte, err error) {
	made, err := New("test CA", notBefore, validity)
	if err != nil {
		return nil, nil, nil, err
	}
	leaf, err := made.Issue(hosts...)
	if err != nil {
		return nil, nil, nil, err
	}
	cert, key, err = PEM(leaf)
	return made.PEM(), cert, key, err
}

// PEM is a certificate and its key, as files and Secrets hold them.
func PEM(leaf tls.Certificate) (cert, key []byte, err error) {
	der, err := x509.MarshalPKCS8PrivateKey(leaf.PrivateKey)
	return encode("CERTIFICATE", leaf.Certificate[0]), encode("PRIVATE KEY", der), err
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// sign makes a key and its certificate; without a CA it signs itself.
func sign(template *x509.Certificate, by *CA) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 126)); err != nil {
		return nil, nil, err
	}
	if by == nil {
		by = &CA{template, key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by.cert, &key.PublicKey, by.key)
	if err != nil {
		return nil, nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return cert, key, err
}
