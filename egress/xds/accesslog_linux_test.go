package xds

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/outrider-mesh/outrider/egress"
)

// hostileTexts are parts of requests that would end a JSON string, or a line.
var hostileTexts = []string{
	`x","response_code":200,"forged":"1`, `x\",\"forged\":\"1`, `x\\","forged":"1`, `x\u0022,\u0022forged\u0022:\u00221`, "x\t\",\"forged\":\"1", "x}\v\f{\"forged\":1}",
	"x\x01\x02\x1b[2J\x7f", "x\r", "x\rforged", "x\xff\xfe\"", "x\xc0\xa2,\"forged\":1", "x\xed\xa0\x80\"", "x\xe2\x80\xa8\"forged", `x%22,%22forged%22:1`, `x'`, `x</script>`, strings.Repeat(`"`, 900),
}

// rawRequest sends bytes from the pod, and returns the status line of the answer.
func (m *mesh) rawRequest(request string) string {
	m.t.Helper()
	var conn net.Conn
	var err error
	m.Do(func() { conn, err = net.DialTimeout("tcp", addrOther+":80", 5*time.Second) })
	if err != nil {
		m.t.Error(err)
		return ""
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Second))
	_, _ = io.WriteString(conn, request)
	out, _ := io.ReadAll(conn)
	status, _, _ := strings.Cut(string(out), "\r\n")
	return status
}

// hostileRequests sends a text in each part of a request, and returns how many were
// forwarded. Envoy leaves some of them without an answer.
func (m *mesh) hostileRequests(i int, text string) (forwarded int32) {
	m.t.Helper()
	for part, request := range map[string]string{
		"user agent": "GET /%d HTTP/1.1\r\nHost: httpbin.org\r\nConnection: close\r\nUser-Agent: " + text + "\r\n\r\n",
		"request ID": "GET /%d HTTP/1.1\r\nHost: httpbin.org\r\nConnection: close\r\nX-Request-Id: " + text + "\r\nX-Forwarded-For: " + text + "\r\n\r\n",
		"path":       "GET /%d/" + text + " HTTP/1.1\r\nHost: httpbin.org\r\nConnection: close\r\n\r\n",
		"host":       "GET /%d HTTP/1.1\r\nHost: " + text + "\r\nConnection: close\r\n\r\n",
		"method":     text + " /%d HTTP/1.1\r\nHost: httpbin.org\r\nConnection: close\r\n\r\n",
	} {
		status := m.rawRequest(strings.Replace(request, "%d", fmt.Sprint(i), 1))
		if strings.HasPrefix(status, "HTTP/1.1 200") {
			forwarded++
		}
		m.t.Logf("%s %.40q: %q", part, text, status)
	}
	var conn net.Conn
	m.Do(func() { conn, _ = net.DialTimeout("tcp", addrOther+":443", 5*time.Second) })
	if conn != nil {
		_ = conn.SetDeadline(time.Now().Add(time.Second))
		_ = tls.Client(conn, &tls.Config{ServerName: text, InsecureSkipVerify: true}).Handshake()
		_ = conn.Close()
	}
	return forwarded
}

// TestJSONLogLines has requests that try to forge fields and lines of an access log in
// JSON: each line is one object, with the fields of all others.
func TestJSONLogLines(t *testing.T) {
	m := newMesh(t, nil)
	model := modelOf(t, "REGISTRY_ONLY", entryOf(t, "shop", "httpbin", httpbin), func(in *egress.Input) {
		in.Mesh = meshOf(t, "REGISTRY_ONLY", "accessLogEncoding: JSON")
	})
	m.publish(model, "http", "httpbin.org", addrHTTPBin, "200")
	m.logged(`"authority":"httpbin.org"`)
	var logged atomic.Int32
	var texts sync.WaitGroup
	for i, text := range hostileTexts {
		texts.Go(func() { logged.Add(m.hostileRequests(i, text)) })
	}
	texts.Wait()
	if logged := int(logged.Load()); logged < len(hostileTexts) {
		t.Errorf("only %d requests were forwarded", logged)
	}
	m.want("http", "last.test", addrOther, "/", "502")
	m.logged(`"authority":"last.test"`)
	m.wantWholeLines()
}

// wantWholeLines checks that the lines of the access log are objects with the same
// fields, once each.
func (m *mesh) wantWholeLines() {
	m.t.Helper()
	var fields []string
	lines := 0
	for line := range strings.Lines(m.log.String()) {
		if strings.HasPrefix(line, "[") { // of Envoy's own log
			continue
		}
		lines++
		var object map[string]any
		if err := json.Unmarshal([]byte(line), &object); err != nil {
			m.t.Errorf("%q: %v", line, err)
			continue
		}
		got := slices.Sorted(maps.Keys(object))
		if fields == nil {
			fields = got
		}
		if !slices.Equal(got, fields) {
			m.t.Errorf("%q has the fields %q, want %q", line, got, fields)
		}
		// A second field of a name would take the place of the first.
		decoder, names := json.NewDecoder(bytes.NewReader([]byte(line))), 0
		for depth := 0; ; {
			token, err := decoder.Token()
			if err != nil {
				break
			}
			if d, is := token.(json.Delim); is {
				depth += map[json.Delim]int{'{': 1, '}': -1}[d]
			} else if depth == 1 {
				names++
			}
		}
		if names != 2*len(fields) {
			m.t.Errorf("%q has %d names and values, want %d", line, names, 2*len(fields))
		}
	}
	if lines < 2*len(hostileTexts) {
		m.t.Errorf("%d lines", lines)
	}
	m.t.Logf("%d lines with the fields %q", lines, fields)
}
