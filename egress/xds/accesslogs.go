package xds

import (
	"math"
	"net/netip"
	"sync"
	"time"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/egress/report"
)

// The field numbers that are read of a StreamAccessLogsMessage and of its parts. The rest
// is skipped, such as paths and user agents: it is neither decoded nor kept.
const (
	logsHTTP  = 2
	logsTCP   = 3
	logsEntry = 1 // of both

	entryCommon     = 1 // of both kinds
	entryRequest    = 3 // of HTTP
	entryResponse   = 4
	entryConnection = 2 // of TCP

	commonLocalAddress    = 3
	commonTLS             = 4
	commonUpstreamAddress = 13
	commonCluster         = 15
	commonFlags           = 16
	commonRoute           = 19
	commonType            = 33

	flagsNoUpstream     = 2
	flagsConnectFailure = 6

	tlsSNI = 3

	requestAuthority   = 3
	requestHeaderBytes = 11
	requestBodyBytes   = 12

	responseHeaderBytes = 2
	responseBodyBytes   = 3

	connectionReceived = 1
	connectionSent     = 2

	addressSocket    = 1
	socketAddress    = 2
	socketPort       = 3
	upstreamOfTunnel = 1 // AccessLogType TcpUpstreamConnected
)

// accessLogs are what a message reports.
type accessLogs struct {
	destinations []report.DestinationReport
	entries      int // all of them
	bytes        int
}

// logsMessage is what a stream receives: a message is taken from the pool when it arrives,
// and not while the stream waits for it.
type logsMessage struct{ *accessLogs }

// decoded are messages that are not used any more: each has a list that fits most
// messages.
var decoded = sync.Pool{New: func() any { return &accessLogs{} }}

// mostKept is the length of a list that is used again: Envoy sends 8 KiB at once, which is
// 35 entries.
const mostKept = 100

// release makes the message free for another one. The caller keeps nothing of it.
func (l *accessLogs) release() {
	if cap(l.destinations) > mostKept {
		return
	}
	clear(l.destinations)
	*l = accessLogs{destinations: l.destinations[:0]}
	decoded.Put(l)
}

// joined are buffers for messages that arrive in parts: the first one of a stream has all
// that Envoy states about itself, which is 60 KiB, and after a start of the server all
// sidecars send theirs.
var joined = sync.Pool{New: func() any { return new([]byte) }}

// readParts decodes a message with read, which keeps nothing of it.
func readParts(parts mem.BufferSlice, read func([]byte) error) error {
	if len(parts) == 1 {
		return read(parts[0].ReadOnlyData())
	}
	buffer := joined.Get().(*[]byte)
	defer joined.Put(buffer)
	*buffer = (*buffer)[:0]
	for _, part := range parts {
		*buffer = append(*buffer, part.ReadOnlyData()...)
	}
	return read(*buffer)
}

func (l *accessLogs) size() (entries, bytes int) { return l.entries, l.bytes }

// at sets when the destinations were seen.
func (l *accessLogs) at(now time.Time) {
	for i := range l.destinations {
		l.destinations[i].First, l.destinations[i].Last = now, now
	}
}

// logEntry is what is used of an entry.
type logEntry struct {
	http                   bool
	local                  netip.AddrPort // the original destination
	sni, authority         []byte
	cluster, route         []byte
	connected, failed      bool // to an upstream address, or not
	noUpstream             bool // the cluster has no addresses: the one that blocks has none
	kind                   uint64
	sent, received         uint64
	sentHeaders, gotHeader uint64
}

// readAccessLogs decodes a message. Entries of declared destinations, and of what is
// not a destination, are skipped.
func readAccessLogs(data []byte, logs *accessLogs) error {
	logs.bytes = len(data)
	return eachField(data, func(number protowire.Number, value []byte) error {
		if number != logsHTTP && number != logsTCP {
			return nil
		}
		return eachField(value, func(field protowire.Number, entry []byte) error {
			if field != logsEntry {
				return nil
			}
			logs.entries++
			e := logEntry{http: number == logsHTTP}
			if err := e.read(entry); err != nil {
				return err
			}
			if d, ok := e.destination(); ok {
				logs.destinations = append(logs.destinations, d)
			}
			return nil
		})
	})
}

func (e *logEntry) read(data []byte) error {
	return eachValue(data, func(number protowire.Number, value []byte, _ uint64) error {
		switch {
		case number == entryCommon:
			return eachValue(value, e.readCommon)
		case e.http && number == entryRequest:
			return eachValue(value, e.readRequest)
		case e.http && number == entryResponse:
			return eachValue(value, e.readResponse)
		case !e.http && number == entryConnection:
			return eachValue(value, e.readConnection)
		}
		return nil
	})
}

func (e *logEntry) readCommon(number protowire.Number, value []byte, n uint64) error {
	switch number {
	case commonLocalAddress:
		return e.readAddress(value)
	case commonTLS:
		return eachField(value, func(number protowire.Number, value []byte) error {
			if number == tlsSNI {
				e.sni = value
			}
			return nil
		})
	case commonUpstreamAddress:
		e.connected = true
	case commonFlags:
		return eachValue(value, func(number protowire.Number, _ []byte, n uint64) error {
			e.failed = e.failed || number == flagsConnectFailure && n != 0
			e.noUpstream = e.noUpstream || number == flagsNoUpstream && n != 0
			return nil
		})
	case commonCluster:
		e.cluster = value
	case commonRoute:
		e.route = value
	case commonType:
		e.kind = n
	}
	return nil
}

func (e *logEntry) readAddress(data []byte) error {
	return eachField(data, func(number protowire.Number, value []byte) error {
		if number != addressSocket {
			return nil
		}
		return eachValue(value, func(number protowire.Number, value []byte, n uint64) error {
			switch number {
			case socketAddress:
				if a, err := netip.ParseAddr(string(value)); err == nil {
					e.local = netip.AddrPortFrom(a.Unmap().WithZone(""), e.local.Port())
				}
			case socketPort:
				if n <= math.MaxUint16 {
					e.local = netip.AddrPortFrom(e.local.Addr(), uint16(n))
				}
			}
			return nil
		})
	})
}

func (e *logEntry) readRequest(number protowire.Number, value []byte, n uint64) error {
	switch number {
	case requestAuthority:
		e.authority = value
	case requestHeaderBytes:
		e.sentHeaders = n
	case requestBodyBytes:
		e.sent = n
	}
	return nil
}

func (e *logEntry) readResponse(number protowire.Number, _ []byte, n uint64) error {
	switch number {
	case responseHeaderBytes:
		e.gotHeader = n
	case responseBodyBytes:
		e.received = n
	}
	return nil
}

// readConnection takes Envoy's point of view, which is the opposite of the workload's.
func (e *logEntry) readConnection(number protowire.Number, _ []byte, n uint64) error {
	switch number {
	case connectionReceived:
		e.sent = n
	case connectionSent:
		e.received = n
	}
	return nil
}

// destination is the undeclared destination of an entry; ok is false where it has none.
func (e *logEntry) destination() (d report.DestinationReport, ok bool) {
	if !e.local.IsValid() || e.local.Port() == 0 {
		return d, false
	}
	d.Port = e.local.Port()
	d.BytesSent, d.BytesReceived = saturated(e.sent, e.sentHeaders), saturated(e.received, e.gotHeader)
	if e.http {
		d.Protocol, d.Host, d.Requests = report.HTTP, report.CleanHost(string(e.authority)), 1
		switch string(e.route) {
		case egress.RouteAllowAny:
			d.Verdict, d.Rule = report.Passthrough, egress.RouteAllowAny
		case egress.RouteBlockAll:
			d.Verdict, d.Rule = report.Blocked, egress.RouteBlockAll
		case egress.RouteBlockPort:
			d.Verdict, d.Rule = report.Blocked, egress.RouteBlockPort
		default:
			return d, false
		}
	} else {
		d.Protocol, d.Host = report.TCP, report.CleanHost(string(e.sni))
		if d.Host != "" {
			d.Protocol = report.TLS
		}
		switch cluster := string(e.cluster); {
		case cluster == egress.PassthroughCluster:
			d.Verdict, d.Rule = report.Passthrough, egress.RouteAllowAny
		// Envoy reports the cluster of the upstream address, and a blocked connection has none.
		case cluster == egress.BlackHoleCluster || cluster == "" && e.noUpstream:
			d.Verdict, d.Rule = report.Blocked, egress.RouteBlockAll
		default:
			return d, false
		}
		// A forwarded connection is reported when it is connected, and again when it ends.
		if e.kind == upstreamOfTunnel || d.Verdict == report.Blocked || !e.connected || e.failed {
			d.Connections = 1
		}
	}
	if d.Host == "" {
		d.Host = e.local.Addr().String()
	}
	return d, true
}

func saturated(a, b uint64) uint64 {
	if a+b < a {
		return math.MaxUint64
	}
	return a + b
}

// eachValue calls f for the fields of a message that have bytes or an integer as their
// value.
func eachValue(data []byte, f func(number protowire.Number, value []byte, n uint64) error) error {
	for len(data) > 0 {
		number, kind, n := protowire.ConsumeTag(data)
		if n < 0 {
			return errMalformed
		}
		data = data[n:]
		var value []byte
		var integer uint64
		switch kind {
		case protowire.BytesType:
			value, n = protowire.ConsumeBytes(data)
		case protowire.VarintType:
			integer, n = protowire.ConsumeVarint(data)
		default:
			if n = protowire.ConsumeFieldValue(number, kind, data); n < 0 {
				return errMalformed
			}
			data = data[n:]
			continue
		}
		if n < 0 {
			return errMalformed
		}
		data = data[n:]
		if err := f(number, value, integer); err != nil {
			return err
		}
	}
	return nil
}
