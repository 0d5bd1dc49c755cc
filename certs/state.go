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

// The keys of the Secret beside CertificateFile and KeyFile. BundleFile holds
// every authority to be trusted, newest first; AuthorityKeyFile is the key of
// the first.
const (
	BundleFile       = "ca.crt"
	AuthorityKeyFile = "ca.key"
)

// State is what the Secret holds. The zero value holds nothing.
type State struct {
	// Authorities are to be trusted, newest first. The first one signs.
	Authorities []*x509.Certificate
	// Key is that of Authorities[0]; nil when it is lost.
	Key *ecdsa.PrivateKey
	// Serving is the certificate to serve, with Leaf set; nil when there is none.
	Serving *tls.Certificate
}

// ParseState reads the data of the Secret. What cannot be read counts as lost,
// and the error says why; the rest of the state is good.
func ParseState(data map[string][]byte) (State, error) {
	var s State
	var errs []error
	lost := func(key string, err error) { errs = append(errs, fmt.Errorf("key %s: %w", key, err)) }

	if text := data[BundleFile]; len(text) > 0 {
		var err error
		if s.Authorities, err = parseBundle(text); err != nil {
			lost(BundleFile, err)
		}
	}
	if text := data[AuthorityKeyFile]; len(text) > 0 {
		key, err := parseKey(text)
		switch {
		case err != nil:
			lost(AuthorityKeyFile, err)
		case len(s.Authorities) == 0 || !key.PublicKey.Equal(s.Authorities[0].PublicKey):
			lost(AuthorityKeyFile, fmt.Errorf("is not the key of the first certificate in %s", BundleFile))
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

// Data is the state as the Secret holds it; ParseState reads it back.
func (s State) Data() (map[string][]byte, error) {
	out := map[string][]byte{BundleFile: s.Bundle()}
	if s.Key != nil {
		key, err := encodeKey(s.Key)
		if err != nil {
			return nil, err
		}
		out[AuthorityKeyFile] = key
	}
	if s.Serving != nil {
		cert, key, err := encodePair(s.Serving)
		if err != nil {
			return nil, err
		}
		out[CertificateFile], out[KeyFile] = cert, key
	}
	return out, nil
}

// Bundle is the PEM of the authorities, newest first.
func (s State) Bundle() []byte {
	var out []byte
	for _, a := range s.Authorities {
		out = append(out, encodeCertificate(a)...)
	}
	return out
}

// or fills in what is lost from what was there before: authorities that clients
// trust and a certificate that replicas serve are no less good because somebody
// deleted the Secret. The key is not: whoever takes it away asks for a new one.
func (s State) or(last *State) (filled State, changed bool) {
	if last == nil {
		return s, false
	}
	if len(s.Authorities) == 0 && len(last.Authorities) > 0 {
		s.Authorities, s.Key, changed = last.Authorities, nil, true
	}
	if s.Serving == nil && last.Serving != nil {
		s.Serving, changed = last.Serving, true
	}
	return s, changed
}

// signer is the authority that signed the serving certificate; nil when none of
// the state's did, or there is nothing to serve.
func (s State) signer() *x509.Certificate {
	if s.Serving == nil {
		return nil
	}
	for _, a := range s.Authorities {
		if s.Serving.Leaf.CheckSignatureFrom(a) == nil {
			return a
		}
	}
	return nil
}

// servedByNewest reports whether the authority that signs now signed what is
// served.
func (s State) servedByNewest() bool {
	return len(s.Authorities) > 0 && s.signer() == s.Authorities[0]
}

// AuthorityID names an authority by its public key, as certificates name
// whoever signed them.
func AuthorityID(a *x509.Certificate) string { return hex.EncodeToString(a.SubjectKeyId) }

// signerID names the authority that signed a leaf, as AuthorityID does.
func signerID(leaf *x509.Certificate) string { return hex.EncodeToString(leaf.AuthorityKeyId) }

// parseBundle reads PEM that must hold certificates and nothing else. With an
// error it still returns those it could read.
func parseBundle(text []byte) (out []*x509.Certificate, err error) {
	for n := 1; ; n++ {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if block.Type != blockCertificate {
			err = errors.Join(err, fmt.Errorf("PEM block %d is a %s, not a %s", n, block.Type, blockCertificate))
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
		err = errors.New("holds no certificate in PEM")
	}
	return out, err
}

func parseKey(text []byte) (*ecdsa.PrivateKey, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("holds no key in PEM")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	ec, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("is a %T; only ECDSA keys are made here", key)
	}
	return ec, nil
}

// missingHost is the first of hosts that the certificate is not for; "" when it
// is for all of them.
func missingHost(c *x509.Certificate, hosts []string) string {
	for _, host := range hosts {
		name := host
		if net.ParseIP(host) != nil {
			name = "[" + host + "]" // how VerifyHostname takes an address
		}
		if c.VerifyHostname(name) != nil {
			return host
		}
	}
	return ""
}

// ChainsTo reports why a client that trusts bundle, PEM, refuses the certificate
// at that time; nil when it does not.
func ChainsTo(c *tls.Certificate, bundle []byte, at time.Time) error {
	roots, err := parseBundle(bundle)
	if err != nil {
		return fmt.Errorf("read the bundle: %w", err)
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
