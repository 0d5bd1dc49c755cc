package xds

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/egress/decide"
	"github.com/outrider-mesh/outrider/test/egresstest"
	"github.com/outrider-mesh/outrider/test/kit"
)

// TestSidecarPorts compares the ports that no ServiceEntry may declare with those
// of the rendered bootstrap, and the one that connections are redirected to.
func TestSidecarPorts(t *testing.T) {
	type address struct {
		SocketAddress struct {
			Port uint32 `json:"port_value"`
		} `json:"socket_address"`
	}
	var b struct {
		StaticResources struct {
			Listeners []struct{ Address address }
		} `json:"static_resources"`
	}
	kit.Must(t, yaml.Unmarshal([]byte(bootstrap(t, t.TempDir())), &b))
	got := []uint32{egress.CompileMesh(nil).ListenPort}
	for _, l := range b.StaticResources.Listeners {
		got = append(got, l.Address.SocketAddress.Port)
	}
	slices.Sort(got)
	if !slices.Equal(got, egress.SidecarPorts()) || !strings.Contains(rules, fmt.Sprintf("redirect to :%d\n", egress.CompileMesh(nil).ListenPort)) {
		t.Errorf("the sidecar is bound to %v, and %v are reserved", got, egress.SidecarPorts())
	}
}

// TestPortsNearTheSidecars has ports beside those of the sidecar, and ports that
// sidecars of Istio use: the real sidecar accepts a listener for each.
func TestPortsNearTheSidecars(t *testing.T) {
	m := newMesh(t, nil)
	ports, text := []uint32{1, 14999, 15002, 15004, 15006, 15008, 15012, 15014, 15017, 15020, 15022, 15053, 15089, 15091, 65535}, ""
	for i, p := range ports {
		protocol := []string{"HTTP", "TLS", "TCP"}[i%3]
		if p == 15020 {
			protocol = "HTTP"
		}
		text += fmt.Sprintf(`{"number": %d, "name": "p%d", "protocol": "%s", "targetPort": 80},`, p, i, protocol)
	}
	entry := entryOf(t, "shop", "all", `{"hosts": ["httpbin.org"], "ports": [`+strings.TrimSuffix(text, ",")+`], "resolution": "DNS"}`)
	m.server.Publish(modelOf(t, "REGISTRY_ONLY", entry))
	m.settled()
	q := decide.Request{Address: netip.MustParseAddr(addrOther), Port: 15020, Protocol: decide.HTTP, Method: "GET", Authority: "httpbin.org", Path: "/"}
	if got := m.send(q); !strings.HasPrefix(got, "at="+addrHTTPBin+" port=80 ") {
		t.Errorf("port 15020: %q", got)
	}
	for _, p := range ports {
		if !strings.Contains(m.listeners(), fmt.Sprintf("0.0.0.0_%d::", p)) {
			t.Errorf("no listener for port %d", p)
		}
	}
}

// listeners are the sidecar's listeners, as its administration interface lists them.
func (m *mesh) listeners() string {
	m.t.Helper()
	var conn net.Conn
	var err error
	m.Do(func() { conn, err = net.Dial("tcp", "127.0.0.1:15000") })
	kit.Must(m.t, err)
	defer func() { _ = conn.Close() }()
	_, err = io.WriteString(conn, "GET /listeners HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n")
	kit.Must(m.t, err)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	kit.Must(m.t, err)
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	kit.Must(m.t, err)
	return string(body)
}

// TestConflictingPortsMatchTheModel has a port that two namespaces declare with each pair
// of protocols, which see each other's entries, and compares what a real sidecar of one
// does on the port with the model's decisions.
func TestConflictingPortsMatchTheModel(t *testing.T) {
	m := newMesh(t, map[string]string{"api.shop.test": "192.0.2.71", "api.bank.test": "192.0.2.79"})
	const port = 9000
	requests := 0
	for own := range egresstest.PortKinds() {
		for other := range egresstest.PortKinds() {
			if other == "nothing" {
				continue
			}
			in := egresstest.Parse(t, "accessLogFile: /dev/stdout\noutboundTrafficPolicy: {mode: REGISTRY_ONLY}\n"+egresstest.PortEntry("shop", own, port)+egresstest.PortEntry("bank", other, port))
			model, problems := egress.Build(in)
			kit.Must(t, problems.Err())
			m.server.Publish(model)
			m.settled()
			for _, q := range egresstest.PortRequests("shop", port) {
				requests++
				want := m.expected(decide.Decide(model.View("shop"), q), q)
				if q.Protocol == decide.TCP {
					if got := m.raw(q); !strings.HasPrefix(want[0], "at="+got) && got != want[0] {
						t.Errorf("shop has %s, bank %s: TCP to %s: %q, want %q", own, other, q.Address, got, want)
					}
					continue
				}
				got := m.send(q)
				if !slices.ContainsFunc(want, func(w string) bool { return strings.HasPrefix(got, w) }) {
					t.Errorf("shop has %s, bank %s: %s %s%s at %s: %q, want %q", own, other, q.Protocol, q.Authority, q.ServerName, q.Address, got, want)
				}
			}
		}
	}
	t.Logf("%d requests", requests)
}
