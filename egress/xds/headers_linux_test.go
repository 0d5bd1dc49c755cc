package xds

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/test/kit"
)

const ownHeaders = `{"hosts": ["httpbin.org"], "http": [
	{"match": [{"uri": {"prefix": "/copied"}}], "route": [{"destination": {"host": "httpbin.org"}}], "timeout": "3s",
	 "mirrors": [{"destination": {"host": "mirror.test"}}, {"destination": {"host": "fixed.test"}}]}]}`

// headersOf are the names of the headers of each request to a path that left the pod,
// with the value of X-Forwarded-For, by Host.
func (m *routesTest) headersOf(path string, requests int) map[string]string {
	m.t.Helper()
	kit.EventuallyTrue(m.t, "requests left the pod", func() bool { return len(m.world.of(path)) == requests })
	out := map[string]string{}
	for _, q := range m.world.of(path) {
		var names []string
		for _, name := range slices.Sorted(maps.Keys(q.Header)) {
			if name == "X-Forwarded-For" {
				name += "=" + strings.Join(q.Header[name], ",")
			}
			names = append(names, strings.TrimPrefix(name, "X-"))
		}
		out[q.Host] = strings.Join(names, " ")
	}
	return out
}

// TestOwnHeaders has the headers that a sidecar adds to requests: none of them has the
// pod's address.
func TestOwnHeaders(t *testing.T) {
	m := &routesTest{mesh: newMesh(t, map[string]string{"mirror.test": "192.0.2.41", "one.test": "192.0.2.42"})}
	m.answer = func(_ http.ResponseWriter, r *http.Request) bool {
		m.world.add(r)
		return false
	}
	const web = `"ports": [{"number": 80, "name": "http", "protocol": "HTTP"}]`
	entries := []func(*egress.Input){
		entryOf(t, "shop", "httpbin", httpbin), routeOf(t, "shop", "routes", ownHeaders),
		entryOf(t, "shop", "names", `{"hosts": ["mirror.test", "one.test"], `+web+`, "resolution": "DNS"}`),
		entryOf(t, "shop", "fixed", `{"hosts": ["fixed.test"], `+web+`, "resolution": "STATIC", "endpoints": [{"address": "192.0.2.43"}]}`),
	}
	m.publish(modelOf(t, "ALLOW_ANY", entries...), "http", "one.test", addrOther, "200 at=192.0.2.42")
	own := map[string][]string{"X-Forwarded-For": {"203.0.113.9"}}
	want := func(path string, header map[string][]string, requests int, hosts map[string]string) {
		t.Helper()
		m.fetch("GET", "httpbin.org", path, header)
		if got := m.headersOf(path, requests); !maps.Equal(got, hosts) {
			t.Errorf("%s:\ngot  %q\nwant %q", path, got, hosts)
		}
	}
	const operation, id = "Envoy-Attempt-Count Envoy-Decorator-Operation", " Forwarded-Proto Request-Id"
	want("/copied", own, 3, map[string]string{
		"httpbin.org": operation + " Envoy-Expected-Rq-Timeout-Ms Forwarded-For=203.0.113.9" + id,
		"mirror.test": operation + " Forwarded-For=203.0.113.9" + id, "httpbin.org-shadow": operation + " Forwarded-For=203.0.113.9" + id,
	})
	want("/copied/bare", map[string][]string{"X-Outrider-Mirrored-For": {"192.0.2.9"}}, 3, map[string]string{
		"httpbin.org": operation + " Envoy-Expected-Rq-Timeout-Ms Forwarded-Proto Outrider-Mirrored-For Request-Id",
		"mirror.test": operation + id, "httpbin.org-shadow": operation + id,
	})
}
