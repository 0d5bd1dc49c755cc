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

// Issue makes a self-signed certificate authority and a serving certificate for
// hosts, both ECDSA P-256, valid from notBefore for validity.
//
// hosts are DNS names or IP addresses; the first is also the common name of the
// leaf. The results are PEM: the authority's certificate (what goes into
// caBundle), the leaf, and the leaf's key as PKCS #8. The authority's own key
// is not returned: nobody can sign a second leaf with it.
func Issue(hosts []string, notBefore time.Time, validity time.Duration) (ca, cert, key []byte, err error) {
	if validity <= 0 {
		return nil, nil, nil, fmt.Errorf("issue serving certificate: validity %s is not positive", validity)
	}
	a, err := newAuthority(notBefore, notBefore.Add(validity))
	if err != nil {
		return nil, nil, nil, err
	}
	leaf, err := a.newLeaf(hosts, notBefore, notBefore.Add(validity))
	if err != nil {
		return nil, nil, nil, err
	}
	cert, key, err = encodePair(leaf)
	return encodeCertificate(a.certificate), cert, key, err
}

// authority is a certificate with the key it signs by.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// newAuthority makes a certificate authority that signs itself. Its name is its
// own, so that a verifier that holds two finds the right one by name alone.
func newAuthority(notBefore, notAfter time.Time) (authority, error) {
	serial, err := serialNumber()
	if err != nil {
		return authority{}, fmt.Errorf("issue certificate authority: %w", err)
	}
	key, certificate, err := sign(&x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: "outrider authority " + serial.Text(16)[:8]},
		NotBefore:             notBefore,
		NotAfter:              notAfter,
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true, // it signs leaves, never another authority
		KeyUsage:              x509.KeyUsageCertSign,
	}, nil)
	if err != nil {
		return authority{}, fmt.Errorf("issue certificate authority: %w", err)
	}
	return authority{certificate, key}, nil
}

// newLeaf makes a serving certificate for hosts.
func (a authority) newLeaf(hosts []string, notBefore, notAfter time.Time) (*tls.Certificate, error) {
	if len(hosts) == 0 {
		return nil, errors.New("issue serving certificate: no host names given; name the Service's DNS name or the address the API server calls")
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

// sign makes a key for template and its certificate, signed by an authority; nil
// means that the certificate signs itself.
func sign(template *x509.Certificate, by *authority) (*ecdsa.PrivateKey, *x509.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	if by == nil {
		by = &authority{template, key}
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
// subject alternative names; this is for people who look.
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

// encodePair is the PEM of a certificate with what it came with, and of its key.
func encodePair(c *tls.Certificate) (cert, key []byte, err error) {
	for _, der := range c.Certificate {
		cert = append(cert, pem.EncodeToMemory(&pem.Block{Type: blockCertificate, Bytes: der})...)
	}
	key, err = encodeKey(c.PrivateKey)
	return cert, key, err
}
