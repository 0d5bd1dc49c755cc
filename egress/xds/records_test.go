package xds

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"testing/iotest"

	"github.com/outrider-mesh/outrider/test/kit"
)

// readerConn is a connection that reads from a text.
type readerConn struct {
	net.Conn
	io.Reader
}

func (c readerConn) Read(p []byte) (int, error) { return c.Reader.Read(p) }

// TestRecords reads records of several lengths, however the bytes arrive: no read has bytes
// of two of them, and nothing is lost.
func TestRecords(t *testing.T) {
	var all []byte
	var ends []int
	for _, n := range []int{1, 0, 300, 1<<14 + 256, 7} {
		all = append(all, 23, 3, 3, byte(n>>8), byte(n))
		all = append(all, bytes.Repeat([]byte{byte(n)}, n)...)
		ends = append(ends, len(all))
	}
	for name, from := range map[string]io.Reader{"at once": bytes.NewReader(all), "in halves": iotest.HalfReader(bytes.NewReader(all)), "byte by byte": iotest.OneByteReader(bytes.NewReader(all))} {
		var r records
		var got []byte
		p, next := make([]byte, 20_000), 0
		for {
			n, err := r.read(readerConn{Reader: from}, p)
			got = append(got, p[:n]...)
			if len(got) > ends[next] {
				t.Fatalf("%s: a read has bytes of two records", name)
			}
			if next < len(ends)-1 && len(got) == ends[next] {
				next++
			}
			if errors.Is(err, io.EOF) {
				break
			}
			kit.Must(t, err)
		}
		if !bytes.Equal(got, all) {
			t.Errorf("%s: %d of %d bytes are read", name, len(got), len(all))
		}
	}
}
