package xds

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/outrider-mesh/outrider/egress/decide"
)

// TestMatchesOnSpecialHeaders has matches on headers that the sidecar sets,
// removes, or has under another name, and compares the real sidecar with the
// model.
func TestMatchesOnSpecialHeaders(t *testing.T) {
	matches := []string{
		`"headers": {"Host": {"exact": "httpbin.org"}}`, `"headers": {"host": {"prefix": "httpbin"}}`, `"headers": {"HOST": {"regex": ".*:80"}}`,
		`"headers": {"host": {}}`, `"withoutHeaders": {"Host": {"exact": "httpbin.org"}}`, `"withoutHeaders": {"host": {}}`,
		`"headers": {"Host": {"exact": "httpbin.org"}}, "authority": {"exact": "httpbin.org"}`, `"headers": {"Host": {"exact": "other"}}`,
		`"headers": {"x-forwarded-proto": {"exact": "http"}}`, `"headers": {"X-Forwarded-Proto": {"exact": "https"}}`, `"withoutHeaders": {"x-forwarded-proto": {}}`,
		`"headers": {"x-request-id": {}}`, `"headers": {"x-request-id": {"exact": "mine"}}`, `"withoutHeaders": {"x-request-id": {}}`,
		`"headers": {"connection": {}}`, `"headers": {"transfer-encoding": {}}`, `"headers": {"keep-alive": {}}`, `"headers": {"proxy-connection": {}}`,
		`"headers": {"te": {}}`, `"headers": {"expect": {}}`, `"headers": {"upgrade": {}}`, `"headers": {"x-forwarded-for": {}}`, `"headers": {"content-length": {}}`,
		`"headers": {"x-envoy-internal": {}}`, `"headers": {"x-envoy-original-path": {}}`, `"headers": {"via": {}}`,
		`"headers": {"x-envoy-max-retries": {}}`, `"headers": {"x-envoy-retry-on": {}}`, `"headers": {"x-envoy-attempt-count": {}}`,
		`"headers": {"Authority": {"regex": ".*"}}`, `"headers": {"path": {}}`,
	}
	routes := ""
	for i, m := range matches {
		routes += fmt.Sprintf(`{"match": [{"uri": {"exact": "/%d"}, %s}], "directResponse": {"status": 299}},`, i, m)
	}
	m := newMesh(t, nil)
	model := modelOf(t, "REGISTRY_ONLY", entryOf(t, "shop", "httpbin", httpbin), routeOf(t, "shop", "v", `{"hosts": ["httpbin.org"], "http": [`+strings.TrimSuffix(routes, ",")+`]}`))
	m.publish(model, "http", "httpbin.org", addrOther, "404")
	m.settled()
	for i, match := range matches {
		for _, host := range []string{"httpbin.org", "HTTPBIN.org", "httpbin.org:80"} {
			for _, header := range []map[string][]string{
				nil, {"X-Forwarded-Proto": {"https"}, "x-request-id": {"mine"}, "te": {"trailers"}, "Keep-Alive": {"5"}, "Proxy-Connection": {"close"}, "X-Forwarded-For": {"192.0.2.1"}, "Via": {"x"}},
				{"Connection": {"upgrade"}, "Upgrade": {"websocket"}},
			} {
				q := decide.Request{
					Address: netip.MustParseAddr(addrOther), Port: 80, Protocol: decide.HTTP, Method: "GET", Authority: host, Path: fmt.Sprintf("/%d", i), Header: header,
				}
				want := m.expected(decide.Decide(model.View("shop"), q), q)
				if got := m.send(q); !strings.HasPrefix(got, want[0]) {
					t.Errorf("%s, Host %s, headers %v: %q, and the model %q", match, host, header, got, want)
				}
			}
		}
	}
}
