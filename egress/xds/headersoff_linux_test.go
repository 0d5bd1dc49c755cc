package xds

import (
	"maps"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/outrider-mesh/outrider/egress"
)

const removedHeaders = `{"hosts": ["httpbin.org"], "http": [
	{"match": [{"uri": {"prefix": "/copied"}}], "route": [{"destination": {"host": "httpbin.org"}}], "timeout": "3s", "mirrors": [{"destination": {"host": "mirror.test"}}, {"destination": {"host": "fixed.test"}}]},
	{"match": [{"uri": {"prefix": "/removed"}}], "route": [{"destination": {"host": "httpbin.org"}}],
	 "retries": {"attempts": 3, "retryOn": "503", "backoff": "2ms"}, "mirrors": [{"destination": {"host": "mirror.test"}}],
	 "headers": {"request": {"remove": ["X-Request-Id", "X-Envoy-Attempt-Count", "x-envoy-decorator-operation", "x-forwarded-proto", "x-forwarded-for"]}}}]}`

// TestHeadersThatDoNotLeave has headers that a route removes, on retries and mirrored
// requests too, and those that proxyHeaders disables.
func TestHeadersThatDoNotLeave(t *testing.T) {
	m := &routesTest{mesh: newMesh(t, map[string]string{"mirror.test": "192.0.2.41", "one.test": "192.0.2.42"})}
	var tries atomic.Int64
	m.answer = func(w http.ResponseWriter, r *http.Request) bool {
		m.world.add(r)
		if strings.HasPrefix(r.URL.Path, "/removed") && r.Host == "httpbin.org" && tries.Add(1) < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		}
		return false
	}
	const web = `"ports": [{"number": 80, "name": "http", "protocol": "HTTP"}]`
	entries := []func(*egress.Input){
		entryOf(t, "shop", "httpbin", httpbin), routeOf(t, "shop", "routes", removedHeaders),
		entryOf(t, "shop", "names", `{"hosts": ["mirror.test", "one.test"], `+web+`, "resolution": "DNS"}`),
		entryOf(t, "shop", "fixed", `{"hosts": ["fixed.test"], `+web+`, "resolution": "STATIC", "endpoints": [{"address": "192.0.2.43"}]}`),
	}
	m.publish(modelOf(t, "ALLOW_ANY", entries...), "http", "one.test", addrOther, "200 at=192.0.2.42")
	own := map[string][]string{"X-Forwarded-For": {"203.0.113.9"}}
	want := func(host, path string, requests int, hosts map[string]string) {
		t.Helper()
		m.fetch("GET", host, path, own)
		if got := m.headersOf(path, requests); !maps.Equal(got, hosts) {
			t.Errorf("%s:\ngot  %q\nwant %q", path, got, hosts)
		}
	}
	want("httpbin.org", "/removed", 4, map[string]string{"httpbin.org": "", "mirror.test": ""}) // three attempts and a copy
	off := append([]func(*egress.Input){}, entries...)
	off = append(off, func(in *egress.Input) {
		in.Mesh = meshOf(t, "ALLOW_ANY", "defaultConfig: {proxyHeaders: {requestId: {disabled: true}, attemptCount: {disabled: true}, envoyDebugHeaders: {disabled: true}, server: {disabled: true}}}")
	})
	m.server.Publish(modelOf(t, "ALLOW_ANY", off...))
	m.settled()
	const kept = "Forwarded-For=203.0.113.9 Forwarded-Proto"
	want("httpbin.org", "/copied/off", 3, map[string]string{"httpbin.org": kept, "mirror.test": kept, "httpbin.org-shadow": kept})
	want("one.test", "/plain", 1, map[string]string{"one.test": kept})
	want("any.test", "/undeclared", 1, map[string]string{"any.test": kept})
}
