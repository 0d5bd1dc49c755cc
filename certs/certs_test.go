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

// handshake connects to a server with the certificate of get; the client trusts ca
// and requests name.
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

// issue makes a CA and a serving certificate for hosts, PEM.
func issue(t testing.TB, hosts []string, notBefore time.Time, validity time.Duration) (bundle, cert, key []byte) {
	t.Helper()
	made, err := newCA(notBefore, notBefore.Add(validity))
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := made.newLeaf(hosts, notBefore, notBefore.Add(validity))
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err = encodePair(leaf)
	if err != nil {
		t.Fatal(err)
	}
	return encodeCertificate(made.certificate), cert, key
}

func TestNewLeaf_ServesItsHostsOnly(t *testing.T) {
	ca, cert, key := issue(t, []string{"outrider.istio-system.svc", "127.0.0.1", "::1"}, time.Now().Add(-time.Minute), time.Hour)
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
	other, _, _ := issue(t, []string{"outrider.istio-system.svc"}, time.Now(), time.Hour)
	if _, err := handshake(t, w.GetCertificate, other, "outrider.istio-system.svc", nil); err == nil {
		t.Error("a client with another CA certificate accepted the certificate")
	}
}

func TestServerTLS_RejectsOldTLSAndHTTP2(t *testing.T) {
	ca, cert, key := issue(t, []string{"127.0.0.1"}, time.Now().Add(-time.Minute), time.Hour)
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	get := func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &pair, nil }
	if _, err := handshake(t, get, ca, "127.0.0.1", &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}); err == nil { //nolint:gosec // the rejection of the old version is tested
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

// TestServerTLS_CipherSuites connects with each suite of TLS 1.2: those without forward
// secrecy or authenticated encryption are rejected.
func TestServerTLS_CipherSuites(t *testing.T) {
	ca, cert, key := issue(t, []string{"127.0.0.1"}, time.Now().Add(-time.Minute), time.Hour)
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	get := func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &pair, nil }
	accepted := 0
	for _, s := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		if s.SupportedVersions[0] == tls.VersionTLS13 {
			continue
		}
		_, err := handshake(t, get, ca, "127.0.0.1", &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{s.ID}}) //nolint:gosec // old suites are offered to see them rejected
		modern := strings.HasPrefix(s.Name, "TLS_ECDHE_") && (strings.Contains(s.Name, "_GCM_") || strings.Contains(s.Name, "_POLY1305_"))
		if err == nil {
			accepted++
		}
		if err == nil && !modern {
			t.Errorf("%s was accepted", s.Name)
		}
	}
	if accepted != 3 { // the certificate's key is of one of the two kinds
		t.Errorf("%d suites were accepted, want 3", accepted)
	}
	if state, err := handshake(t, get, ca, "127.0.0.1", nil); err != nil || state.Version != tls.VersionTLS13 {
		t.Errorf("version %x: %v", state.Version, err)
	}
}

func TestNewLeaf_ExpiredAndInvalid(t *testing.T) {
	ca, cert, key := issue(t, []string{"127.0.0.1"}, time.Now().Add(-2*time.Hour), time.Hour)
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	get := func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &pair, nil }
	if _, err := handshake(t, get, ca, "127.0.0.1", nil); err == nil || !strings.Contains(err.Error(), "expired") {
		t.Errorf("handshake with an expired certificate: %v", err)
	}
	made, err := newCA(time.Now(), time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := made.newLeaf(nil, time.Now(), time.Now().Add(time.Hour)); err == nil {
		t.Error("a certificate without hosts was issued")
	}
	if _, err := made.newLeaf([]string{strings.Repeat("a", 60) + ".istio-system.svc"}, time.Now(), time.Now().Add(time.Hour)); err != nil {
		t.Errorf("a long host name was rejected: %v", err)
	}
}

func TestWatch_ReloadsAndReportsMissingFiles(t *testing.T) {
	dir := t.TempDir()
	if _, err := Watch(dir); err == nil || !strings.Contains(err.Error(), filepath.Join(dir, CertificateFile)) {
		t.Errorf("watch of an empty directory: %v", err)
	}
	_, cert, key := issue(t, []string{"127.0.0.1"}, time.Now().Add(-time.Minute), time.Hour)
	write(t, dir, cert, key)
	w, err := Watch(dir)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = w.WithWatchInterval(50 * time.Millisecond).Start(t.Context()) }()

	ca, cert, key := issue(t, []string{"127.0.0.1"}, time.Now().Add(-time.Minute), time.Hour)
	write(t, dir, cert, key)
	deadline := time.Now().Add(20 * time.Second)
	for {
		if _, err = handshake(t, w.GetCertificate, ca, "127.0.0.1", nil); err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the new certificate was not loaded: %v", err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
