package xds

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/grpc/peer"
)

// Limits of connections that no cluster needs to change.
const (
	// pendingTimeout is the time from a connection to its first accepted stream, and
	// after its last one. TLS takes milliseconds and a TokenReview up to 5 s.
	pendingTimeout = 10 * time.Second
	// A source may open twice as many connections at once as may be pending, and then a
	// tenth of those a second: 500, and 25 a second. A handshake takes 0.3 ms of a core, so
	// one source takes 1 % of it.
	burstPerPending   = 2
	pendingPerNewRate = 10
	// rejectedStreams close a connection. Envoy tries again after seconds.
	rejectedStreams = 10
	// lastStatus is the time for the status of the last rejected stream.
	lastStatus = 100 * time.Millisecond
	// reviewsPerSource are those TokenReviews of a source that wait or are made at once:
	// where tokens are not verified here, one source must not take the rate of all.
	reviewsPerSource = 2
	// forgetSources is how often sources without connections are removed.
	forgetSources = time.Minute
)

// connections bounds the connections on which no stream is accepted: without
// credentials anybody can open some. One is pending from its start until a stream is
// accepted, and again after its last one.
//
// Over the limit of a source, or of all, the oldest pending connection is closed: of
// that source, or of the one that has most. A client with credentials is pending for
// milliseconds.
type connections struct {
	perSource, total int
	timeout          time.Duration
	exceeded         func(source, limit, message string)

	mu      sync.Mutex
	sources map[netip.Addr]*source
	pending list.List // of *connection, the oldest first
	forget  time.Time // the next time
}

// source is a client address. Those of IPv6 count alone, too: the pods of a node share
// a /64.
type source struct {
	address netip.Addr
	pending int
	opened  *rate.Limiter
	reviews chan struct{} // being made of its tokens, or waiting
}

// connection is a client's connection. It is the address of the client, too, by which
// a stream finds it.
type connection struct {
	net.Conn
	owner   *connections
	source  *source
	records records

	// Guarded by owner.mu:
	pending  *list.Element // nil while a stream is accepted
	timeout  *time.Timer
	streams  int // accepted ones
	rejected int
	closed   bool
}

func newConnections(l Limits, exceeded func(source, limit, message string)) *connections {
	return &connections{perSource: l.ConnectionsPerSource, total: l.Connections, timeout: pendingTimeout, exceeded: exceeded, sources: map[netip.Addr]*source{}}
}

// listener returns l with its connections bounded.
func (c *connections) listener(l net.Listener) net.Listener { return &boundedListener{l, c} }

type boundedListener struct {
	net.Listener
	connections *connections
}

// Accept returns the next connection that is not over the rate of its source.
func (l *boundedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if c := l.connections.add(conn); c != nil {
			return c, nil
		}
		_ = conn.Close()
	}
}

// add registers a new connection; nil if its source opens too many.
func (c *connections) add(conn net.Conn) *connection {
	address := sourceOf(conn.RemoteAddr())
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forgetIdle()
	s := c.sources[address]
	if s == nil {
		s = &source{address: address, opened: rate.NewLimiter(rate.Limit(c.perSource)/pendingPerNewRate, c.perSource*burstPerPending), reviews: make(chan struct{}, reviewsPerSource)}
		c.sources[address] = s
	}
	if !s.opened.Allow() {
		c.exceeded(address.String(), limitConnectionRate, fmt.Sprintf("more than %d connections, and %d per second", c.perSource*burstPerPending, c.perSource/pendingPerNewRate))
		return nil
	}
	n := &connection{Conn: conn, owner: c, source: s}
	c.wait(n)
	return n
}

// sourceOf is the address that connections are counted by.
func sourceOf(a net.Addr) netip.Addr {
	p, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Addr{} // no TCP: all are one source
	}
	return p.Addr().Unmap().WithZone("")
}

// wait makes a connection pending. Another is closed if there are too many.
func (c *connections) wait(n *connection) {
	n.pending = c.pending.PushBack(n)
	n.source.pending++
	n.timeout = time.AfterFunc(c.timeout, func() { _ = n.Close() })
	switch {
	case n.source.pending > c.perSource:
		c.closeOldest(func(o *connection) bool { return o.source == n.source }, limitConnectionsPerSource,
			fmt.Sprintf("more than %d connections without an accepted stream", c.perSource))
	case c.pending.Len() > c.total:
		most := 0
		for _, s := range c.sources {
			most = max(most, s.pending)
		}
		c.closeOldest(func(o *connection) bool { return o.source.pending == most }, limitConnections,
			fmt.Sprintf("more than %d connections without an accepted stream, of all sources; this source has most", c.total))
	}
}

// closeOldest closes the oldest pending connection of some.
func (c *connections) closeOldest(of func(*connection) bool, limit, message string) {
	for e := c.pending.Front(); e != nil; e = e.Next() {
		if n := e.Value.(*connection); of(n) {
			c.settle(n)
			c.exceeded(n.source.address.String(), limit, message)
			go func() { _ = n.Close() }() // it locks
			return
		}
	}
}

// settle ends the wait of a connection.
func (c *connections) settle(n *connection) {
	if n.pending == nil {
		return
	}
	c.pending.Remove(n.pending)
	n.pending = nil
	n.source.pending--
	n.timeout.Stop()
}

// forgetIdle removes sources without pending connections whose rate is unused.
func (c *connections) forgetIdle() {
	now := time.Now()
	if now.Before(c.forget) {
		return
	}
	c.forget = now.Add(forgetSources)
	for address, s := range c.sources {
		if s.pending == 0 && s.opened.Tokens() >= float64(s.opened.Burst()) {
			delete(c.sources, address)
		}
	}
}

// Close closes the connection.
func (n *connection) Close() error {
	n.owner.mu.Lock()
	n.owner.settle(n)
	n.closed = true
	n.owner.mu.Unlock()
	return n.Conn.Close()
}

// Read reads from one TLS record at most.
func (n *connection) Read(p []byte) (int, error) { return n.records.read(n.Conn, p) }

// RemoteAddr is the client's address.
func (n *connection) RemoteAddr() net.Addr { return clientAddress{n.Conn.RemoteAddr(), n} }

// clientAddress is the address of a client with its connection.
type clientAddress struct {
	net.Addr
	connection *connection
}

// connectionOf is the connection of a stream, nil if it is not bounded.
func connectionOf(ctx context.Context) *connection {
	if p, ok := peer.FromContext(ctx); ok {
		if a, ok := p.Addr.(clientAddress); ok {
			return a.connection
		}
	}
	return nil
}

// accept counts an accepted stream; end is called after it.
func (n *connection) accept() (end func()) {
	if n == nil {
		return func() {}
	}
	n.owner.mu.Lock()
	defer n.owner.mu.Unlock()
	n.owner.settle(n)
	n.streams++
	return func() {
		n.owner.mu.Lock()
		defer n.owner.mu.Unlock()
		if n.streams--; n.streams == 0 && !n.closed {
			n.owner.wait(n)
		}
	}
}

// closeUnused closes a connection soon that has at most the stream that ends now: its
// client needs it no more.
func (n *connection) closeUnused() {
	if n == nil {
		return
	}
	n.owner.mu.Lock()
	defer n.owner.mu.Unlock()
	if n.streams <= 1 {
		time.AfterFunc(lastStatus, n.closeWithoutStreams)
	}
}

func (n *connection) closeWithoutStreams() {
	n.owner.mu.Lock()
	streams := n.streams
	n.owner.mu.Unlock()
	if streams == 0 {
		_ = n.Close()
	}
}

// reject counts a rejected stream. After the last one that is allowed the connection
// is closed.
func (n *connection) reject() {
	if n == nil {
		return
	}
	n.owner.mu.Lock()
	defer n.owner.mu.Unlock()
	if n.rejected++; n.rejected == rejectedStreams {
		n.owner.exceeded(n.source.address.String(), limitRejectedStreams, fmt.Sprintf("%d streams of a connection are rejected", rejectedStreams))
		time.AfterFunc(lastStatus, func() { _ = n.Close() })
	}
}

// named adds the client's address to the reason why its stream is rejected.
func (n *connection) named(err error) error {
	var rejected streamError
	if n == nil || !errors.As(err, &rejected) {
		return err
	}
	return streamError{rejected.status, fmt.Errorf("from %s: %w", n.source.address, rejected.cause)}
}

// review waits until the source may have another token reviewed; end is called after it.
func (n *connection) review(ctx context.Context) (end func(), err error) {
	if n == nil {
		return func() {}, nil
	}
	select {
	case n.source.reviews <- struct{}{}:
		return func() { <-n.source.reviews }, nil
	case <-ctx.Done():
		return nil, errTooMany
	}
}

// tooMany reports whether the connection is about to be closed.
func (n *connection) tooMany() bool {
	if n == nil {
		return false
	}
	n.owner.mu.Lock()
	defer n.owner.mu.Unlock()
	return n.rejected >= rejectedStreams
}

// count is the number of pending connections.
func (c *connections) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pending.Len()
}
