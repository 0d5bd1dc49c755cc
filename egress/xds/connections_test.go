package xds

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/outrider-mesh/outrider/egress/envoy"
	"github.com/outrider-mesh/outrider/test/kit"
)

// from dials from another address of the loopback interface.
func (s *served) from(t testing.TB, source string) net.Conn {
	t.Helper()
	c, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}, Timeout: 5 * time.Second}).Dial("tcp", s.address)
	kit.Must(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// streamFrom is dial from another address, on a connection of its own.
func (s *served) streamFrom(t testing.TB, source, token string) client {
	t.Helper()
	conn, err := grpc.NewClient(s.address, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: s.roots})),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			return (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}}).DialContext(ctx, "tcp", address)
		}))
	kit.Must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(func() { cancel(); _ = conn.Close() })
	c, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token))
	kit.Must(t, err)
	return client{t, c}
}

// http2From begins HTTP/2 from another address.
func (s *served) http2From(t testing.TB, source string) (net.Conn, *http2.Framer) {
	t.Helper()
	c := tls.Client(s.from(t, source), &tls.Config{RootCAs: s.roots, ServerName: "127.0.0.1", NextProtos: []string{"h2"}})
	_, err := io.WriteString(c, http2.ClientPreface)
	kit.Must(t, err)
	f := http2.NewFramer(c, c)
	kit.Must(t, f.WriteSettings())
	return c, f
}

// pendingKinds are connections on which no stream is accepted.
var pendingKinds = map[string]func(s *served, t testing.TB, source string) net.Conn{
	"connects": func(s *served, t testing.TB, source string) net.Conn { return s.from(t, source) },
	"a part of the handshake": func(s *served, t testing.TB, source string) net.Conn {
		c := s.from(t, source)
		_, err := c.Write([]byte{22, 3, 1, 2, 0, 1})
		kit.Must(t, err)
		return c
	},
	"TLS": func(s *served, t testing.TB, source string) net.Conn {
		c := tls.Client(s.from(t, source), &tls.Config{RootCAs: s.roots, ServerName: "127.0.0.1", NextProtos: []string{"h2"}})
		kit.Must(t, c.Handshake())
		return c
	},
	"HTTP/2": func(s *served, t testing.TB, source string) net.Conn { c, _ := s.http2From(t, source); return c },
	"a stream without the end of its headers": func(s *served, t testing.TB, source string) net.Conn {
		c, f := s.http2From(t, source)
		kit.Must(t, f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: headersOf("junk")}))
		return c
	},
	"a stream with an invalid token": func(s *served, t testing.TB, source string) net.Conn {
		c, f := s.http2From(t, source)
		kit.Must(t, f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: headersOf("invalid"), EndHeaders: true}))
		return c
	},
}

func headersOf(token string) []byte {
	return headersTo("/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources", token)
}

func headersTo(path, token string) []byte {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	e.SetMaxDynamicTableSize(0)
	for _, h := range [][2]string{
		{":method", "POST"}, {":scheme", "https"}, {":authority", "127.0.0.1"},
		{":path", path},
		{"content-type", "application/grpc"}, {"te", "trailers"}, {"authorization", "Bearer " + token},
	} {
		_ = e.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]})
	}
	return b.Bytes()
}

// ends waits until the server closes the connection.
func ends(t testing.TB, c net.Conn) {
	t.Helper()
	kit.Must(t, c.SetReadDeadline(time.Now().Add(20*time.Second)))
	if _, err := io.Copy(io.Discard, c); err != nil && strings.Contains(err.Error(), "timeout") {
		t.Errorf("the connection is not closed: %v", err)
	}
}

// TestPendingConnections has clients that open connections without an accepted stream,
// from one source and from many: the oldest are closed. A neighbor's stream stays, and
// its new ones are accepted.
func TestPendingConnections(t *testing.T) {
	for name, open := range pendingKinds {
		t.Run(name, func(t *testing.T) {
			s := serveWith(t, Limits{ConnectionsPerSource: 5, Connections: 12})
			s.Publish(modelOf(t, "ALLOW_ANY"))
			neighbor := s.streamFrom(t, "127.0.0.2", "bank/web")
			neighbor.subscribe(envoy.TypeListener)
			neighbor.want(listeners)
			mode := 0
			untouched := func() {
				t.Helper()
				fresh := s.streamFrom(t, "127.0.0.2", "bank/new")
				fresh.subscribe(envoy.TypeCluster)
				fresh.want(wildcard)
				mode++
				s.Publish(modelOf(t, []string{"ALLOW_ANY", "REGISTRY_ONLY"}[mode%2]))
				neighbor.want(listeners)
			}

			first := open(s, t, "127.0.0.9")
			for range 5 {
				open(s, t, "127.0.0.9")
			}
			ends(t, first)
			kit.EventuallyTrue(t, "one of the source is closed", func() bool {
				return s.count(limitConnectionsPerSource) == 1 && s.PendingConnections() == 5
			})
			untouched()
			for i := range 20 {
				open(s, t, fmt.Sprintf("127.0.1.%d", i+1))
			}
			kit.EventuallyTrue(t, "others are closed", func() bool {
				return s.count(limitConnections) > 0 && s.PendingConnections() <= 12
			})
			untouched()
		})
	}
}

// TestPendingTimeout: a connection is closed a while after its start, or after its last
// stream, whatever it does; one with a stream is not.
func TestPendingTimeout(t *testing.T) {
	s := serveWith(t, Limits{})
	s.connections.timeout = 500 * time.Millisecond
	s.Publish(modelOf(t, "ALLOW_ANY"))
	neighbor := s.streamFrom(t, "127.0.0.2", "bank/web")
	neighbor.subscribe(envoy.TypeListener)
	neighbor.want(listeners)
	for name, open := range pendingKinds {
		t.Run(name, func(t *testing.T) { ends(t, open(s, t, "127.0.0.9")) })
	}
	t.Run("after its last stream", func(t *testing.T) {
		c, f := s.http2From(t, "127.0.0.9")
		kit.Must(t, f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: headersOf("shop/app"), EndHeaders: true}))
		kit.EventuallyTrue(t, "the stream is accepted", func() bool { return s.PendingConnections() == 0 })
		kit.Must(t, f.WriteRSTStream(1, http2.ErrCodeCancel))
		ends(t, c)
	})
	s.Publish(modelOf(t, "REGISTRY_ONLY"))
	neighbor.want(listeners)
}

// TestRejectedStreams: after ten rejected streams their connection is closed, whose
// client gets the reason of each. A source cannot go on forever with new connections.
func TestRejectedStreams(t *testing.T) {
	s := serveWith(t, Limits{ConnectionsPerSource: 20})
	s.Publish(modelOf(t, "ALLOW_ANY"))
	neighbor := s.streamFrom(t, "127.0.0.2", "bank/web")
	neighbor.subscribe(envoy.TypeListener)
	neighbor.want(listeners)
	c, f := s.http2From(t, "127.0.0.9")
	go func() { _, _ = io.Copy(io.Discard, c) }()
	var err error
	for i := uint32(0); err == nil; i++ { // those over MAX_CONCURRENT_STREAMS do not count
		_ = c.SetWriteDeadline(time.Now().Add(20 * time.Second))
		err = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 2*i + 1, BlockFragment: headersOf("invalid"), EndHeaders: true})
	}
	if strings.Contains(err.Error(), "timeout") {
		t.Errorf("the connection is not closed: %v", err)
	}
	if n := s.count(limitRejectedStreams); n != 1 {
		t.Errorf("%d connections closed", n)
	}
	for range rejectedStreams - 1 {
		bad := s.streamFrom(t, "127.0.0.9", "invalid")
		if err := bad.end(); status.Code(err) != codes.Unauthenticated {
			t.Errorf("a rejected stream: %v", err)
		}
	}
	for range 20*burstPerPending + 10 {
		c, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP("127.0.0.9")}}).Dial("tcp", s.address)
		kit.Must(t, err)
		_ = c.Close()
	}
	kit.EventuallyTrue(t, "the source is over its rate", func() bool { return s.count(limitConnectionRate) > 0 })
	s.Publish(modelOf(t, "REGISTRY_ONLY"))
	neighbor.want(listeners)
	s.streamFrom(t, "127.0.0.2", "bank/new").subscribe(envoy.TypeListener)
}

// floods are frames without end on one connection.
var floods = map[string]func(f *http2.Framer, i uint32) error{
	"streams that are reset": func(f *http2.Framer, i uint32) error {
		if err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: 2*i + 1, BlockFragment: headersOf("invalid"), EndHeaders: true}); err != nil {
			return err
		}
		return f.WriteRSTStream(2*i+1, http2.ErrCodeCancel)
	},
	"accepted streams that are reset": func(f *http2.Framer, i uint32) error {
		if err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: 2*i + 1, BlockFragment: headersOf("shop/app"), EndHeaders: true}); err != nil {
			return err
		}
		return f.WriteRSTStream(2*i+1, http2.ErrCodeCancel)
	},
	"other methods": func(f *http2.Framer, i uint32) error {
		return f.WriteHeaders(http2.HeadersFrameParam{StreamID: 2*i + 1, BlockFragment: headersTo("/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources", "x"), EndHeaders: true})
	},
	"PING": func(f *http2.Framer, i uint32) error { return f.WritePing(false, [8]byte{byte(i)}) },
	"SETTINGS": func(f *http2.Framer, i uint32) error {
		return f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 65535 + i%2})
	},
	"WINDOW_UPDATE": func(f *http2.Framer, _ uint32) error { return f.WriteWindowUpdate(0, 1) },
	"PRIORITY": func(f *http2.Framer, i uint32) error {
		return f.WritePriority(2*i+1, http2.PriorityParam{Weight: byte(i)})
	},
	"CONTINUATION": func(f *http2.Framer, i uint32) error {
		if i == 0 {
			return f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: headersOf("invalid")})
		}
		var b bytes.Buffer
		_ = hpack.NewEncoder(&b).WriteField(hpack.HeaderField{Name: "x", Value: strings.Repeat("x", 4000), Sensitive: true})
		return f.WriteContinuation(1, false, b.Bytes())
	},
	"empty CONTINUATION": func(f *http2.Framer, i uint32) error {
		if i == 0 {
			return f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: headersOf("invalid")})
		}
		return f.WriteContinuation(1, false, nil)
	},
	"DATA": func(f *http2.Framer, i uint32) error {
		if i == 0 {
			return f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: headersOf("invalid"), EndHeaders: true})
		}
		return f.WriteData(1, false, make([]byte, 1000))
	},
}

// TestFloods floods a connection with frames: it is closed, and a neighbor's stream is
// not affected.
func TestFloods(t *testing.T) {
	s := serveWith(t, Limits{})
	s.connections.timeout = time.Second
	s.Publish(modelOf(t, "ALLOW_ANY"))
	neighbor := s.streamFrom(t, "127.0.0.2", "bank/web")
	neighbor.subscribe(envoy.TypeListener)
	neighbor.want(listeners)
	mode := 0
	for name, write := range floods {
		t.Run(name, func(t *testing.T) {
			c, f := s.http2From(t, "127.0.0.9")
			go func() { _, _ = io.Copy(io.Discard, c) }()
			var err error
			for i := uint32(0); err == nil; i++ {
				_ = c.SetWriteDeadline(time.Now().Add(20 * time.Second))
				err = write(f, i)
			}
			if strings.Contains(err.Error(), "timeout") {
				t.Errorf("the connection is not closed: %v", err)
			}
		})
		mode++
		s.Publish(modelOf(t, []string{"ALLOW_ANY", "REGISTRY_ONLY"}[mode%2]))
		neighbor.want(listeners)
	}
}

// TestReviewsOfASource: where each token is reviewed, a source with many invalid ones does
// not delay the review of a neighbor's.
func TestReviewsOfASource(t *testing.T) {
	waiting := make(chan string, 100)
	s := serveBy(t, Limits{}, AuthenticatorFunc(func(ctx context.Context, token string) (Identity, error) {
		end, err := connectionOf(ctx).review(ctx)
		if err != nil {
			return Identity{}, err
		}
		defer end()
		if token == "invalid" {
			waiting <- token
			<-ctx.Done()
			return Identity{}, ErrUnauthenticated
		}
		return Identity{Namespace: "bank", Pod: "web"}, nil
	}))
	s.Publish(modelOf(t, "ALLOW_ANY"))
	for range 3 {
		_, f := s.http2From(t, "127.0.0.9")
		for i := range 4 {
			kit.Must(t, f.WriteHeaders(http2.HeadersFrameParam{StreamID: uint32(2*i + 1), BlockFragment: headersOf("invalid"), EndHeaders: true}))
		}
	}
	for range reviewsPerSource {
		<-waiting
	}
	neighbor := s.streamFrom(t, "127.0.0.2", "bank/web")
	neighbor.subscribe(envoy.TypeListener)
	neighbor.want(listeners)
	if len(waiting) > 0 {
		t.Errorf("%d more reviews of the source", len(waiting))
	}
}
