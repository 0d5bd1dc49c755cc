package xds

import (
	"fmt"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// response is a DeltaDiscoveryResponse whose resources are shared.
type response struct {
	typeURL, nonce string
	version        string // of the view, for debugging
	entries        []*entry
	removed        []string
}

// The other field numbers of DeltaDiscoveryResponse.
const (
	responseVersion = 1
	responseType    = 4
	responseNonce   = 5
	responseRemoved = 6
)

// buffers is the encoded message; the entries are not copied.
func (r *response) buffers() mem.BufferSlice {
	out := make(mem.BufferSlice, 0, len(r.entries)+1)
	for _, e := range r.entries {
		out = append(out, mem.SliceBuffer(e.wire))
	}
	var tail []byte
	text := func(number protowire.Number, s string) {
		tail = protowire.AppendString(protowire.AppendTag(tail, number, protowire.BytesType), s)
	}
	text(responseVersion, r.version)
	text(responseType, r.typeURL)
	text(responseNonce, r.nonce)
	for _, name := range r.removed {
		text(responseRemoved, name)
	}
	return append(out, mem.SliceBuffer(tail))
}

// codec is protobuf, with a response encoded by buffers.
type codec struct{}

func (codec) Name() string { return "proto" }

func (codec) Marshal(v any) (mem.BufferSlice, error) {
	switch m := v.(type) {
	case *response:
		return m.buffers(), nil
	case proto.Message:
		b, err := proto.Marshal(m)
		return mem.BufferSlice{mem.SliceBuffer(b)}, err
	}
	return nil, fmt.Errorf("marshal %T: not a message", v)
}

func (codec) Unmarshal(data mem.BufferSlice, v any) error {
	if r, ok := v.(*discoveryv3.DeltaDiscoveryRequest); ok {
		return readRequest(data.Materialize(), r)
	}
	switch m := v.(type) {
	case *logsMessage:
		m.accessLogs = decoded.Get().(*accessLogs)
		return readParts(data, func(b []byte) error { return readAccessLogs(b, m.accessLogs) })
	case *countsMessage:
		data.Ref() // until readCount has decoded it
		m.data = data
		return nil
	}
	m, ok := v.(proto.Message)
	if !ok {
		return fmt.Errorf("unmarshal %T: not a message", v)
	}
	return proto.Unmarshal(data.Materialize(), m)
}
