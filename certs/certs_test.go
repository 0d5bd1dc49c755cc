package certs

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// handshake connects to a server that serves by get; the client trusts ca and
// asks for name.
func handshake(t *testing.T, get GetCertificate, ca []byte, name string, client *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	server := &tls.Config{}
	ServerTLS(get)(server)
	listener, err := tls.Listen("tcp", "127.0.0.1:0", server)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	go func() {
		if conn, err := listener.Accept(); err == nil {
			_ = conn.(*tls.Conn).Handshake()
			_ = conn.Close()
		}
	}()
	if client == nil {
		client = &tls.Config{}
	}
	client.RootCAs = x509.NewCertPool()
	client.RootCAs.AppendCertsFromPEM(ca)
	client.ServerName = name
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}, "tcp", listener.Addr().String(), client)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer func() { _ = conn.Close() }()
	return conn.ConnectionState(), nil
}

func write(t *testing.T, dir string, cert, key []byte) {
	t.Helper()
	for name, data := range map[string][]byte{CertificateFile: cert, KeyFile: key} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestIssuedCertificateServesItsHostsOnly(t *testing.T) {
	ca, cert, key, err := Issue([]string{"outrider.istio-system.svc", "127.0.0.1", "::1"}, time.Now().Add(-time.Minute), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write(t, dir, cert, key)
	w, err := Watch(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"outrider.istio-system.svc", "127.0.0.1", "::1"} {
		state, err := handshake(t, w.GetCertificate, ca, name, nil)
		if err != nil {
			t.Errorf("handshake as %s: %v", name, err)
		}
		if state.NegotiatedProtocol == "h2" {
			t.Errorf("handshake as %s negotiated HTTP/2", name)
		}
	}
	if _, err := handshake(t, w.GetCertificate, ca, "other.istio-system.svc", nil); err == nil {
		t.Error("the certificate served a host it was not issued for")
	}
	other, _, _, err := Issue([]string{"outrider.istio-system.svc"}, time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := handshake(t, w.GetCertificate, other, "outrider.istio-system.svc", nil); err == nil {
		t.Error("a client with another authority accepted the certificate")
	}
}

func TestServerRefusesOldTLSAndHTTP2(t *testing.T) {
	ca, cert, key, err := Issue([]string{"127.0.0.1"}, time.Now().Add(-time.Minute), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	get := func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &pair, nil }
	if _, err := handshake(t, get, ca, "127.0.0.1", &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}); err == nil { //nolint:gosec // the refusal of the old version is what is tested
		t.Error("TLS 1.1 was accepted")
	}
	state, err := handshake(t, get, ca, "127.0.0.1", &tls.Config{NextProtos: []string{"h2", "http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	if state.NegotiatedProtocol != "http/1.1" {
		t.Errorf("negotiated %q, want http/1.1", state.NegotiatedProtocol)
	}
}

func TestExpiredAndImpossibleRequests(t *testing.T) {
	ca, cert, key, err := Issue([]string{"127.0.0.1"}, time.Now().Add(-2*time.Hour), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	get := func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &pair, nil }
	if _, err := handshake(t, get, ca, "127.0.0.1", nil); err == nil || !strings.Contains(err.Error(), "expired") {
		t.Errorf("handshake with an expired certificate: %v", err)
	}
	if _, _, _, err := Issue(nil, time.Now(), time.Hour); err == nil {
		t.Error("a certificate without hosts was issued")
	}
	if _, _, _, err := Issue([]string{"a"}, time.Now(), 0); err == nil {
		t.Error("a certificate without validity was issued")
	}
	if _, _, _, err := Issue([]string{strings.Repeat("a", 60) + ".istio-system.svc"}, time.Now(), time.Hour); err != nil {
		t.Errorf("a long host name was refused: %v", err)
	}
}

func TestWatchTakesUpNewFilesAndNamesWhatIsMissing(t *testing.T) {
	dir := t.TempDir()
	if _, err := Watch(dir); err == nil || !strings.Contains(err.Error(), filepath.Join(dir, CertificateFile)) {
		t.Errorf("watch of an empty directory: %v", err)
	}
	_, cert, key, err := Issue([]string{"127.0.0.1"}, time.Now().Add(-time.Minute), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, cert, key)
	w, err := Watch(dir)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = w.WithWatchInterval(50 * time.Millisecond).Start(t.Context()) }()

	ca, cert, key, err := Issue([]string{"127.0.0.1"}, time.Now().Add(-time.Minute), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, cert, key)
	deadline := time.Now().Add(20 * time.Second)
	for {
		if _, err = handshake(t, w.GetCertificate, ca, "127.0.0.1", nil); err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the new certificate was not taken up: %v", err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
