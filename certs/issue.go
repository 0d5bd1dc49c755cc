// Package certs issues and loads the webhook's serving certificate.
//
// Issue makes a certificate authority that signs exactly one leaf and then
// forgets its key, so that nobody can sign a second one with it. Watch serves
// what a directory holds, and follows its changes.
package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"time"
)

// The PEM block types of what Issue returns.
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
// is not returned: a new leaf comes with a new authority.
func Issue(hosts []string, notBefore time.Time, validity time.Duration) (ca, cert, key []byte, err error) {
	if len(hosts) == 0 {
		return nil, nil, nil, errors.New("issue serving certificate: no host names given; name the Service's DNS name or the address the API server calls")
	}
	if validity <= 0 {
		return nil, nil, nil, fmt.Errorf("issue serving certificate: validity %s is not positive", validity)
	}
	notAfter := notBefore.Add(validity)

	authority := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "outrider webhook authority"},
		NotBefore:             notBefore,
		NotAfter:              notAfter,
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true, // it signs leaves, never another authority
		KeyUsage:              x509.KeyUsageCertSign,
	}
	authorityKey, ca, err := sign(authority, authority, nil)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("issue certificate authority: %w", err)
	}

	leaf := &x509.Certificate{
		Subject:               pkix.Name{CommonName: commonName(hosts[0])},
		NotBefore:             notBefore,
		NotAfter:              notAfter,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			leaf.IPAddresses = append(leaf.IPAddresses, ip)
		} else {
			leaf.DNSNames = append(leaf.DNSNames, host)
		}
	}
	leafKey, cert, err := sign(leaf, authority, authorityKey)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("issue serving certificate for %s: %w", hosts[0], err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(leafKey)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("encode serving key for %s: %w", hosts[0], err)
	}
	return ca, cert, pem.EncodeToMemory(&pem.Block{Type: blockKey, Bytes: der}), nil
}

// sign makes a key for template and its certificate as PEM, signed by signer
// with signerKey; a nil signerKey means that the certificate signs itself.
func sign(template, signer *x509.Certificate, signerKey *ecdsa.PrivateKey) (*ecdsa.PrivateKey, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	if signerKey == nil {
		signerKey = key
	}
	// RFC 5280: at most 20 octets, positive; 127 bits are unique enough.
	template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, signer, key.Public(), signerKey)
	if err != nil {
		return nil, nil, err
	}
	return key, pem.EncodeToMemory(&pem.Block{Type: blockCertificate, Bytes: der}), nil
}

// commonName cuts a host to the 64 characters X.520 allows. Verifiers read the
// subject alternative names; this is for people who look.
func commonName(host string) string {
	if len(host) > 64 {
		return host[:64]
	}
	return host
}
