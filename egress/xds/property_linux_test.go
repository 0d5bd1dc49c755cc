package xds

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/egress/decide"
	"github.com/outrider-mesh/outrider/test/egresstest"
	"github.com/outrider-mesh/outrider/test/kit"
	"github.com/outrider-mesh/outrider/test/objects"
)

// Some random names resolve to addresses that no declared host may be connected
// to.
var badAddresses = []string{"127.0.0.1", "169.254.169.254", "0.0.0.0"}

// randomNames gives each of the random hosts an address.
func randomNames() map[string]string {
	out := map[string]string{}
	for i, name := range objects.Hosts() {
		out[name] = fmt.Sprintf("203.0.113.%d", i+1)
		if i%6 == 5 {
			out[name] = badAddresses[i/6]
		}
	}
	return out
}

// TestRequestsMatchTheModel publishes random objects to a real sidecar, which
// accepts all of them, and compares the results of random requests with the
// model's decisions. In half of the snapshots the objects are exported to different
// namespaces, and there are Sidecars, with and without selectors.
func TestRequestsMatchTheModel(t *testing.T) {
	m := newMesh(t, randomNames())
	const snapshots, requests = 25, 60
	kinds := map[string]int{}
	for seed := range uint64(snapshots) {
		r := rand.New(rand.NewPCG(seed, 7))
		in := randomInput(t, r, 14)
		if seed%2 == 1 {
			in = egress.Input{Mesh: in.Mesh}
			egresstest.AddTenants(r, &in, 14, true)
		}
		model, _ := egress.Build(in)
		m.server.Publish(model)
		m.settled()
		w := egress.Workload{Namespace: "shop", Labels: podLabels{"app": "web"}}
		view := model.ViewOf(w)
		if by, selects, found := model.SidecarOf(w); found {
			kinds["Sidecar"]++
			if selects {
				kinds["Sidecar with a selector"]++
			}
			if by.Namespace != "shop" {
				kinds["Sidecar of the root namespace"]++
			}
		}
		for i := range requests {
			q := randomRequest(r)
			d := decide.Decide(view, q)
			kinds[d.Kind]++
			if len(d.Clusters) > 1 {
				kinds["several"]++
			}
			got := m.send(q)
			want := m.expected(d, q)
			if !slices.ContainsFunc(want, func(w string) bool { return strings.HasPrefix(got, w) }) {
				t.Errorf("snapshot %d, request %d: %+v\ngot  %q\nwant %q\nfor  %+v", seed, i, q, got, want, d)
			}
		}
		if t.Failed() {
			break
		}
	}
	t.Logf("decisions: %v", kinds)
	if kinds["Sidecar"] < 5 || kinds["Sidecar with a selector"] == 0 || kinds["Sidecar of the root namespace"] == 0 {
		t.Errorf("too few Sidecars: %v", kinds)
	}
	if kinds[decide.Forwarded] < snapshots*requests/4 || kinds[decide.Answered] < snapshots*requests/20 || kinds[decide.Closed] < snapshots*requests/40 {
		t.Errorf("too few decisions of a kind: %v", kinds)
	}
}

func randomInput(t testing.TB, r *rand.Rand, n int) egress.Input {
	t.Helper()
	in := egress.Input{Mesh: meshOf(t, objects.Pick(r, "ALLOW_ANY", "REGISTRY_ONLY"))}
	in.InCluster = []egress.InClusterAddress{{Address: netip.MustParseAddr("10.96.0.77"), Ports: []uint16{80, 443}}, {Address: netip.MustParseAddr("10.96.0.78")}}
	for i := range n {
		e, v := objects.ServiceEntry(r, i), objects.VirtualService(r, i, true)
		in.ServiceEntries = append(in.ServiceEntries, egress.ServiceEntry{Meta: egress.Meta{Namespace: e.Namespace, Name: e.Name, Created: e.Created}, Spec: e.Spec})
		if i%2 == 0 {
			in.VirtualServices = append(in.VirtualServices, egress.VirtualService{Meta: egress.Meta{Namespace: v.Namespace, Name: v.Name, Created: v.Created}, Spec: v.Spec})
		}
	}
	return in
}

// fetch sends a request to port 80 of an address that no host has.
func (m *mesh) fetch(method, host, path string, header map[string][]string) string {
	return m.send(decide.Request{
		Address: netip.MustParseAddr(addrOther), Port: 80, Protocol: decide.HTTP, Method: method, Authority: host, Path: path, Header: header,
	})
}

func randomRequest(r *rand.Rand) decide.Request {
	host := objects.Pick(r, append(objects.Hosts(), "unknown.test")...)
	q := decide.Request{
		Address: netip.MustParseAddr(objects.Pick(r, "203.0.113.1", "198.51.100.7", "192.0.2.200", "10.96.0.77", "10.96.0.78", "10.1.2.3", "2001:db8::1")),
		Port:    uint16(objects.Pick(r, objects.Ports()...)),
		Method:  objects.Pick(r, "GET", "GET", "GET", "POST", "OPTIONS"), Authority: host, Path: objects.Pick(r, objects.Paths()...), Header: map[string][]string{},
	}
	q.Protocol = objects.Pick(r, decide.HTTP, decide.HTTP, decide.HTTP, decide.TLS)
	if q.Protocol == decide.TLS {
		q.ServerName = objects.Pick(r, host, strings.ToUpper(host), "unknown.test", "")
	}
	switch r.IntN(10) {
	case 0:
		q.Authority = strings.ToUpper(host)
	case 1:
		q.Authority = fmt.Sprintf("%s:%d", host, q.Port)
	case 2:
		q.Authority = host + ":8081"
	case 4:
		q.Authority = q.Address.String()
		if q.Address.Is6() {
			q.Authority = "[" + q.Authority + "]"
		}
	case 3:
		q.Authority = strings.ToUpper(host) + objects.Pick(r, ":80", ":", ".", ":80:80", ":x")
	}
	if r.IntN(2) == 0 {
		q.Path += "?" + objects.Pick(r, "q=one", "q=two&r=one", "r", "q=%6fne")
	}
	for _, name := range []string{"x-a", "X-B", "Origin", "Access-Control-Request-Method"} {
		if r.IntN(3) == 0 {
			q.Header[name] = []string{objects.Pick(r, "one", "two", "https://x.example", "GET")}
		}
	}
	return q
}

// send sends a request and returns the result: closed, a status and the Location,
// or the address that it reached and what arrived there.
func (m *mesh) send(q decide.Request) string {
	var conn net.Conn
	var err error
	m.Do(func() {
		conn, err = net.DialTimeout("tcp", netip.AddrPortFrom(q.Address, q.Port).String(), 5*time.Second)
	})
	if err != nil {
		return "closed"
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(8 * time.Second))
	if q.Protocol == decide.TLS {
		conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true, ServerName: q.ServerName})
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n", q.Method, q.Path, q.Authority)
	for _, name := range slices.Sorted(maps.Keys(q.Header)) {
		for _, value := range q.Header[name] {
			fmt.Fprintf(&b, "%s: %s\r\n", name, value)
		}
	}
	if q.Method == "POST" {
		b.WriteString("Content-Length: 4\r\n\r\nbody")
	} else {
		b.WriteString("\r\n")
	}
	if _, err := io.WriteString(conn, b.String()); err != nil {
		return "closed"
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: q.Method})
	if err != nil {
		return "closed"
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	if resp.StatusCode == http.StatusOK && strings.HasPrefix(string(body), "at=") {
		before, after, _ := strings.Cut(string(body), "operation=")
		_, after, _ = strings.Cut(after, " port=")
		return before + "port=" + after + "\n"
	}
	return fmt.Sprintf("%d %s", resp.StatusCode, resp.Header.Get("Location"))
}

// expected are the prefixes of the results that a decision allows.
func (m *mesh) expected(d decide.Decision, q decide.Request) []string {
	switch d.Kind {
	case decide.Closed:
		return []string{"closed"}
	case decide.Answered:
		return []string{fmt.Sprintf("%d %s", d.Status, d.Location)}
	}
	failed := "503"
	if d.Authority == "" { // TCP passthrough
		failed = "closed"
	}
	var out []string
	for _, share := range d.Clusters {
		to := share.To
		if share.Cluster == egress.PassthroughCluster || len(to) == 0 && share.Cluster != egress.BlackHoleCluster {
			to = []string{netip.AddrPortFrom(q.Address, q.Port).String()}
		}
		if share.Cluster == egress.BlackHoleCluster {
			out = append(out, failed)
		}
		for _, where := range to {
			host, port, _ := net.SplitHostPort(where)
			if address, known := m.names[host]; known {
				host = address
			}
			if a, err := netip.ParseAddr(host); err != nil || slices.Contains(badAddresses, a.String()) {
				out = append(out, failed)
				if failed == "503" {
					out = append(out, "403") // rejected by the connection's filter
				}
				continue
			}
			want := fmt.Sprintf("at=%s ", host)
			authority, path := q.Authority, q.Path
			if d.Authority != "" {
				authority, path = d.Authority, d.Path
				if share.Authority != "" {
					authority = share.Authority
				}
			}
			out = append(out, want+fmt.Sprintf("port=%s host=%s path=%s\n", port, authority, path))
		}
	}
	return out
}

// settled waits until the sidecar has applied the published model.
func (m *mesh) settled() {
	m.t.Helper()
	quiet := 0
	kit.EventuallyTrue(m.t, "the sidecar has applied the published model", func() bool {
		all := m.server.Status()
		if len(all) == 1 && all[0].Pending == 0 && all[0].Generation == m.server.current.Load().number && len(all[0].Sent) == 4 {
			quiet++
		} else {
			quiet = 0
		}
		return quiet > 40 // 200 ms: new clusters replace old ones when they are warm
	})
}
