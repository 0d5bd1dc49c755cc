package envoy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// administer sends a request to the sidecar's administration socket, which only processes
// with its uid can, and root.
func (p *pod) administer(method, path string) (status int, body string, err error) {
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", p.adminSocket())
		},
	}}
	req, err := http.NewRequest(method, "http://admin"+path, nil)
	if err != nil {
		return 0, "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(data), err
}

func (p *pod) adminSocket() string { return filepath.Join(p.runVolume, "admin.sock") }

// raw sends lines of HTTP/1.1 to port 15000 as they are, which clients would clean, and
// returns the status and the body.
func (p *pod) raw(t *testing.T, request string) (status int, body string) {
	t.Helper()
	var conn net.Conn
	var err error
	p.Do(func() { conn, err = net.Dial("tcp", "127.0.0.1:15000") })
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(conn, strings.ReplaceAll(request, "\n", "\r\n")); err != nil {
		t.Fatal(err)
	}
	method, _, _ := strings.Cut(request, " ")
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%q: %v", request, err)
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%q: %v", request, err)
	}
	return resp.StatusCode, string(data)
}

// readPaths are the paths of port 15000, with what their answers have.
var readPaths = map[string]string{
	"/certs": `"certificates"`, "/clusters": "xds-grpc::", "/config_dump": `"@type"`, "/listeners": "readiness::", "/ready": "LIVE",
	"/server_info": `"version"`, "/stats": "server.live: 1", "/stats/prometheus": "envoy_server_live{} 1",
	// The query is the administration interface's.
	"/stats?filter=server.live": "server.live: 1", "/stats?format=json": `"stats"`, "/config_dump?resource=static_listeners": `"readiness"`,
	"/clusters?format=json": `"cluster_statuses"`, "/ready?/../quitquitquit": "LIVE", "/stats?x=/quitquitquit": "server.live: 1",
}

// deniedPaths are everything else, by any method; some of it as a client must not send it.
var deniedPaths = []string{
	"/", "/quitquitquit", "/drain_listeners", "/drain_listeners?graceful", "/healthcheck/fail", "/healthcheck/ok", "/logging?level=trace", "/logging",
	"/reset_counters", "/runtime_modify?a=b", "/runtime", "/reopen_logs", "/cpuprofiler?enable=y", "/heapprofiler?enable=y", "/heap_dump", "/allocprofiler?enable=true",
	"/memory", "/memory/tcmalloc", "/hot_restart_version", "/help", "/contention", "/init_dump", "/stats/recentlookups", "/stats/recentlookups/enable", "/stats/recentlookups/clear", "/tap",
	"//quitquitquit", "/ready/../quitquitquit", "/ready/..;/quitquitquit", "/ready;/../quitquitquit", "/./quitquitquit", "/stats//prometheus", "//ready", "/ready/", "/ready//",
	"/ready/%2e%2e/quitquitquit", "/ready%2f..%2fquitquitquit", "/%71uitquitquit", "/%72eady", "/ready%00", "/ready%3f", "/ready%20", "/READY", "/Quitquitquit", "/QUITQUITQUIT",
	"/ready\\..\\quitquitquit", "/ready;quitquitquit", "/readyquitquitquit", "/quitquitquit?/ready", "/quitquitquit?/stats", "/stats/prometheus/../../quitquitquit",
	"http://127.0.0.1:15000/quitquitquit", "http://ready/quitquitquit", "http://x/ready/../quitquitquit", "http://x//quitquitquit",
}

// malformed are requests that HTTP or Envoy's HTTP connection manager rejects by themselves.
var malformed = map[string]string{
	"method override":       "GET /quitquitquit HTTP/1.1\nHost: x\nX-HTTP-Method-Override: POST\nConnection: close\n\n",
	"original path":         "POST /quitquitquit HTTP/1.1\nHost: x\nX-Envoy-Original-Path: /ready\nX-Original-URL: /ready\nContent-Length: 0\nConnection: close\n\n",
	"a fragment":            "GET /ready#/../quitquitquit HTTP/1.1\nHost: x\nConnection: close\n\n",
	"CONNECT":               "CONNECT x:80 HTTP/1.1\nHost: x:80\n\n",
	"an asterisk":           "OPTIONS * HTTP/1.1\nHost: x\nConnection: close\n\n",
	"an upgrade":            "GET /quitquitquit HTTP/1.1\nHost: x\nConnection: upgrade\nUpgrade: websocket\n\n",
	"two lengths":           "GET /ready HTTP/1.1\nHost: x\nContent-Length: 5\nTransfer-Encoding: chunked\nConnection: close\n\n0\n\nPOST /quitquitquit HTTP/1.1\nHost: x\n\n",
	"a tab in the path":     "GET /ready\t/quitquitquit HTTP/1.1\nHost: x\nConnection: close\n\n",
	"a space in the path":   "GET /ready /quitquitquit HTTP/1.1\nHost: x\nConnection: close\n\n",
	"a header in the path":  "GET /ready\nHost:y HTTP/1.1\nHost: x\nConnection: close\n\n",
	"another version":       "POST /quitquitquit HTTP/9.9\nHost: x\nConnection: close\n\n",
	"HTTP/1.0":              "POST /quitquitquit HTTP/1.0\nConnection: close\n\n",
	"a body with a request": "POST /ready HTTP/1.1\nHost: x\nContent-Length: 46\nConnection: close\n\nPOST /quitquitquit HTTP/1.1\nHost: x\n\n............",
}

// wantReadOnly holds port 15000 to reading: everything else is denied with what is allowed,
// and the sidecar is as before.
func wantReadOnly(t *testing.T, p *pod) {
	for path, want := range readPaths {
		wantGet(t, p.NS, "http://127.0.0.1:15000"+path, 200, want)
		if status, _ := p.raw(t, "HEAD "+path+" HTTP/1.1\nHost: x\nConnection: close\n\n"); status != 200 {
			t.Errorf("HEAD %s: %d", path, status)
		}
	}
	denied := func(method, path string) {
		const denial = "port 15000 is read-only"
		status, body := p.raw(t, method+" "+path+" HTTP/1.1\nHost: x\nContent-Length: 0\nConnection: close\n\n")
		if status != 400 && (status != 403 || !strings.Contains(body, denial)) { // 400: not HTTP
			t.Errorf("%s %s: %d %.200q; want 403 with %q", method, path, status, body, denial)
		}
	}
	for _, method := range []string{"GET", "POST"} {
		for _, path := range deniedPaths {
			denied(method, path)
		}
	}
	for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "get", "Get", "GETX", "XHEAD", "PROPFIND"} {
		for path := range readPaths {
			denied(method, path)
		}
	}
	for name, request := range malformed {
		if status, body := p.raw(t, request); status < 400 || status > 499 {
			t.Errorf("%s: %d %.200q", name, status, body)
		}
	}
	// A body of a request that is allowed is not another request.
	status, body := p.raw(t, "GET /ready HTTP/1.1\nHost: x\nContent-Length: 56\nConnection: close\n\nPOST /quitquitquit HTTP/1.1\nHost: x\nContent-Length: 0\n\n\n\n")
	if status != 200 || !strings.Contains(body, "LIVE") {
		t.Errorf("with a body: %d %q", status, body)
	}
	p.wantSocket(t)
	wantGet(t, p.NS, "http://127.0.0.1:15000/ready", 200, "LIVE")
	if status, text, err := p.administer("GET", "/stats?filter=listener_manager.total_listeners_draining"); err != nil || status != 200 || !strings.Contains(text, ": 0") {
		t.Errorf("draining: %d %q, %v", status, text, err)
	}
	if _, dump, _ := p.administer("GET", "/config_dump?include_eds"); strings.Contains(dump, `"first"`) || strings.Contains(dump, "Zmlyc3Q") {
		t.Error("/config_dump has the token of the sidecar")
	}
}

// wantSocket: the socket accepts its user only; by it everything is there.
func (p *pod) wantSocket(t *testing.T) {
	info, err := os.Stat(p.adminSocket())
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket: %v, %v", info.Mode(), err)
	}
	if status, _, err := p.administer("POST", "/logging?misc=error"); err != nil || status != 200 {
		t.Errorf("POST /logging by the socket: %d, %v", status, err)
	}
	// An abstract socket could be reached from the whole pod.
	unix, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/unix", p.cmd.Process.Pid))
	if err != nil || !strings.Contains(string(unix), " /var/run/outrider/admin.sock") {
		t.Errorf("sockets of the pod: %s, %v", unix, err)
	}
}
