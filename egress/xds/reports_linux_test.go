package xds

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/test/kit"
)

func reporting(in *egress.Input) { in.Reports = true }

// wantReported waits until the namespace's report is as wanted.
func (m *mesh) wantReported(want ...string) {
	m.t.Helper()
	text := strings.Join(want, "\n")
	defer func() {
		if m.t.Failed() {
			m.t.Logf("reported:\n%s\nwant\n%s", m.reported.text("shop"), text)
		}
	}()
	kit.EventuallyTrue(m.t, "the report", func() bool { return m.reported.text("shop") == text })
}

// flushed waits until the sidecar has sent what it reports of the requests before, each half
// a second, and forgets that.
func (m *mesh) flushed() {
	time.Sleep(700 * time.Millisecond)
	m.reported.forget()
}

// TestReports has a real sidecar report requests and connections to hosts that are not
// declared, and only those.
func TestReports(t *testing.T) {
	m := newMesh(t, nil)
	bin, goog := entryOf(t, "shop", "httpbin", httpbin), entryOf(t, "shop", "google", google)
	m.publish(modelOf(t, "ALLOW_ANY", reporting, bin, goog, entryOf(t, "shop", "wild", wild)), "http", "httpbin.org", addrHTTPBin, "200")
	kit.EventuallyTrue(t, "the entries apply", func() bool { // undeclared hosts are answered before that, too
		m.want("http", "httpbin.org", addrHTTPBin, "/", "200")
		return strings.Contains(m.log.String(), "outbound|80||httpbin.org")
	})
	m.flushed()
	m.want("https", "www.google.com", addrGoogle, "/", "200")
	m.want("http", "Example.ORG", addrOther, "/", "200")
	m.want("http", "example.org:8080", addrOther, "/", "200")
	m.want("http", "example.org:9000", addrOther, "/", "200")
	m.want("https", "edition.cnn.com", addrOther, "/", "200")
	m.want("https", "edition.cnn.com", addrOther, "/", "200")
	if got := m.rawRequest("GET / HTTP/1.1\r\nHost: a.example.com:22\r\nConnection: close\r\n\r\n"); !strings.Contains(got, "502") { // declared with another port
		t.Errorf("the declared host with another port: %q", got)
	}
	conn := m.dialRaw(addrOther + ":443")
	_, err := conn.Write([]byte("\x00\x01not TLS"))
	kit.Must(t, err)
	m.wantReported( // the last one while it is open
		"sleep-7d4b-x2x 198.51.100.99:443 TCP passthrough allow_any connections=1 requests=0",
		"sleep-7d4b-x2x 198.51.100.99:9000 TCP passthrough allow_any connections=1 requests=0", // no inspection there
		"sleep-7d4b-x2x a.example.com:80 HTTP blocked block_port connections=0 requests=1",
		"sleep-7d4b-x2x edition.cnn.com:443 TLS passthrough allow_any connections=2 requests=0",
		"sleep-7d4b-x2x example.org:80 HTTP passthrough allow_any connections=0 requests=1",
		"sleep-7d4b-x2x example.org:8080 HTTP passthrough allow_any connections=0 requests=1",
	)
	kit.Must(t, conn.Close())
	kit.EventuallyTrue(t, "the bytes of the connection", func() bool { sent, _ := m.reported.bytes("shop", addrOther); return sent == 9+116 }) // those of both ports
	if sent, received := m.reported.bytes("shop", "example.org"); sent < 2*20 || received < 2*50 {
		t.Errorf("%d bytes sent, %d received", sent, received)
	}
	m.logged(`"- - -" 0`, "PassthroughCluster", addrOther+":443", "edition.cnn.com")
	if n := strings.Count(m.log.String(), "edition.cnn.com"); n != 2 {
		t.Errorf("the access log has %d lines of two connections", n)
	}

	m.publish(modelOf(t, "REGISTRY_ONLY", reporting, bin, goog), "http", "blocked.test", addrOther, "502")
	m.becomes("https", "blocked.test", addrOther, "closed")
	m.flushed()
	m.want("http", "httpbin.org", addrHTTPBin, "/", "200")
	m.want("https", "www.google.com", addrGoogle, "/", "200")
	m.want("http", "example.org", addrOther, "/", "502")
	m.want("http", "example.org:8080", addrOther, "/", "502")
	m.want("https", "edition.cnn.com", addrOther, "/", "closed")
	m.wantReported(
		"sleep-7d4b-x2x edition.cnn.com:443 TLS blocked block_all connections=1 requests=0",
		"sleep-7d4b-x2x example.org:80 HTTP blocked block_all connections=0 requests=1",
		"sleep-7d4b-x2x example.org:8080 HTTP blocked block_all connections=0 requests=1",
	)
}

// dialRaw opens a connection from the pod.
func (m *mesh) dialRaw(address string) (conn net.Conn) {
	m.t.Helper()
	var err error
	m.Do(func() { conn, err = net.DialTimeout("tcp", address, 5*time.Second) })
	kit.Must(m.t, err)
	return conn
}

// TestReportsWithoutControlPlane stops the control plane, and has one that never reads
// reports: requests and connections go on, and the sidecar's memory does not grow by
// more than its buffers.
func TestReportsWithoutControlPlane(t *testing.T) {
	m := newMesh(t, nil)
	model := modelOf(t, "ALLOW_ANY", reporting)
	m.publish(model, "http", "example.org", addrOther, "200")
	k := m.keep("HTTP", "http", "undeclared.test", addrOther, "80")
	long := "/" + strings.Repeat("x", 2000) // the path is in the entry
	send := func(n int) (failed int) {
		for range n {
			resp, err := k.client.Get("http://undeclared.test" + long)
			if err != nil {
				failed++
				continue
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			if resp.StatusCode != 200 {
				failed++
			}
		}
		return failed
	}
	const requests = 5000 // 10 MB of entries
	stuck := make(chan struct{})
	m.reported.wait = func() { <-stuck }
	_ = send(500)
	before := m.anonymousMemory()
	if failed := send(requests); failed > 0 {
		t.Errorf("%d of %d requests failed while reports are not read", failed, requests)
	}
	grown := m.anonymousMemory() - before
	t.Logf("reports that are not read take %d KiB of the sidecar", grown)
	if grown > 2048 {
		t.Errorf("the sidecar has grown by %d KiB", grown)
	}
	m.reported.wait = nil
	close(stuck)
	m.stop()
	if failed := send(500); failed > 0 {
		t.Errorf("%d requests failed without the control plane", failed)
	}
	m.want("https", "undeclared.test", addrOther, "/", "200")
	m.serveControlPlane()
	m.server.Publish(model)
	m.reported.forget()
	kit.EventuallyTrue(t, "reports arrive again", func() bool {
		m.want("http", "again.test", addrOther, "/", "200")
		return strings.Contains(m.reported.text("shop"), "again.test:80 HTTP passthrough")
	})
}

// anonymousMemory is that of the sidecar, in KiB.
func (m *mesh) anonymousMemory() (kib int) {
	m.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", m.pid))
	kit.Must(m.t, err)
	for line := range strings.Lines(string(text)) {
		if n, _ := fmt.Sscanf(line, "RssAnon: %d kB", &kib); n == 1 {
			return kib
		}
	}
	m.t.Fatal("no RssAnon")
	return 0
}
