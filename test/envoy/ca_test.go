package envoy

import (
	"crypto/tls"
	"testing"
	"time"

	"github.com/outrider-mesh/outrider/test/kit"
	"github.com/outrider-mesh/outrider/test/kit/testca"
)

// authority signs certificates for control planes.
type authority struct{ *testca.CA }

func newCA(t testing.TB) *authority {
	t.Helper()
	ca, err := testca.New("test CA", time.Now().Add(-time.Hour), 2*time.Hour)
	kit.Must(t, err)
	return &authority{ca}
}

func (a *authority) pem() string { return string(a.PEM()) }

// serve makes a server's certificate for a DNS name or an address.
func (a *authority) serve(t testing.TB, name string) tls.Certificate {
	t.Helper()
	c, err := a.Issue(name)
	kit.Must(t, err)
	return c
}
