package webhook

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/outrider-mesh/outrider/test/kit"
	"github.com/outrider-mesh/outrider/test/kit/instance"
	"github.com/outrider-mesh/outrider/test/kit/testca"
)

// A replica that is about to end answers each request, and the API server does not use
// the connection again: the end must not close it under a review.
func TestServer_LeavingClosesConnections(t *testing.T) {
	ca, err := testca.New("ca", time.Now(), time.Hour)
	kit.Must(t, err)
	certificate, err := ca.Issue("127.0.0.1")
	kit.Must(t, err)
	metrics, err := NewMetrics(prometheus.NewRegistry())
	kit.Must(t, err)
	var leaving atomic.Bool
	address := kit.FreeAddress(t)
	s, err := NewServer(ServerOptions{
		Address: address, TLS: &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12},
		Metrics: metrics, Leaving: leaving.Load, Log: instance.Log("server"),
	})
	kit.Must(t, err)
	s.Register("/", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "yes") }))
	instance.Run(t, "server", s.Start)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca.PEM())
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}}
	reused := func() (reused bool, err error) {
		ctx := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{
			GotConn: func(i httptrace.GotConnInfo) { reused = i.Reused },
		})
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+address+"/", http.NoBody)
		kit.Must(t, err)
		response, err := client.Do(request)
		if err != nil {
			return false, err
		}
		defer func() { _ = response.Body.Close() }()
		body, err := io.ReadAll(response.Body)
		if string(body) != "yes" {
			t.Errorf("response %q", body)
		}
		return reused, err
	}
	kit.Eventually(t, "it listens", func() error { _, err := reused(); return err })
	for _, want := range []struct{ leaves, reused bool }{{false, true}, {true, true}, {true, false}, {true, false}} {
		leaving.Store(want.leaves)
		if got, err := reused(); err != nil || got != want.reused {
			t.Errorf("leaving %v: connection reused: %v, %v", want.leaves, got, err)
		}
	}
}
