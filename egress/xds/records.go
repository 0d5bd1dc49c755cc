package xds

import (
	"encoding/binary"
	"net"
)

// recordHeader is the length of the header of a TLS record, which ends with the length of the
// rest.
const recordHeader = 5

// records reads the bytes of a connection up to the end of a TLS record, and not those of
// the next one. A TLS connection keeps a buffer for what it has read, also while it is idle:
// for one record it has 18 KiB, and where a part of the next one comes with it, 40 KiB. Each
// sidecar fills some, with the 60 KiB that Envoy states about itself. A record takes a
// second system call.
type records struct {
	header [recordHeader]byte
	have   int // of the header
	rest   int // of the record, after its header
}

func (r *records) read(from net.Conn, p []byte) (int, error) {
	if r.rest > 0 {
		n, err := from.Read(p[:min(len(p), r.rest)])
		r.rest -= n
		return n, err
	}
	n, err := from.Read(p[:min(len(p), recordHeader-r.have)])
	r.have += copy(r.header[r.have:], p[:n])
	if r.have == recordHeader {
		r.have, r.rest = 0, int(binary.BigEndian.Uint16(r.header[recordHeader-2:]))
	}
	return n, err
}
