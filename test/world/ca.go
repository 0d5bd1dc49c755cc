package world

import (
	"crypto/tls"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/outrider-mesh/outrider/test/kit/testca"
)

// validity is long enough for a cluster that is kept for weeks.
const validity = 365 * 24 * time.Hour

// CA issues the certificates of the internet's TLS servers.
type CA struct {
	ca *testca.CA

	mu     sync.Mutex
	issued map[string]*tls.Certificate
}

// NewCA makes a CA with a fresh key.
func NewCA() (*CA, error) {
	ca, err := testca.New("Outrider test world CA", time.Now().Add(-time.Hour), validity)
	if err != nil {
		return nil, err
	}
	return &CA{ca: ca, issued: map[string]*tls.Certificate{}}, nil
}

// PEM is the certificate that a client has to trust.
func (ca *CA) PEM() []byte { return ca.ca.PEM() }

// certificate answers a TLS client: its SNI must be one of Names.
func (ca *CA) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	name := strings.ToLower(hello.ServerName)
	if _, ok := Lookup(name); !ok {
		return nil, fmt.Errorf("no site of the name %q", hello.ServerName)
	}
	ca.mu.Lock()
	defer ca.mu.Unlock()
	if c := ca.issued[name]; c != nil {
		return c, nil
	}
	c, err := ca.ca.Issue(name)
	if err != nil {
		return nil, err
	}
	ca.issued[name] = &c
	return &c, nil
}
