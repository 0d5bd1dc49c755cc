package webhook

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"

	"github.com/outrider-mesh/outrider/test/kit"
	"github.com/outrider-mesh/outrider/test/kit/testca"
)

// handshake is the server's side of a connection of a client with certificates.
func handshake(t *testing.T, server, client *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	a, b := net.Pipe()
	defer func() { _ = a.Close() }()
	go func() {
		c := tls.Client(b, client)
		_ = c.Handshake()
		_, _ = c.Read(make([]byte, 1))
	}()
	conn := tls.Server(a, server)
	err := conn.Handshake()
	return conn.ConnectionState(), err
}

func TestClientCA(t *testing.T) {
	issue := func(name string) (*testca.CA, tls.Certificate) {
		ca, err := testca.New(name, time.Now().Add(-time.Hour), 24*time.Hour)
		kit.Must(t, err)
		cert, err := ca.Issue("kube-apiserver.example")
		kit.Must(t, err)
		return ca, cert
	}
	ca, cert := issue("api")
	_, foreign := issue("foreign")
	file := filepath.Join(t.TempDir(), "ca.crt")
	kit.Must(t, os.WriteFile(file, ca.PEM(), 0o600))
	for name, tt := range map[string]struct {
		names   []string
		cert    []tls.Certificate
		refused string
	}{
		"no certificate":     {refused: "a client certificate is required"},
		"another name":       {names: []string{"other"}, cert: []tls.Certificate{cert}, refused: "is not one of --client-name: other"},
		"a foreign one":      {cert: []tls.Certificate{foreign}, refused: "a client certificate is required"},
		"a serving one only": {names: []string{"kube-apiserver.example"}, cert: []tls.Certificate{cert}, refused: "incompatible key usage"},
	} {
		c := NewClientCA(file, tt.names, logr.Discard())
		server := &tls.Config{Certificates: []tls.Certificate{cert}}
		kit.Must(t, c.configure(server))
		state, err := handshake(t, server, &tls.Config{InsecureSkipVerify: true, Certificates: tt.cert})
		if err == nil {
			err = c.Authenticate()(&state)
		}
		if err == nil || !strings.Contains(err.Error(), tt.refused) && !strings.Contains(err.Error(), "incompatible key usage") {
			t.Errorf("%s: %v, want %s", name, err, tt.refused)
		}
	}
	verified := &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{cert.Leaf}}}
	for _, names := range [][]string{nil, {"kube-apiserver.example"}} {
		if err := NewClientCA(file, names, logr.Discard()).Authenticate()(verified); err != nil {
			t.Errorf("%v: %v", names, err)
		}
	}
	if NewClientCA("", nil, logr.Discard()).Authenticate() != nil {
		t.Error("clients are authenticated without a file")
	}
	kit.Must(t, os.WriteFile(file, []byte("no certificate"), 0o600))
	if err := NewClientCA(file, nil, logr.Discard()).configure(&tls.Config{}); err == nil || !strings.Contains(err.Error(), "no certificate in PEM") {
		t.Errorf("an invalid file: %v", err)
	}
}
