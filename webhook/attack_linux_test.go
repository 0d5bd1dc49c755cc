package webhook

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/outrider-mesh/outrider/test/kit"
	"github.com/outrider-mesh/outrider/webhook/registration"
)

// containerMemory is the memory limit of deploy/outrider.yaml, and goMemory what Go gets
// of it.
const (
	containerMemory = 512 << 20
	goMemory        = "GOMEMLIMIT=460MiB"
)

func items(item string, n int) string {
	return strings.TrimSuffix(strings.Repeat(item+",", n), ",")
}

func members(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `"key%d":"",`, i)
	}
	return strings.TrimSuffix(b.String(), ",")
}

// heavyObjects are objects whose decoded form is many times as large as their text.
func heavyObjects(n int) map[string]string {
	pod := func(metadata, spec string) string {
		return `{"kind":"Pod","metadata":{"name":"a"` + metadata + `},"spec":{` + spec + `}}`
	}
	app := `"containers":[{"name":"a"}]`
	return map[string]string{
		"containers":            pod("", `"containers":[`+items("{}", n)+`]`),
		"escaped key":           pod("", `"cont\u0061iners":[`+items("{}", n)+`]`),
		"repeated key":          pod("", items(`"containers":[`+items("{}", 1000)+`]`, n/1000)),
		"init containers":       pod("", app+`,"initContainers":[`+items("{}", n)+`]`),
		"ephemeral containers":  pod("", app+`,"ephemeralContainers":[`+items("{}", n)+`]`),
		"containers as numbers": pod("", `"containers":[`+items("1", n)+`]`),
		"volumes":               pod("", app+`,"volumes":[`+items("null", n)+`]`),
		"statuses":              `{"kind":"Pod","spec":{` + app + `},"status":{"containerStatuses":[` + items("{}", n) + `]}}`,
		"environment":           pod("", `"containers":[{"name":"a","env":[`+items(`{"name":"A"}`, n)+`]}]`),
		"mounts":                pod("", `"containers":[{"name":"a","volumeMounts":[`+items("{}", n)+`]}]`),
		"arguments":             pod("", `"containers":[{"name":"a","args":[`+items(`""`, n)+`]}]`),
		"annotations":           pod(`,"annotations":{`+members(n)+`}`, app),
		"long keys":             pod(`,"annotations":{"`+strings.Repeat("k", 3*n)+`":"","`+strings.Repeat(`\u0001`, n/2)+`":""}`, app),
		"owners":                pod(`,"ownerReferences":[`+items("{}", n)+`]`, app),
		"managers":              pod(`,"managedFields":[`+items("{}", n)+`]`, app),
		"deep":                  pod("", app+`,"x":`+strings.Repeat("[", n)+strings.Repeat("]", n)),
		"unknown":               pod("", app+`,"x":[`+items("{}", n)+`]`),
	}
}

// attackReviews are reviews of those objects for all handlers, some with an old object.
func attackReviews(n int) map[string][][]byte {
	all := map[string][][]byte{}
	for _, object := range heavyObjects(n) {
		review := func(kind, resource, object, old string) []byte {
			return fmt.Appendf(nil, `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"u","namespace":"shop",`+
				`"kind":%s,"resource":%s,"operation":"CREATE","object":%s,"oldObject":%s}}`, kind, resource, object, old)
		}
		pods, deployments := `{"version":"v1","resource":"pods"}`, `{"group":"apps","version":"v1","resource":"deployments"}`
		all[registration.InjectPath] = append(all[registration.InjectPath],
			review(`{"version":"v1","kind":"Pod"}`, pods, object, "null"), review(`{"version":"v1","kind":"Pod"}`, pods, object, object))
		all[registration.WarnPath] = append(all[registration.WarnPath],
			review(`{"group":"apps","version":"v1","kind":"Deployment"}`, deployments, `{"kind":"Deployment","spec":{"template":`+object+`}}`, "null"))
	}
	return all
}

// attack repeats something in parallel until the test is done with it.
type attack struct {
	wg    sync.WaitGroup
	done  chan struct{}
	count atomic.Int64
}

func startAttack(parallel int, once func(n int)) *attack {
	a := &attack{done: make(chan struct{})}
	for n := range parallel {
		a.wg.Go(func() {
			for i := n; ; i += parallel {
				select {
				case <-a.done:
					return
				default:
					once(i)
					a.count.Add(1)
				}
			}
		})
	}
	return a
}

func (a *attack) stop() {
	close(a.done)
	a.wg.Wait()
}

// honest sends reviews of ordinary pods, one after the other by new and kept
// connections, and large ones; every one must be answered with a patch.
func (c *child) honest(t *testing.T, reviews int) {
	t.Helper()
	fresh := &child{c.address, c.process, &http.Client{Transport: &http.Transport{DisableKeepAlives: true,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}, Timeout: 10 * time.Second}}
	slowest := time.Duration(0)
	for n := range reviews {
		client, env := c, 0
		if n%3 == 1 {
			client = fresh
		}
		if n%10 == 9 {
			env = 3000 // 150 KB
		}
		start := time.Now()
		out, err := client.do(registration.InjectPath+"?timeout=5s", sleepReview(n, env))
		if err != nil || !bytes.Contains(out, []byte(`"patchType":"JSONPatch"`)) {
			t.Errorf("review %d: %v: %.300s", n, err, out)
		}
		slowest = max(slowest, time.Since(start))
		time.Sleep(5 * time.Millisecond)
	}
	t.Logf("slowest of %d honest reviews: %s", reviews, slowest.Round(time.Millisecond))
}

// Reviews that take many times their size in memory are rejected, or wait for each
// other; memory stays below the container's limit, and pods are injected meanwhile.
func TestServer_HeavyReviews(t *testing.T) {
	c := startChild(t, "outrider", goMemory)
	for _, n := range []int{200_000, 20_000} { // over all limits, below some
		reviews := attackReviews(n)
		paths := []string{registration.InjectPath, registration.WarnPath}
		attacker := c.attacker()
		a := startAttack(24, func(n int) {
			path := paths[n%2]
			_, _ = attacker.do(path, reviews[path][n/2%len(reviews[path])])
		})
		c.honest(t, 40)
		a.stop()
		t.Logf("%d items: %d attacks, peak memory %d MiB", n, a.count.Load(), c.peakMemory(t)>>20)
	}
	if peak := c.peakMemory(t); peak > containerMemory {
		t.Errorf("peak memory %d MiB exceeds the limit of %d MiB", peak>>20, containerMemory>>20)
	}
}

// attacker is another client of the server.
func (c *child) attacker() *child {
	return &child{c.address, c.process, &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, MaxIdleConnsPerHost: 100}, Timeout: 10 * time.Second}}
}

// Objects and ConfigMaps whose validation takes long, or many times their size, take no
// place of a pod, and memory stays below the container's limit.
func TestServer_HeavyValidations(t *testing.T) {
	c := startChild(t, "outrider", goMemory)
	attacker := c.attacker()
	for _, size := range []int{6 << 20, 1000 << 10, 3 << 10} { // more than is stored, just below, and cheap to send
		var paths []string
		var bodies [][]byte
		for path, reviews := range objectAttacks(size/60, size) {
			for _, name := range slices.Sorted(maps.Keys(reviews)) {
				paths, bodies = append(paths, path), append(bodies, reviews[name])
			}
		}
		a := startAttack(64, func(n int) { _, _ = attacker.do(paths[n%len(paths)], bodies[n%len(bodies)]) })
		c.honest(t, 12)
		a.stop()
		t.Logf("%d bytes: %d attacks, peak memory %d MiB", size, a.count.Load(), c.peakMemory(t)>>20)
	}
	if peak := c.peakMemory(t); peak > containerMemory {
		t.Errorf("peak memory %d MiB exceeds the limit of %d MiB", peak>>20, containerMemory>>20)
	}
}

// Clients that open connections and send slowly, or nothing, occupy no place of
// others.
func TestServer_SlowClients(t *testing.T) {
	c := startChild(t, "outrider", goMemory)
	for name, tt := range map[string]struct {
		few  bool // a processor is busy with the bytes themselves
		tls  bool
		send string
		more string // again and again
	}{
		"no bytes":         {},
		"slow handshake":   {send: "\x16\x03\x01\x02\x00", more: "\x01"},
		"no request":       {tls: true},
		"slow headers":     {tls: true, send: "POST /inject HTTP/1.1\r\nHost: a\r\n", more: "a"},
		"slow body":        {tls: true, send: "POST /inject HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 7000000\r\n\r\n", more: "{"},
		"slow chunks":      {tls: true, send: "POST /inject HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n", more: "1\r\n{\r\n"},
		"expect":           {tls: true, send: "POST /inject HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: 7000000\r\n\r\n"},
		"half a body":      {few: true, tls: true, send: "POST /inject HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 7000000\r\n\r\n" + strings.Repeat(" ", 1<<20), more: " "},
		"another path":     {tls: true, send: "POST /nothing HTTP/1.1\r\nHost: a\r\nContent-Length: 7000000\r\n\r\n", more: "{"},
		"responses unread": {few: true, tls: true, send: strings.Repeat("GET /inject HTTP/1.1\r\nHost: a\r\n\r\n", 1000)},
	} {
		t.Run(name, func(t *testing.T) {
			parallel := 400
			if tt.few {
				parallel = 100
			}
			over := make(chan struct{})
			a := startAttack(parallel, func(int) { c.slowly(over, tt.tls, tt.send, tt.more) })
			time.Sleep(200 * time.Millisecond)
			c.honest(t, 20)
			close(over)
			a.stop()
		})
	}
	if peak := c.peakMemory(t); peak > containerMemory {
		t.Errorf("peak memory %d MiB exceeds the limit of %d MiB", peak>>20, containerMemory>>20)
	} else {
		t.Logf("peak memory %d MiB", peak>>20)
	}
}

// slowTime is how long a slow client stays.
const slowTime = 4 * time.Second

// slowly is one connection that sends a text, and then a little again and again.
func (c *child) slowly(over chan struct{}, secure bool, text, more string) {
	conn, err := net.Dial("tcp", c.address)
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	end := time.Now().Add(slowTime)
	_ = conn.SetDeadline(end)
	if secure {
		conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
	}
	if _, err := conn.Write([]byte(text)); err != nil {
		return
	}
	for time.Now().Before(end) {
		select {
		case <-over:
			return
		case <-time.After(300 * time.Millisecond):
		}
		if _, err := conn.Write([]byte(more)); err != nil {
			return
		}
	}
}

// Thousands of connections are bounded, and the oldest without a request are closed for
// new ones.
func TestServer_ManyConnections(t *testing.T) {
	c := startChild(t, "outrider", goMemory)
	var mu sync.Mutex
	var conns []net.Conn
	defer func() {
		for _, conn := range conns {
			_ = conn.Close()
		}
	}()
	a := startAttack(8, func(n int) {
		if n >= 10_000 {
			time.Sleep(10 * time.Millisecond)
			return
		}
		// Several sources, as pods are.
		dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(1+n%10))}, Timeout: time.Second}
		if conn, err := dialer.Dial("tcp", c.address); err == nil {
			mu.Lock()
			conns = append(conns, conn)
			mu.Unlock()
		}
	})
	c.honest(t, 200)
	a.stop()
	c.honest(t, 20)
	if open := c.number(t, "/metric/outrider_webhook_connections"); open < 100 || open > DefaultMaxConnections {
		t.Errorf("%v connections are open", open)
	}
	if closed := c.number(t, "/metric/outrider_webhook_connections_closed_total"); closed == 0 {
		t.Error("no closed connection is counted")
	}
	t.Logf("%d dialed, %v open, %v closed, peak memory %d MiB", len(conns), c.number(t, "/metric/outrider_webhook_connections"),
		c.number(t, "/metric/outrider_webhook_connections_closed_total"), c.peakMemory(t)>>20)
}

// HTTP/2 is not offered, so that its streams and frames cannot be used.
func TestServer_NoHTTP2(t *testing.T) {
	c := startChild(t, "outrider")
	conn, err := tls.Dial("tcp", c.address, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2", "http/1.1"}})
	kit.Must(t, err)
	defer func() { _ = conn.Close() }()
	if got := conn.ConnectionState().NegotiatedProtocol; got != "http/1.1" {
		t.Errorf("negotiated %q", got)
	}
	_, _ = conn.Write([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
	answer := make([]byte, 100)
	n, _ := conn.Read(answer)
	if got := string(answer[:n]); !strings.HasPrefix(got, "HTTP/1.1 ") {
		t.Errorf("answer %q", got)
	}
}
