package envoy

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/outrider-mesh/outrider/test/kit"
)

// controlPlaneName is the host of the default discovery address.
const controlPlaneName = "outrider.istio-system.svc"

// controlPlane is a delta ADS server that has no resources. It speaks gRPC by
// hand: a test of the sidecar's side should not lean on a library's idea of the
// protocol, and the module has none.
type controlPlane struct {
	certificate atomic.Pointer[tls.Certificate]
	// rejected collects the server's log of handshakes that failed.
	rejected kit.Buffer

	mu      sync.Mutex
	conns   []net.Conn
	streams []stream
}

// stream is what a sidecar sent when it opened one.
type stream struct {
	path, serverName, authorization, protocol string
	id, cluster                               string          // of the node
	types                                     map[string]bool // subscribed to
}

// serve answers on l until the test ends.
func (c *controlPlane) serve(t *testing.T, l net.Listener) {
	t.Helper()
	server := &http.Server{
		Handler:  http.HandlerFunc(c.handle),
		ErrorLog: log.New(&c.rejected, "", 0),
		TLSConfig: &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return c.certificate.Load(), nil
		}},
		ConnState: func(conn net.Conn, state http.ConnState) {
			if state == http.StateNew {
				c.mu.Lock()
				defer c.mu.Unlock()
				c.conns = append(c.conns, conn)
			}
		},
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.ServeTLS(l, "", "") }()
	t.Cleanup(func() { _ = server.Close(); <-done })
}

// drop closes every connection, as the end of a replica does.
func (c *controlPlane) drop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		_ = conn.Close()
	}
	c.conns = nil
}

// opened are the streams so far.
func (c *controlPlane) opened() []stream {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]stream(nil), c.streams...)
}

// last is the stream opened last, or nothing.
func (c *controlPlane) last() stream {
	all := c.opened()
	if len(all) == 0 {
		return stream{}
	}
	return all[len(all)-1]
}

func (c *controlPlane) handle(w http.ResponseWriter, r *http.Request) {
	s := stream{path: r.URL.Path, serverName: r.TLS.ServerName, authorization: r.Header.Get("Authorization"), protocol: r.Proto, types: map[string]bool{}}
	c.mu.Lock()
	n := len(c.streams)
	c.streams = append(c.streams, s)
	c.mu.Unlock()

	w.Header().Set("Content-Type", "application/grpc")
	w.Header().Set("Trailer", "Grpc-Status")
	w.WriteHeader(http.StatusOK)
	for {
		request, err := readFrame(r.Body)
		if err != nil {
			return
		}
		typeURL, node, nonce := request[2], fields(request[1]), request[6]
		c.mu.Lock()
		if known := &c.streams[n]; node != nil {
			known.id, known.cluster = string(node[1]), string(node[2])
		}
		c.streams[n].types[string(typeURL)] = true
		c.mu.Unlock()
		if len(nonce) > 0 {
			continue // an acknowledgement
		}
		if _, err := w.Write(frame(map[protowire.Number]string{1: "1", 4: string(typeURL), 5: "1"})); err != nil {
			return
		}
		_ = http.NewResponseController(w).Flush()
	}
}

// readFrame reads one message of a gRPC stream and takes its fields apart.
func readFrame(r io.Reader) (map[protowire.Number][]byte, error) {
	var head [5]byte // compressed or not, length
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	message := make([]byte, binary.BigEndian.Uint32(head[1:]))
	if _, err := io.ReadFull(r, message); err != nil {
		return nil, err
	}
	return fields(message), nil
}

// fields are the length-delimited fields of a message, the last of each number;
// nil for an empty message.
func fields(message []byte) map[protowire.Number][]byte {
	var found map[protowire.Number][]byte
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return nil
		}
		size := protowire.ConsumeFieldValue(number, kind, message[n:])
		if size < 0 {
			return nil
		}
		if kind == protowire.BytesType {
			if found == nil {
				found = map[protowire.Number][]byte{}
			}
			found[number], _ = protowire.ConsumeBytes(message[n:])
		}
		message = message[n+size:]
	}
	return found
}

// frame makes one message of a gRPC stream out of fields that are text.
func frame(texts map[protowire.Number]string) []byte {
	var message []byte
	for number, text := range texts {
		message = protowire.AppendString(protowire.AppendTag(message, number, protowire.BytesType), text)
	}
	head := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message)))
	return bytes.Join([][]byte{head, message}, nil)
}
