package xds

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/test/kit"
)

// coded is a request or connection, and the code in its line of the access log with each
// mode.
type coded struct {
	name, scheme, host   string // with a port
	registryOnly, allows string
}

var codedRequests = []coded{
	{"HTTP", "http", "undeclared.test:80", "block_all", "allow_any"},
	{"HTTP without a listener", "http", "undeclared.test:8080", "block_all", "allow_any"},
	{"HTTP that is not detected", "http", "undeclared.test:9000", "block_all", "allow_any"},
	{"HTTP to a TLS host", "http", "www.google.com:80", "block_all", "allow_any"},
	{"TLS", "https", "undeclared.test:443", "block_all", "allow_any"},
	{"TLS without a listener", "https", "undeclared.test:8081", "block_all", "allow_any"},
	{"TLS to an HTTP host", "https", "httpbin.org:443", "block_all", "allow_any"},
	{"declared HTTP", "http", "httpbin.org:80", "default", "default"},
	{"declared HTTP with a route", "http", "c.example.com:80", "mine", "mine"},
	{"declared TLS", "https", "www.google.com:443", "-", "-"},
	{"another port in the Host", "raw", "a.example.com:81", "block_port", "block_port"},
	{"in the cluster", "service", "any:443", "-", "-"},
}

// TestReasonCodes has the code of each case in the default formats, and in one of the user.
func TestReasonCodes(t *testing.T) {
	m := newMesh(t, nil)
	objects := []func(*egress.Input){
		entryOf(t, "shop", "httpbin", httpbin), entryOf(t, "shop", "google", google), entryOf(t, "shop", "wild", wild),
		routeOf(t, "shop", "wild", `{"hosts": ["c.example.com"], "http": [{"name": "mine", "route": [{"destination": {"host": "*.example.com"}}]}]}`),
		func(in *egress.Input) {
			for n := range byte(100) {
				in.InCluster = append(in.InCluster, egress.InClusterAddress{Address: netip.AddrFrom4([4]byte{10, 96, 0, n}), Ports: []uint16{443}})
			}
		},
	}
	number := 0
	for _, format := range []string{"", "accessLogEncoding: JSON", `accessLogFormat: "%DOWNSTREAM_LOCAL_ADDRESS% is %ROUTE_NAME%"`} {
		for _, mode := range []string{"REGISTRY_ONLY", "ALLOW_ANY"} {
			model := modelOf(t, mode, append(objects, func(in *egress.Input) { in.Mesh = meshOf(t, mode, format) })...)
			status, tls := "502", "closed"
			if mode == "ALLOW_ANY" {
				status, tls = "200", "200"
			}
			m.publish(model, "http", "undeclared.test", addrOther, status)
			m.publish(model, "https", "undeclared.test", addrOther, tls)
			m.settled()
			for _, c := range codedRequests {
				number++
				address := fmt.Sprintf("198.51.100.%d", number)
				want := c.registryOnly
				if mode == "ALLOW_ANY" {
					want = c.allows
				}
				switch c.scheme {
				case "raw":
					m.exchangeAt(address, "GET", "80", c.host)
				case "service":
					address = fmt.Sprintf("10.96.0.%d", number)
					m.get("https", c.host, address, "/")
				default:
					m.get(c.scheme, c.host, address, "/")
				}
				if got := m.codeOf(address, strings.Contains(format, "JSON")); got != want {
					t.Errorf("%s, %s, %q: code %q, want %q", c.name, mode, format, got, want)
				}
			}
		}
	}
}

// codeOf is the last field of the line about an original destination.
func (m *mesh) codeOf(address string, inJSON bool) (code string) {
	m.t.Helper()
	kit.EventuallyTrue(m.t, "a line with "+address, func() bool {
		for line := range strings.Lines(m.log.String()) {
			if !strings.Contains(line, address+":") || !strings.HasSuffix(line, "\n") || strings.Contains(line, "][warning]") {
				continue
			}
			f := strings.Fields(line)
			code = f[len(f)-1]
			if inJSON {
				var fields struct {
					RouteName *string `json:"route_name"`
				}
				kit.Must(m.t, json.Unmarshal([]byte(line), &fields))
				code = "-"
				if fields.RouteName != nil {
					code = *fields.RouteName
				}
			}
			return true
		}
		return false
	})
	return code
}
