package xds

import (
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/egress/envoy"
	"github.com/outrider-mesh/outrider/test/kit"
)

// TestReportModesInEnvoy has a real sidecar report more than what is reported by entries: it
// changes to counters, and nothing is lost or counted twice. It goes on so with another
// control plane, and has entries again when it reaches more hosts than a report lists.
func TestReportModesInEnvoy(t *testing.T) {
	m := newMeshWith(t, func(bootstrap string) string {
		return strings.Replace(countsEvery("0.5s")(bootstrap), "|ready|", "|ready|runtime|", 1)
	}, nil)
	model := modelOf(t, "ALLOW_ANY", reporting, entryOf(t, "shop", "wild", wild))
	m.publish(model, "http", "a.example.com", addrOther, "200")
	m.wantMode(envoy.ReportEntries)
	m.flushed()
	k := m.keep("HTTP", "http", "undeclared.test", addrOther, "80")
	sent := 0
	request := func() {
		t.Helper()
		if sent++; k.status() != 200 {
			t.Fatal("a request failed")
		}
	}
	for range countersAfter {
		request()
	}
	m.whileMode(envoy.ReportEntries, func() { request(); time.Sleep(5 * time.Millisecond) })
	for range 10 {
		request()
	}
	m.wantReported(fmt.Sprintf("sleep-7d4b-x2x undeclared.test:80 HTTP passthrough allow_any connections=0 requests=%d", sent))
	entries := m.entriesWritten()

	m.reported.forget()
	open := m.dialRaw("[2001:db8::7]:9000")
	_, err := open.Write([]byte("\x00\x01not TLS"))
	kit.Must(t, err)
	_, _ = io.Copy(io.Discard, m.dialRaw(addrOther+":9999")) // nothing listens there
	m.want("https", "edition.cnn.com", addrOther, "/", "200")
	m.want("http", "Example.ORG:8080", addrOther, "/", "200")
	if got := m.rawRequest("GET / HTTP/1.1\r\nHost: a.example.com:22\r\nConnection: close\r\n\r\n"); !strings.Contains(got, "502") {
		t.Errorf("the declared host with another port: %q", got)
	}
	m.want("http", "a.example.com", addrOther, "/", "200")
	m.wantReported(
		"sleep-7d4b-x2x *.example.com:80 HTTP allowed shop/wild connections=0 requests=1",
		"sleep-7d4b-x2x 198.51.100.99:9999 TCP passthrough allow_any connections=1 requests=0",
		"sleep-7d4b-x2x 2001:db8::7:9000 TCP passthrough allow_any connections=1 requests=0",
		"sleep-7d4b-x2x a.example.com:80 HTTP blocked block_port connections=0 requests=1",
		"sleep-7d4b-x2x edition.cnn.com:443 TLS passthrough allow_any connections=1 requests=0",
		"sleep-7d4b-x2x example.org:8080 HTTP passthrough allow_any connections=0 requests=1",
	)
	kit.Must(t, open.Close())
	kit.EventuallyTrue(t, "the bytes of the connection", func() bool {
		sent, received := m.reported.bytes("shop", "2001:db8::7")
		return sent == 9 && received > 0
	})
	if sent, received := m.reported.bytes("shop", "example.org"); sent < 20 || received < 50 {
		t.Errorf("%d bytes sent, %d received", sent, received)
	}

	m.stop()
	m.serveControlPlane()
	m.server.Publish(model)
	kit.EventuallyTrue(t, "the sidecar is connected again", func() bool { return len(m.server.Status()) == 1 })
	time.Sleep(time.Second) // what it counts while it is not connected is lost
	m.reported.forget()
	request()
	m.wantReported("sleep-7d4b-x2x undeclared.test:80 HTTP passthrough allow_any connections=0 requests=1")
	if now := m.entriesWritten(); now != entries {
		t.Errorf("%d entries are sent in the mode counters", now-entries)
	}

	for i := range mostCounted {
		m.want("http", fmt.Sprintf("host-%d.test", i), addrOther, "/", "200")
	}
	m.wantMode(envoy.ReportEntries)
	m.reported.forget()
	m.want("http", "newer.test", addrOther, "/", "200")
	kit.EventuallyTrue(t, "more entries", func() bool { return m.entriesWritten() > entries })
	kit.EventuallyTrue(t, "the newest host", func() bool {
		return strings.Contains(m.reported.text("shop"), "newer.test:80 HTTP passthrough allow_any connections=0 requests=1")
	})
}

// wantMode waits until the sidecar has the runtime of a mode.
func (m *mesh) wantMode(mode envoy.ReportMode) {
	m.t.Helper()
	kit.EventuallyTrue(m.t, "the mode "+string(mode), func() bool { return m.mode() == mode })
}

// whileMode repeats do while the sidecar is in a mode.
func (m *mesh) whileMode(mode envoy.ReportMode, do func()) {
	m.t.Helper()
	kit.EventuallyTrue(m.t, "another mode than "+string(mode), func() bool { do(); return m.mode() != mode })
}

var runtimeValue = regexp.MustCompile(`"` + regexp.QuoteMeta(egress.RuntimeCounters) + `":\s*\{[^}]*"final_value":\s*"(\d+)"`)

func (m *mesh) mode() envoy.ReportMode {
	m.t.Helper()
	switch found := runtimeValue.FindStringSubmatch(m.admin("/runtime")); {
	case found == nil:
		return ""
	case found[1] == "100":
		return envoy.ReportCounters
	default:
		return envoy.ReportEntries
	}
}

// entriesWritten are those that the sidecar has sent.
func (m *mesh) entriesWritten() int {
	m.t.Helper()
	_, after, _ := strings.Cut(m.admin("/stats?filter=logs_written"), ": ")
	n, err := strconv.Atoi(strings.TrimSpace(after))
	kit.Must(m.t, err)
	return n
}
