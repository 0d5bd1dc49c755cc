package xds

import (
	"errors"
	"strings"
	"unicode/utf8"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	statusv3 "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/encoding/protowire"
)

// The field numbers of DeltaDiscoveryRequest, and of its parts, that are read.
const (
	requestNode        = 1
	requestType        = 2
	requestSubscribe   = 3
	requestUnsubscribe = 4
	requestVersions    = 5
	requestNonce       = 6
	requestError       = 7

	nodeID        = 1
	statusMessage = 2
	mapKey        = 1
	mapValue      = 2
)

var errMalformed = errors.New("malformed message")

// readRequest decodes what the server uses of a request. The rest is skipped: a
// node may be described in thousands of small messages, which would take many times
// the bytes of the request.
func readRequest(data []byte, r *discoveryv3.DeltaDiscoveryRequest) error {
	return eachField(data, func(number protowire.Number, value []byte) (err error) {
		switch number {
		case requestType, requestSubscribe, requestUnsubscribe, requestNonce:
			if !utf8.Valid(value) {
				return errMalformed
			}
		}
		switch number {
		case requestNode:
			r.Node = &corev3.Node{}
			r.Node.Id, err = stringField(value, nodeID)
			r.Node.Id = clip(r.Node.Id, nameBytes)
		case requestType:
			r.TypeUrl = string(value)
		case requestSubscribe:
			r.ResourceNamesSubscribe = append(r.ResourceNamesSubscribe, string(value))
		case requestUnsubscribe:
			r.ResourceNamesUnsubscribe = append(r.ResourceNamesUnsubscribe, string(value))
		case requestVersions:
			var key, version string
			if key, err = stringField(value, mapKey); err != nil {
				return err
			}
			if r.InitialResourceVersions == nil {
				r.InitialResourceVersions = map[string]string{}
			}
			version, err = stringField(value, mapValue)
			r.InitialResourceVersions[key] = version
		case requestNonce:
			r.ResponseNonce = string(value)
		case requestError:
			r.ErrorDetail = &statusv3.Status{}
			r.ErrorDetail.Message, err = stringField(value, statusMessage)
			r.ErrorDetail.Message = clip(r.ErrorDetail.Message, reasonBytes)
		}
		return err
	})
}

// stringField is the last value of a field of a message.
func stringField(data []byte, field protowire.Number) (out string, err error) {
	err = eachField(data, func(number protowire.Number, value []byte) error {
		if number == field {
			out = strings.ToValidUTF8(string(value), "?")
		}
		return nil
	})
	return out, err
}

// eachField calls f for the fields of a message that have bytes as their value.
func eachField(data []byte, f func(protowire.Number, []byte) error) error {
	for len(data) > 0 {
		number, kind, n := protowire.ConsumeTag(data)
		if n < 0 {
			return errMalformed
		}
		data = data[n:]
		if kind != protowire.BytesType {
			if n = protowire.ConsumeFieldValue(number, kind, data); n < 0 {
				return errMalformed
			}
			data = data[n:]
			continue
		}
		value, n := protowire.ConsumeBytes(data)
		if n < 0 {
			return errMalformed
		}
		data = data[n:]
		if err := f(number, value); err != nil {
			return err
		}
	}
	return nil
}
