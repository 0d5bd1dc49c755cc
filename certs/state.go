package certs

import (
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"time"
)

// The keys of the Secrets beside CertificateFile and KeyFile. BundleFile has the
// trusted CA certificates, newest first; CAKeyFile is the key of the first, and is in a
// Secret of its own, with that certificate: only those that issue certificates read it.
const (
	BundleFile = "ca.crt"
	CAKeyFile  = "ca.key"
)

// State is the content of both Secrets. The zero value is an empty one.
type State struct {
	// CACerts are the trusted CA certificates, newest first. The first one signs.
	CACerts []*x509.Certificate
	// Key is that of CACerts[0]; nil when it is lost.
	Key *ecdsa.PrivateKey
	// Serving is the certificate to serve, with Leaf set; nil when there is none.
	Serving *tls.Certificate
}

// ParseState reads the data of the Secret, and that of the Secret of the CA key. Earlier
// versions stored the CA key in the first, where it takes precedence: a version that was
// rolled back to has issued it last. Invalid data counts as lost, and the error has the
// reasons; the rest of the state is valid.
func ParseState(data, keyData map[string][]byte) (State, error) {
	var s State
	var errs []error
	lost := func(key string, err error) { errs = append(errs, fmt.Errorf("key %s: %w", key, err)) }

	if text := data[BundleFile]; len(text) > 0 {
		var err error
		if s.CACerts, err = parseBundle(text); err != nil {
			lost(BundleFile, err)
		}
	}
	for _, text := range [][]byte{data[CAKeyFile], keyData[CAKeyFile]} {
		if len(text) == 0 || s.Key != nil {
			continue
		}
		key, err := parseKey(text)
		switch {
		case err != nil:
			lost(CAKeyFile, err)
		case len(s.CACerts) == 0 || !key.PublicKey.Equal(s.CACerts[0].PublicKey):
			lost(CAKeyFile, fmt.Errorf("private key does not match the first certificate in %s", BundleFile))
		default:
			s.Key = key
		}
	}
	if len(data[CertificateFile])+len(data[KeyFile]) > 0 {
		pair, err := tls.X509KeyPair(data[CertificateFile], data[KeyFile])
		if err != nil {
			lost(CertificateFile+", "+KeyFile, err)
		} else {
			s.Serving = &pair
		}
	}
	return s, errors.Join(errs...)
}

// Data is the state as the data of the two Secrets; ParseState reads it back.
func (s State) Data() (data, keyData map[string][]byte, err error) {
	data, keyData = map[string][]byte{BundleFile: s.Bundle()}, map[string][]byte{}
	if s.Key != nil {
		keyData[BundleFile] = encodeCertificate(s.CACerts[0])
		if keyData[CAKeyFile], err = encodeKey(s.Key); err != nil {
			return nil, nil, err
		}
	}
	if s.Serving != nil {
		if data[CertificateFile], data[KeyFile], err = encodePair(s.Serving); err != nil {
			return nil, nil, err
		}
	}
	return data, keyData, nil
}

// Bundle is the PEM of the CA certificates, newest first.
func (s State) Bundle() []byte {
	var out []byte
	for _, a := range s.CACerts {
		out = append(out, encodeCertificate(a)...)
	}
	return out
}

// restoredFrom restores what is lost from an earlier state: CA certificates that clients
// trust and a certificate that replicas serve stay valid when the Secret is
// deleted. The key is not restored: removing it requests a new CA certificate.
func (s State) restoredFrom(last *State) (filled State, changed bool) {
	if last == nil {
		return s, false
	}
	if len(s.CACerts) == 0 && len(last.CACerts) > 0 {
		s.CACerts, s.Key, changed = last.CACerts, nil, true
	}
	if s.Serving == nil && last.Serving != nil {
		s.Serving, changed = last.Serving, true
	}
	return s, changed
}

// signer is the CA certificate that signed the serving certificate; nil when none
// of the state's did, or there is no serving certificate.
func (s State) signer() *x509.Certificate {
	if s.Serving == nil {
		return nil
	}
	for _, a := range s.CACerts {
		if s.Serving.Leaf.CheckSignatureFrom(a) == nil {
			return a
		}
	}
	return nil
}

// servedByNewest reports whether the newest CA certificate signed the serving
// certificate.
func (s State) servedByNewest() bool {
	return len(s.CACerts) > 0 && s.signer() == s.CACerts[0]
}

// CAID identifies a CA certificate by its public key, as the certificates it signed
// do.
func CAID(a *x509.Certificate) string { return hex.EncodeToString(a.SubjectKeyId) }

// signerID identifies the CA certificate that signed a leaf, as CAID does.
func signerID(leaf *x509.Certificate) string { return hex.EncodeToString(leaf.AuthorityKeyId) }

// parseBundle reads PEM that must contain certificates and nothing else. With an
// error it still returns the valid ones.
func parseBundle(text []byte) (out []*x509.Certificate, err error) {
	for n := 1; ; n++ {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if block.Type != blockCertificate {
			err = errors.Join(err, fmt.Errorf("PEM block %d: unexpected PEM type %q, want %q", n, block.Type, blockCertificate))
			continue
		}
		certificate, bad := x509.ParseCertificate(block.Bytes)
		if bad != nil {
			err = errors.Join(err, fmt.Errorf("certificate %d: %w", n, bad))
			continue
		}
		out = append(out, certificate)
	}
	if len(out) == 0 && err == nil {
		err = errors.New("no PEM certificate found")
	}
	return out, err
}

func parseKey(text []byte) (*ecdsa.PrivateKey, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("no PEM private key found")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	ec, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("unsupported key type %T, want ECDSA", key)
	}
	return ec, nil
}

// missingHost is the first of hosts that the certificate's SANs do not include; ""
// when they include all.
func missingHost(c *x509.Certificate, hosts []string) string {
	for _, host := range hosts {
		name := host
		if net.ParseIP(host) != nil {
			name = "[" + host + "]" // the form that VerifyHostname expects of an address
		}
		if c.VerifyHostname(name) != nil {
			return host
		}
	}
	return ""
}

// ChainsTo reports why a client that trusts bundle, PEM, rejects the certificate
// at that time; nil when it accepts it.
func ChainsTo(c *tls.Certificate, bundle []byte, at time.Time) error {
	roots, err := parseBundle(bundle)
	if err != nil {
		return fmt.Errorf("parse CA bundle: %w", err)
	}
	pool, between := x509.NewCertPool(), x509.NewCertPool()
	for _, r := range roots {
		pool.AddCert(r)
	}
	for _, der := range c.Certificate[1:] {
		if i, err := x509.ParseCertificate(der); err == nil {
			between.AddCert(i)
		}
	}
	_, err = c.Leaf.Verify(x509.VerifyOptions{
		Roots: pool, Intermediates: between, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	return err
}
