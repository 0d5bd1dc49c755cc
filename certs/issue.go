package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"time"
)

// The PEM block types.
const (
	blockCertificate = "CERTIFICATE"
	blockKey         = "PRIVATE KEY"
)

// ca is a CA certificate with its key.
type ca struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// newCA makes a self-signed CA certificate. Its name is unique, so that a verifier
// with two of them finds the right one by name alone.
func newCA(notBefore, notAfter time.Time) (ca, error) {
	serial, err := serialNumber()
	if err != nil {
		return ca{}, fmt.Errorf("issue CA certificate: %w", err)
	}
	key, certificate, err := sign(&x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: "outrider CA " + serial.Text(16)[:8]},
		NotBefore:             notBefore,
		NotAfter:              notAfter,
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true, // it signs leaves, never another CA
		KeyUsage:              x509.KeyUsageCertSign,
	}, nil)
	if err != nil {
		return ca{}, fmt.Errorf("issue CA certificate: %w", err)
	}
	return ca{certificate, key}, nil
}

// newLeaf makes a serving certificate for hosts.
func (a ca) newLeaf(hosts []string, notBefore, notAfter time.Time) (*tls.Certificate, error) {
	if len(hosts) == 0 {
		return nil, errors.New("issue serving certificate: hosts are required; specify the DNS name of the Service or the address that the API server uses")
	}
	serial, err := serialNumber()
	if err != nil {
		return nil, fmt.Errorf("issue serving certificate for %s: %w", hosts[0], err)
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: commonName(hosts[0])},
		NotBefore:             notBefore,
		NotAfter:              notAfter,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	key, certificate, err := sign(template, &a)
	if err != nil {
		return nil, fmt.Errorf("issue serving certificate for %s: %w", hosts[0], err)
	}
	return &tls.Certificate{Certificate: [][]byte{certificate.Raw}, PrivateKey: key, Leaf: certificate}, nil
}

// sign makes a key for template and its certificate, signed by a CA, or self-signed
// where by is nil.
func sign(template *x509.Certificate, by *ca) (*ecdsa.PrivateKey, *x509.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	if by == nil {
		by = &ca{template, key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by.certificate, key.Public(), by.key)
	if err != nil {
		return nil, nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	return key, certificate, err
}

// serialNumber is random. RFC 5280: at most 20 octets, positive; 127 bits with
// the highest one set are unique enough and of one length.
func serialNumber() (*big.Int, error) {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 126))
	if err != nil {
		return nil, err
	}
	return n.SetBit(n, 126, 1), nil
}

// commonName cuts a host to the 64 characters X.520 allows. Verifiers read the
// subject alternative names; the common name is informative.
func commonName(host string) string {
	if len(host) > 64 {
		return host[:64]
	}
	return host
}

func encodeCertificate(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: blockCertificate, Bytes: c.Raw})
}

func encodeKey(key any) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: blockKey, Bytes: der}), nil
}

// encodePair is the PEM of a certificate with its chain, and of its key.
func encodePair(c *tls.Certificate) (cert, key []byte, err error) {
	for _, der := range c.Certificate {
		cert = append(cert, pem.EncodeToMemory(&pem.Block{Type: blockCertificate, Bytes: der})...)
	}
	key, err = encodeKey(c.PrivateKey)
	return cert, key, err
}
