package connlimit

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"testing"
)

// port is a listener whose connections are made by the test.
type port struct {
	ready chan struct{} // Accept was called
	next  chan net.Conn
}

func (p port) Accept() (net.Conn, error) {
	p.ready <- struct{}{}
	return <-p.next, nil
}
func (port) Close() error   { return nil }
func (port) Addr() net.Addr { return nil }

// client is a connection from an address.
type client struct {
	net.Conn
	from netip.Addr

	mu   sync.Mutex
	gone bool
}

func (c *client) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(c.from, 1))
}
func (c *client) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gone = true
	return nil
}

// world is a listener with its clients.
type world struct {
	t        *testing.T
	port     port
	l        *Listener
	accepted chan net.Conn
	open     int
	closed   map[string]int
}

func newWorld(t *testing.T, o Options) *world {
	w := &world{t: t, port: port{make(chan struct{}), make(chan net.Conn)}, accepted: make(chan net.Conn), closed: map[string]int{}}
	o.Changed = func(n int) { w.open = n }
	o.Closed = func(limit string) { w.closed[limit]++ }
	w.l = Listen(w.port, o)
	go func() {
		for {
			c, _ := w.l.Accept()
			w.accepted <- c
		}
	}()
	<-w.port.ready
	return w
}

// dial is a new connection; nil if it was rejected.
func (w *world) dial(from string) (*client, *Conn) {
	w.t.Helper()
	c := &client{from: netip.MustParseAddr(from)}
	w.port.next <- c
	select {
	case accepted := <-w.accepted:
		<-w.port.ready
		return c, accepted.(*Conn)
	case <-w.port.ready:
		return c, nil
	}
}

func (w *world) proven(from string) (*client, *Conn) {
	client, c := w.dial(from)
	State(c, http.StateActive)
	c.Received()
	c.Answered()
	State(c, http.StateIdle)
	return client, c
}

func (w *world) check(want map[*client]bool) {
	w.t.Helper()
	n := 0
	for c, gone := range want {
		if c.gone != gone {
			w.t.Errorf("connection %d of %s: closed %v", n, c.from, c.gone)
		}
		n++
	}
}

const many = 1000

func TestListener_ClosesTheOldestOfItsSource(t *testing.T) {
	w := newWorld(t, Options{Total: many, PerSource: 2})
	other, _ := w.dial("192.0.2.9")
	first, _ := w.dial("192.0.2.1")
	second, _ := w.dial("192.0.2.1")
	third, _ := w.dial("::ffff:192.0.2.1") // the same address
	w.check(map[*client]bool{other: false, first: true, second: false, third: false})
	if w.open != 3 || w.closed[PerSource] != 1 {
		t.Errorf("%d open, closed %v", w.open, w.closed)
	}
}

// What has completed a request is closed after what has not, whatever its age.
func TestListener_ClosesFreshConnectionsFirst(t *testing.T) {
	w := newWorld(t, Options{Total: many, PerSource: 4})
	idleOne, _ := w.proven("192.0.2.1")
	answering, busyConn := w.proven("192.0.2.1")
	State(busyConn, http.StateActive)
	busyConn.Received()
	slow, sendingConn := w.proven("192.0.2.1")
	State(sendingConn, http.StateActive)
	first, firstConn := w.dial("192.0.2.1")
	State(firstConn, http.StateActive) // its headers are complete, and its body is not
	var clients []*client
	for range 3 {
		c, _ := w.dial("192.0.2.1")
		clients = append(clients, c)
	}
	w.check(map[*client]bool{idleOne: false, answering: false, slow: false, first: true, clients[0]: true, clients[1]: true, clients[2]: false})
	w.l.mu.Lock()
	order := []*Conn{}
	for range 3 {
		c := w.l.sources[netip.MustParseAddr("192.0.2.1")].least()
		order = append(order, c)
		c.enter(busy)
	}
	w.l.mu.Unlock()
	if order[0].Conn != clients[2] || order[1].Conn != slow || order[2].Conn != idleOne {
		t.Error("the order is not fresh, sending, idle")
	}
}

// A source with many connections loses one for another source's, not the other way.
func TestListener_TotalIsTakenFromTheSourceWithMost(t *testing.T) {
	w := newWorld(t, Options{Total: 6, PerSource: 5})
	victim, _ := w.proven("192.0.2.1")
	starting, _ := w.dial("192.0.2.1")
	var clients []*client
	for n := range 20 {
		c, _ := w.dial(fmt.Sprintf("192.0.2.%d", 2+n%2))
		clients = append(clients, c)
	}
	w.check(map[*client]bool{victim: false, starting: false, clients[0]: true, clients[19]: false})
	late, conn := w.dial("192.0.2.1")
	if conn == nil || late.gone || w.open != 6 || w.closed[Total] != 17 {
		t.Errorf("late: %v, %d open, closed %v", late.gone, w.open, w.closed)
	}
}

// A new connection is rejected where all others are busy or trusted.
func TestListener_NeverClosesBusyAndTrusted(t *testing.T) {
	for _, limits := range []Options{{Total: 2, PerSource: many}, {Total: many, PerSource: 2}} {
		w := newWorld(t, limits)
		answering, c := w.dial("192.0.2.1")
		c.Received()
		known, trusted := w.dial("192.0.2.1")
		trusted.Trust()
		State(trusted, http.StateIdle)
		rejected, conn := w.dial("192.0.2.1")
		if conn != nil {
			t.Error("a third connection was accepted")
		}
		w.check(map[*client]bool{answering: false, known: false, rejected: true})
		_ = c.Close()
		_ = c.Close() // twice counts once
		if c, _ := w.dial("192.0.2.1"); c.gone || w.open != 2 {
			t.Errorf("after one was closed: %v, %d open", c.gone, w.open)
		}
	}
}

func TestListener_Rate(t *testing.T) {
	w := newWorld(t, Options{Total: many, PerSource: 3, PerSecond: 1})
	for _, from := range []string{"192.0.2.1", "2001:db8::1"} {
		for range 3 {
			if _, c := w.dial(from); c == nil {
				t.Fatalf("%s: rejected at once", from)
			}
		}
		if c, conn := w.dial(from); conn != nil || !c.gone {
			t.Errorf("%s: a fourth connection within a second", from)
		}
	}
	for range 20 {
		if _, c := w.dial("127.0.0.1"); c == nil {
			t.Fatal("loopback has a rate")
		}
	}
	if w.closed[Rate] != 2 {
		t.Errorf("closed %v", w.closed)
	}
}

// Sources without connections do not add up.
func TestListener_ForgetsSources(t *testing.T) {
	w := newWorld(t, Options{Total: 10, PerSource: 1})
	for n := range 5000 {
		_, c := w.dial(netip.AddrFrom4([4]byte{10, 1, byte(n >> 8), byte(n)}).String())
		_ = c.Close()
	}
	if n := len(w.l.sources); n > 10+maxForgotten+2 {
		t.Errorf("%d sources", n)
	}
}

func TestNilConn(t *testing.T) {
	var c *Conn
	c.Received()
	c.Answered()
	c.Trust()
	State(nil, http.StateIdle)
	if c.Source() != "" || From(t.Context()) != nil {
		t.Error("not nothing")
	}
}
