package xds

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/test/kit"
)

func explaining(in *egress.Input) { in.BlockedBody = true }

// exchange sends a request to another address than a declared host's, and returns the
// response with its body.
func (m *mesh) exchange(method, port, host string, header ...string) (r *http.Response, body string) {
	m.t.Helper()
	return m.exchangeAt(addrOther, method, port, host, header...)
}

func (m *mesh) exchangeAt(address, method, port, host string, header ...string) (r *http.Response, body string) {
	m.t.Helper()
	conn := m.dialRaw(address + ":" + port)
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	_, err := io.WriteString(conn, strings.Join(append([]string{method + " / HTTP/1.1", "Host: " + host, "Connection: close"}, header...), "\r\n")+"\r\n\r\n")
	kit.Must(m.t, err)
	r, err = http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	kit.Must(m.t, err)
	data, err := io.ReadAll(r.Body)
	kit.Must(m.t, err)
	return r, string(data)
}

const (
	blockedText = "no ServiceEntry visible to this namespace declares it for HTTP on this port; to allow it, apply what outrider egress allow http://HOST:PORT prints"
	portText    = "a ServiceEntry declares it on port 80, and the Host header has another port; send the Host header without a port"
	limitedText = "no ServiceEntry visible to this workload through its Sidecar declares it for HTTP on this port; to allow it, expose a ServiceEntry for it in egress.hosts of the Sidecar"
)

// wantBody compares the body of a blocked request, as text and in JSON.
func (m *mesh) wantBody(code, host, port, message string) {
	m.t.Helper()
	r, body := m.exchange("GET", port, host)
	want := fmt.Sprintf("blocked (%s): host %s, port %s, namespace shop: %s", code, host, port, message)
	if r.StatusCode != 502 || body != want || r.Header.Get("Content-Type") != "text/plain; charset=utf-8" || r.Header.Get("X-Content-Type-Options") != "nosniff" {
		m.t.Errorf("%s:%s: %d %v\n%q, want\n%q", host, port, r.StatusCode, r.Header, body, want)
	}
	r, body = m.exchange("GET", port, host, "Accept: text/html, Application/JSON;q=0.9")
	var got, wantJSON struct {
		Code, Host, Namespace, Message string
		Port                           json.Number
	}
	wantJSON.Code, wantJSON.Host, wantJSON.Namespace, wantJSON.Message, wantJSON.Port = code, host, "shop", message, json.Number(port)
	if err := json.Unmarshal([]byte(body), &got); err != nil || r.StatusCode != 502 || got != wantJSON || r.Header.Get("Content-Type") != "application/json" {
		m.t.Errorf("%s:%s: %d %v %v\n%s, want\n%+v", host, port, r.StatusCode, r.Header, err, body, wantJSON)
	}
}

// directResponse has the status and the name of a blocked route.
const directResponse = `{"hosts": ["httpbin.org"], "http": [
  {"name": "block_all", "match": [{"uri": {"prefix": "/direct"}}], "directResponse": {"status": 502, "body": {"string": "the author's"}}},
  {"name": "block_port", "match": [{"uri": {"prefix": "/empty"}}], "directResponse": {"status": 502}},
  {"route": [{"destination": {"host": "httpbin.org"}}]}]}`

// TestBlockedBody has a real sidecar explain blocked requests, and nothing else.
func TestBlockedBody(t *testing.T) {
	m := newMesh(t, nil)
	m.answer = func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/bad" {
			return false
		}
		w.WriteHeader(502)
		_, _ = io.WriteString(w, "the destination's")
		return true
	}
	bin := entryOf(t, "shop", "httpbin", httpbin)
	objects := []func(*egress.Input){bin, entryOf(t, "shop", "wild", wild), routeOf(t, "shop", "httpbin", directResponse), reporting}
	m.publish(modelOf(t, "REGISTRY_ONLY", append(objects, explaining)...), "http", "httpbin.org", addrHTTPBin, "200")
	m.becomes("http", "a.example.com", addrWild, "200")

	m.wantBody(egress.RouteBlockAll, "api.pay.example", "80", blockedText)
	m.wantBody(egress.RouteBlockAll, "API.pay.example:81", "8080", blockedText) // without a listener
	m.wantBody(egress.RouteBlockPort, "a.example.com:81", "80", portText)
	m.wantNotExplained()
	m.wantGRPC()
	m.wantHead()
	m.wantHostile()

	m.publish(modelOf(t, "ALLOW_ANY", append(objects, explaining)...), "http", "undeclared.test", addrOther, "200")
	m.wantBody(egress.RouteBlockPort, "a.example.com:81", "80", portText)

	own := sidecarOf(t, "shop", "default", `{"egress": [{"hosts": ["./*"]}]}`)
	m.publish(modelOf(t, "REGISTRY_ONLY", append(objects, explaining, own)...), "http", "undeclared.test", addrOther, "502")
	m.wantBody(egress.RouteBlockAll, "api.pay.example", "80", limitedText)
	m.publish(modelOf(t, "ALLOW_ANY", objects...), "http", "undeclared.test", addrOther, "200")
	m.publish(modelOf(t, "REGISTRY_ONLY", objects...), "http", "undeclared.test", addrOther, "502")
	for _, host := range []string{"api.pay.example", "a.example.com:81"} {
		if r, body := m.exchange("GET", "80", host); r.StatusCode != 502 || body != "" {
			t.Errorf("%s, disabled: %d %q", host, r.StatusCode, body)
		}
	}
}

// wantNotExplained has other responses with this status, and of Envoy itself.
func (m *mesh) wantNotExplained() {
	m.t.Helper()
	client := m.keep("HTTP", "http", "httpbin.org", addrHTTPBin, "80").client
	for path, want := range map[string]string{"/bad": "502 the destination's", "/direct": "502 the author's", "/empty": "502 "} {
		for _, accept := range []string{"*/*", "application/json"} {
			r, err := http.NewRequest(http.MethodGet, "http://httpbin.org"+path, nil)
			kit.Must(m.t, err)
			r.Header.Set("Accept", accept)
			resp, err := client.Do(r)
			kit.Must(m.t, err)
			body, err := io.ReadAll(resp.Body)
			kit.Must(m.t, err)
			if got := fmt.Sprint(resp.StatusCode, " ", string(body)); got != want {
				m.t.Errorf("%s: %q, want %q", path, got, want)
			}
		}
	}
}

// wantGRPC: the client of a blocked call gets the text as its message, and the call is
// reported.
func (m *mesh) wantGRPC() {
	m.t.Helper()
	for port, host := range map[string]string{"80": "grpc.pay.example", "8080": "grpc.pay.example:8080"} {
		dial := func(context.Context, string) (conn net.Conn, err error) {
			m.Do(func() { conn, err = net.DialTimeout("tcp", addrOther+":"+port, 5*time.Second) })
			return conn, err
		}
		conn, err := grpc.NewClient("passthrough:///"+host, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithContextDialer(dial))
		kit.Must(m.t, err)
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		err = conn.Invoke(ctx, "/a.B/C", &emptypb.Empty{}, &emptypb.Empty{})
		cancel()
		_ = conn.Close()
		want := fmt.Sprintf("blocked (block_all): host %s, port %s, namespace shop: %s", host, port, blockedText)
		if s := status.Convert(err); s.Code() != codes.Unavailable || s.Message() != want {
			m.t.Errorf("gRPC: %v, want %q", err, want)
		}
	}
	kit.EventuallyTrue(m.t, "the report of blocked calls", func() bool {
		text := m.reported.text("shop")
		return strings.Contains(text, "grpc.pay.example:80 HTTP blocked block_all") && strings.Contains(text, "grpc.pay.example:8080 HTTP blocked block_all")
	})
}

// wantHead: the response to HEAD has the length of the body, and no body.
func (m *mesh) wantHead() {
	m.t.Helper()
	r, body := m.exchange("HEAD", "80", "api.pay.example")
	if r.StatusCode != 502 || body != "" || r.ContentLength < int64(len(blockedText)) {
		m.t.Errorf("HEAD: %d, %d bytes, %q", r.StatusCode, r.ContentLength, body)
	}
}

// hostileHosts would end a line, a string or a command, or be HTML, a format string, or long.
var hostileHosts = []string{
	"", "[::1]:99", "user@host", "%REQ(AUTHORIZATION)%", "%0d%0aX-Injected:%201", "$(reboot);x&y='z'", strings.Repeat("a", 5000), "a\rb", "a\tb", "a b", `a"b\c`, `a","code":"x`,
	"<script>alert(1)</script>", "a\x1b[31mb", "a\x01b", "a\x7fb", "caf\u00e9.example", "\xff\xfe.example", "a\xc2\x9bb", strings.Repeat("\u20ac", 200),
}

// wantHostile: whatever Host Envoy accepts is in the body as it is, up to its limit, and in
// no other field or header.
func (m *mesh) wantHostile() {
	m.t.Helper()
	accepted := 0
	for _, host := range append(hostileHosts, hostileTexts...) {
		r, body := m.exchange("GET", "80", host)
		if r.StatusCode == http.StatusBadRequest {
			continue
		}
		accepted++
		shown := strings.ReplaceAll(host, "\r", "")
		shown = shown[:min(len(shown), 259)]
		if want := fmt.Sprintf("blocked (block_all): host %s, port 80, namespace shop: %s", shown, blockedText); r.StatusCode != 502 || body != want || len(r.Header) != 5 {
			m.t.Errorf("Host %.60q: %d %v %q", host, r.StatusCode, r.Header, body)
		}
		r, body = m.exchange("GET", "80", host, "Accept: application/json")
		fields := map[string]any{}
		if err := json.Unmarshal([]byte(body), &fields); err != nil || r.StatusCode != 502 || len(fields) != 5 || fields["host"] != shown || fields["code"] != egress.RouteBlockAll {
			m.t.Errorf("Host %.60q in JSON: %d %v %s", host, r.StatusCode, err, body)
		}
		if strings.ContainsFunc(strings.TrimSuffix(body, "\n"), func(r rune) bool { return r < ' ' || r == 0x7f }) {
			m.t.Errorf("Host %.60q: control characters: %q", host, body)
		}
	}
	if accepted < 5 {
		m.t.Errorf("Envoy accepts %d of the hosts", accepted)
	}
}
