package probe

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/outrider-mesh/outrider/check"
	"github.com/outrider-mesh/outrider/test/kit"
)

// serve starts a server on loopback.
func serve(t *testing.T, log io.Writer) (plain, secure string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	started, done := make(chan [2]string, 1), make(chan error, 1)
	go func() {
		done <- Serve(ctx, ServerOptions{HTTP: "127.0.0.1:0", TLS: "127.0.0.1:0", Token: "right", Out: log, Started: func(a, b net.Addr) { started <- [2]string{a.String(), b.String()} }})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	addresses := <-started
	return addresses[0], addresses[1]
}

// TestConnections: the client sees the server, by HTTP and by TLS, and whether the response
// is another server's; the counters that have grown in between are those of the connection.
func TestConnections(t *testing.T) {
	var log bytes.Buffer
	plain, secure := serve(t, &log)
	var requests atomic.Int64
	admin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, "cluster.PassthroughCluster.upstream_rq_total: %d\nserver.uptime: %[1]d\n", requests.Add(1))
	}))
	defer admin.Close()
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Server", "envoy") }))
	defer other.Close()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	kit.Must(t, err)
	_ = closed.Close()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	kit.Must(t, err)
	go func() {
		for {
			conn, err := silent.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
		}
	}()
	defer func() { _ = silent.Close() }()

	probes := []check.Probe{
		{Way: check.Passthrough, Protocol: "http", Name: "a.example", Address: plain, Token: "right"},
		{Way: check.Controlled, Protocol: "tls", Name: "b.example", Address: secure, Token: "right"},
		{Way: check.Bypass, Protocol: "http", Name: "c.example", Address: other.Listener.Addr().String(), Token: "right"},
		{Way: check.Bypass, Protocol: "http", Name: "d.example", Address: closed.Addr().String(), Token: "right"},
		{Way: check.Bypass, Protocol: "tls", Name: "e.example", Address: silent.Addr().String(), Token: "right"},
		{Way: check.Passthrough, Protocol: "http", Name: "f.example", Address: plain},
	}
	var out bytes.Buffer
	kit.Must(t, Connect(t.Context(), ClientOptions{Probes: probes, Admin: admin.Listener.Addr().String(), Out: &out}))
	got, done := ReadObservations("a line of something else\n" + out.String())
	if !done || len(got) != len(probes) {
		t.Fatalf("done %v: %s", done, &out)
	}
	for i, name := range []string{"a.example", "b.example"} {
		if a := got[i].Arrival; a == nil || a.Name != name || a.From != got[i].Seen.Local || got[i].Seen.Status != 200 {
			t.Errorf("%+v, %+v", got[i].Seen, a)
		}
	}
	for i, want := range map[int]string{2: "another server", 3: "nothing listens", 4: "closed"} {
		if got[i].Arrival != nil || !strings.Contains(got[i].Seen.Error, want) && !strings.Contains(got[i].Seen.Error, "reset") {
			t.Errorf("%q is not in %+v", want, got[i].Seen)
		}
	}
	if s := got[2].Seen; s.Server != "envoy" || s.Status != 200 {
		t.Errorf("%+v", s)
	}
	if s := got[5].Seen; s.Status != 200 || s.Error != "" || got[5].Arrival != nil {
		t.Errorf("without a token: %+v", s)
	}
	for _, o := range got {
		if len(o.Seen.Sidecar) != 1 || o.Seen.Sidecar["cluster.PassthroughCluster.upstream_rq_total"] != 1 || o.Seen.KernelError == "" {
			t.Errorf("%+v", o.Seen)
		}
	}
	arrivals := ReadArrivals(log.String())
	if len(arrivals) != 3 || arrivals[0].From != got[0].Seen.Local || arrivals[1].Name != "b.example" || arrivals[1].Protocol != "tls" {
		t.Errorf("%+v", arrivals)
	}
}

// TestNoSidecar: without an administration interface that is what is reported.
func TestNoSidecar(t *testing.T) {
	plain, _ := serve(t, io.Discard)
	var out bytes.Buffer
	kit.Must(t, Connect(t.Context(), ClientOptions{Probes: []check.Probe{{Protocol: "http", Name: "a.example", Address: plain, Token: "right"}}, Admin: "127.0.0.1:1", Out: &out}))
	got, _ := ReadObservations(out.String())
	if !strings.Contains(got[0].Seen.SidecarError, "nothing listens") || got[0].Arrival == nil {
		t.Errorf("%+v", got)
	}
}
