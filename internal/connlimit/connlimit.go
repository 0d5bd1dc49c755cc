// Package connlimit bounds the connections of a port, in total and from each source
// address, so that no client can use all of them.
//
// Over a limit the connection is closed that matters least: first one that has not
// completed a request, then one that is sending a request, then an idle one, and of
// those the one that is so for the longest time. Over the limit of a source that is
// one of the same source; over the total it is one of the source that has the most.
// A connection whose request is being answered, and a trusted one, are never closed;
// if there are only such, the new connection is.
//
// What a caller may assume: a Listener and its connections may be used by any number
// of goroutines; all methods of a nil Conn do nothing.
package connlimit

import (
	"container/list"
	"context"
	"net"
	"net/http"
	"net/netip"
	"sync"

	"golang.org/x/time/rate"
)

// The names of limits, for metrics.
const (
	Total     = "total"
	PerSource = "per_source"
	Rate      = "rate_per_source"
)

// Options are the limits of a Listener.
type Options struct {
	// Total and PerSource are the maximum number of connections.
	Total, PerSource int
	// PerSecond is the maximum number of new connections of a source in a second, after
	// PerSource at once; 0 is no maximum. The loopback interface, which only this pod
	// can use, has none.
	PerSecond int
	// Changed is called with the number of open connections; it may be nil.
	Changed func(open int)
	// Closed is called with the limit by which a connection was closed; it may be nil.
	Closed func(limit string)
}

// state is what a connection does, the least important first.
type state int

const (
	fresh   state = iota // it has not completed a request
	sending              // it has, and sends the next
	idle                 // it has, and waits
	busy                 // its request is being answered
	closed
)

// Listener accepts the connections of another listener.
type Listener struct {
	net.Listener
	options Options

	mu      sync.Mutex
	open    int
	sources map[netip.Addr]*source
}

// source is one address with its connections.
type source struct {
	open   int
	limit  *rate.Limiter
	states [busy]list.List // the connections that may be closed, the oldest first
}

// Conn is an accepted connection.
type Conn struct {
	net.Conn
	listener *Listener
	address  netip.Addr

	// guarded by listener.mu
	source  *source
	state   state
	place   *list.Element // in source.states, nil where it must not be closed
	proven  bool
	trusted bool

	out     sync.Mutex
	holding bool
	held    *[]byte // what was written since Hold
}

// Listen limits the connections of a listener.
func Listen(inner net.Listener, o Options) *Listener {
	if o.Changed == nil {
		o.Changed = func(int) {}
	}
	if o.Closed == nil {
		o.Closed = func(string) {}
	}
	return &Listener{Listener: inner, options: o, sources: map[netip.Addr]*source{}}
}

// Accept returns the next connection that is within the limits.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		inner, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := &Conn{Conn: inner, listener: l, address: addressOf(inner.RemoteAddr())}
		victim, limit := l.add(c)
		if victim != nil {
			_ = victim.Close()
		}
		if limit != "" {
			l.options.Closed(limit)
		}
		if victim != c {
			return c, nil
		}
	}
}

// addressOf is the address of a client, without its port; the zero address is that
// of clients without one.
func addressOf(a net.Addr) netip.Addr {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

// add registers a connection. It returns the one to close where a limit is reached,
// which may be the new one, and the limit.
func (l *Listener) add(c *Conn) (victim *Conn, limit string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.sourceOf(c.address)
	switch {
	case l.options.PerSecond > 0 && !c.address.IsLoopback() && !s.limit.Allow():
		c.state = closed
		return c, Rate
	case s.open >= l.options.PerSource:
		victim, limit = s.least(), PerSource
	case l.open >= l.options.Total:
		victim, limit = l.least(), Total
	}
	if limit != "" && victim == nil {
		c.state = closed
		return c, limit
	}
	c.source = s
	s.open++
	l.open++
	c.enter(fresh)
	l.options.Changed(l.open)
	return victim, limit
}

// maxForgotten is the number of sources after which those without connections are
// forgotten.
const maxForgotten = 1000

func (l *Listener) sourceOf(a netip.Addr) *source {
	s := l.sources[a]
	if s == nil {
		if len(l.sources) > l.options.Total+maxForgotten {
			l.forget()
		}
		s = &source{limit: rate.NewLimiter(rate.Limit(l.options.PerSecond), l.options.PerSource)}
		l.sources[a] = s
	}
	return s
}

// forget removes the sources that have no connection and are within their rate.
func (l *Listener) forget() {
	for a, s := range l.sources {
		if s.open == 0 && (l.options.PerSecond == 0 || s.limit.Tokens() >= float64(l.options.PerSource)) {
			delete(l.sources, a)
		}
	}
}

// least is the source's connection that matters least; nil if none may be closed.
func (s *source) least() *Conn {
	for n := range s.states {
		if first := s.states[n].Front(); first != nil {
			return first.Value.(*Conn)
		}
	}
	return nil
}

// least is the connection of all sources that matters least: of the source that has
// the most of its state.
func (l *Listener) least() *Conn {
	for n := range busy {
		var most *source
		for _, s := range l.sources {
			if count := s.states[n].Len(); count > 0 && (most == nil || count > most.states[n].Len()) {
				most = s
			}
		}
		if most != nil {
			return most.states[n].Front().Value.(*Conn)
		}
	}
	return nil
}

// enter changes the state; the caller holds the lock.
func (c *Conn) enter(next state) {
	if c.place != nil {
		c.source.states[c.state].Remove(c.place)
		c.place = nil
	}
	c.state = next
	if next < busy && !c.trusted {
		c.place = c.source.states[next].PushBack(c)
	}
}

// Close closes the connection.
func (c *Conn) Close() error {
	l := c.listener
	l.mu.Lock()
	if c.state != closed {
		c.enter(closed)
		c.source.open--
		l.open--
		l.options.Changed(l.open)
	}
	l.mu.Unlock()
	return c.Conn.Close()
}

// maxHeld is the most that a connection holds: a response to an ordinary pod, and the
// overhead of TLS, a few times over.
const maxHeld = 64 << 10

var heldBytes = sync.Pool{New: func() any {
	b := make([]byte, 0, 16<<10)
	return &b
}}

// Hold keeps what is written until Flush, so that a response that net/http writes in two
// parts, each a TLS record, is one system call. The system call is most of what a
// response costs.
func (c *Conn) Hold() {
	if c == nil {
		return
	}
	c.out.Lock()
	defer c.out.Unlock()
	if !c.holding {
		c.holding, c.held = true, heldBytes.Get().(*[]byte)
	}
}

// Flush writes what is held, and ends Hold. An error closes the connection: its writer
// takes all as written.
func (c *Conn) Flush() {
	if c == nil {
		return
	}
	c.out.Lock()
	defer c.out.Unlock()
	if !c.holding {
		return
	}
	if err := c.writeHeld(); err != nil {
		_ = c.Close()
	}
	if cap(*c.held) <= maxHeld {
		heldBytes.Put(c.held)
	}
	c.holding, c.held = false, nil
}

func (c *Conn) writeHeld() (err error) {
	if len(*c.held) > 0 {
		_, err = c.Conn.Write(*c.held)
		*c.held = (*c.held)[:0]
	}
	return err
}

// Write writes, or holds what fits.
func (c *Conn) Write(b []byte) (int, error) {
	c.out.Lock()
	defer c.out.Unlock()
	if c.holding && len(*c.held)+len(b) <= maxHeld {
		*c.held = append(*c.held, b...)
		return len(b), nil
	}
	if c.holding {
		if err := c.writeHeld(); err != nil {
			return 0, err
		}
	}
	return c.Conn.Write(b)
}

// change changes the state of an open connection.
func (c *Conn) change(f func()) {
	if c == nil {
		return
	}
	c.listener.mu.Lock()
	defer c.listener.mu.Unlock()
	if c.state != closed {
		f()
	}
}

// Received marks a connection whose request has been received: it is not closed
// before it waits for the next.
func (c *Conn) Received() { c.change(func() { c.enter(busy) }) }

// Answered marks a connection that has sent a request that this server is for.
func (c *Conn) Answered() { c.change(func() { c.proven = true }) }

// Trust marks a connection whose client is authenticated: it is never closed.
func (c *Conn) Trust() {
	c.change(func() {
		c.trusted = true
		c.enter(c.state)
	})
}

// State is the hook of an http.Server for the states of its connections.
func State(nc net.Conn, s http.ConnState) {
	c := unwrap(nc)
	c.change(func() {
		switch {
		case s == http.StateActive && c.proven && c.state != busy:
			c.enter(sending)
		case s == http.StateIdle && c.proven:
			c.enter(idle)
		case s == http.StateIdle:
			c.enter(fresh)
		}
	})
}

type contextKey struct{}

// Context is the hook of an http.Server for the contexts of its connections.
func Context(ctx context.Context, nc net.Conn) context.Context {
	return context.WithValue(ctx, contextKey{}, unwrap(nc))
}

// From is the connection of a request, nil where there is none.
func From(ctx context.Context) *Conn {
	c, _ := ctx.Value(contextKey{}).(*Conn)
	return c
}

// Source is the address of the connection's client, "" for a nil Conn.
func (c *Conn) Source() string {
	if c == nil {
		return ""
	}
	return c.address.String()
}

// unwrap is the connection below TLS.
func unwrap(nc net.Conn) *Conn {
	if inner, ok := nc.(interface{ NetConn() net.Conn }); ok {
		nc = inner.NetConn()
	}
	c, _ := nc.(*Conn)
	return c
}
