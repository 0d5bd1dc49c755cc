package world

import (
	"encoding/binary"
	"io"
	"net"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// ttl is short, so that nothing outlives a test in a cache.
const ttl = 5 // seconds

func (w *world) dnsUDP(l net.PacketConn) error {
	query := make([]byte, 4096)
	for {
		n, from, err := l.ReadFrom(query)
		if err != nil {
			return err
		}
		if reply, err := Answer(query[:n]); err == nil {
			_, _ = l.WriteTo(reply, from)
		} else {
			w.log.Printf("dns from=%s: %v", from, err)
		}
	}
}

func (w *world) dnsTCP(l net.Listener) error {
	return each(func(c net.Conn) {
		for {
			_ = c.SetDeadline(time.Now().Add(idle))
			var size [2]byte
			if _, err := io.ReadFull(c, size[:]); err != nil {
				return
			}
			query := make([]byte, binary.BigEndian.Uint16(size[:]))
			if _, err := io.ReadFull(c, query); err != nil {
				return
			}
			reply, err := Answer(query)
			if err != nil {
				w.log.Printf("dns from=%s: %v", c.RemoteAddr(), err)
				return
			}
			if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...)); err != nil {
				return
			}
		}
	})(l)
}

// Answer makes the reply to one query: the address of a known name, no data for
// another type of record, "no such name" for every other name. The error reports
// that the bytes are no query.
func Answer(query []byte) ([]byte, error) {
	var p dnsmessage.Parser
	header, err := p.Start(query)
	if err != nil {
		return nil, err
	}
	q, err := p.Question()
	if err != nil {
		return nil, err
	}
	h, known := Lookup(q.Name.String())
	code := dnsmessage.RCodeSuccess
	if !known {
		code = dnsmessage.RCodeNameError
	}
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{
		ID: header.ID, Response: true, Authoritative: true, RecursionDesired: header.RecursionDesired,
		RecursionAvailable: true, RCode: code,
	})
	b.EnableCompression()
	if err := b.StartQuestions(); err != nil {
		return nil, err
	}
	if err := b.Question(q); err != nil {
		return nil, err
	}
	if err := b.StartAnswers(); err != nil {
		return nil, err
	}
	rh := dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET, TTL: ttl}
	switch {
	case known && q.Type == dnsmessage.TypeA:
		err = b.AResource(rh, dnsmessage.AResource{A: h.IPv4.As4()})
	case known && q.Type == dnsmessage.TypeAAAA:
		err = b.AAAAResource(rh, dnsmessage.AAAAResource{AAAA: h.IPv6.As16()})
	}
	if err != nil {
		return nil, err
	}
	return b.Finish()
}
