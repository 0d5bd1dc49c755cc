package probe

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/outrider-mesh/outrider/check"
)

// Arrived is a line of the server's log, and what it responds.
type Arrived struct {
	check.Arrival
	Token    string `json:"token"`
	Protocol string `json:"protocol"`
}

// ServerOptions configure Serve.
type ServerOptions struct {
	HTTP, TLS string // addresses to listen on
	Token     string // in each response
	Out       io.Writer
	Started   func(http, tls net.Addr) // for tests; nil is nothing
}

// Limits of a connection: a request of the client has some hundred bytes.
const (
	serverTimeout = 10 * time.Second
	maxHeader     = 16 << 10
)

// Serve responds to each request with what has arrived, until the context ends.
func Serve(ctx context.Context, o ServerOptions) error {
	certificate, err := selfSigned()
	if err != nil {
		return err
	}
	plain, err := net.Listen("tcp", o.HTTP)
	if err != nil {
		return err
	}
	defer func() { _ = plain.Close() }()
	secure, err := net.Listen("tcp", o.TLS)
	if err != nil {
		return err
	}
	defer func() { _ = secure.Close() }()
	if o.Started != nil {
		o.Started(plain.Addr(), secure.Addr())
	}
	s := &http.Server{
		Handler:     &handler{o: o},
		ReadTimeout: serverTimeout, WriteTimeout: serverTimeout, MaxHeaderBytes: maxHeader,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}},
	}
	failed := make(chan error, 2)
	go func() { failed <- s.Serve(plain) }()
	go func() { failed <- s.ServeTLS(secure, "", "") }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		return s.Close()
	}
}

type handler struct {
	o  ServerOptions
	mu sync.Mutex
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a := Arrived{Arrival: check.Arrival{From: r.RemoteAddr, Name: r.Host}, Token: h.o.Token, Protocol: "http"}
	if r.TLS != nil {
		a.Protocol, a.Name = "tls", r.TLS.ServerName
	}
	for name := range r.Header {
		if name == "X-Request-Id" || strings.HasPrefix(name, "X-Envoy-") || name == "X-Forwarded-Proto" {
			a.Headers = append(a.Headers, name)
		}
	}
	slices.Sort(a.Headers)
	text, err := json.Marshal(a)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if r.URL.Path != "/healthz" {
		h.mu.Lock()
		_, _ = fmt.Fprintf(h.o.Out, "%s\n", text)
		h.mu.Unlock()
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(text)
}

// selfSigned is a certificate that nobody verifies: the client recognizes the token.
func selfSigned() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("generate a key: %w", err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("sign a certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
