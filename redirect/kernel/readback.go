//go:build linux

package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// readElements dumps a set. It has a socket of its own because the size of the
// reader's buffer decides how much the kernel gives at once, and the kernel
// walks the set from its beginning for every message: with the library's
// 4 KiB, reading 100,000 elements takes longer than writing them.
func readElements(table *nftables.Table, set string) ([]boundary, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, err
	}
	defer func() { _ = unix.Close(fd) }()
	request, err := dumpRequest(table, set)
	if err != nil {
		return nil, err
	}
	if err := unix.Sendto(fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, err
	}
	// The kernel gives 32 KiB at most.
	buf := make([]byte, 64<<10)
	var out []boundary
	for {
		n, _, flags, _, err := unix.Recvmsg(fd, buf, nil, 0)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return nil, err
		case flags&unix.MSG_TRUNC != 0:
			return nil, errors.New("the kernel's response was truncated")
		}
		more, err := decodeDump(buf[:n], &out)
		if err != nil || !more {
			return out, err
		}
	}
}

func dumpRequest(table *nftables.Table, set string) ([]byte, error) {
	attrs, err := netlink.MarshalAttributes([]netlink.Attribute{
		{Type: unix.NFTA_SET_ELEM_LIST_TABLE, Data: []byte(table.Name + "\x00")},
		{Type: unix.NFTA_SET_ELEM_LIST_SET, Data: []byte(set + "\x00")},
	})
	if err != nil {
		return nil, err
	}
	// struct nfgenmsg: family, version, resource id.
	data := append([]byte{byte(table.Family), unix.NFNETLINK_V0, 0, 0}, attrs...)
	return netlink.Message{
		Header: netlink.Header{
			Length: uint32(unix.NLMSG_HDRLEN + len(data)),
			Type:   netlink.HeaderType(unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETSETELEM),
			Flags:  netlink.Request | netlink.Dump,
		},
		Data: data,
	}.MarshalBinary()
}

// decodeDump takes the elements out of one answer; more reports whether others
// follow.
func decodeDump(b []byte, out *[]boundary) (more bool, err error) {
	for len(b) >= unix.NLMSG_HDRLEN {
		length := int(binary.NativeEndian.Uint32(b))
		kind := binary.NativeEndian.Uint16(b[4:])
		flags := binary.NativeEndian.Uint16(b[6:])
		if length < unix.NLMSG_HDRLEN || length > len(b) {
			return false, fmt.Errorf("netlink message of %d bytes in %d", length, len(b))
		}
		body := b[unix.NLMSG_HDRLEN:length]
		b = b[min(len(b), (length+3)&^3):]
		switch {
		case flags&unix.NLM_F_DUMP_INTR != 0:
			return false, errors.New("the rules changed while they were read")
		case kind == unix.NLMSG_DONE || kind == unix.NLMSG_ERROR:
			if len(body) >= 4 {
				if code := int32(binary.NativeEndian.Uint32(body)); code < 0 {
					return false, unix.Errno(-code)
				}
			}
			return false, nil
		case kind == unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_NEWSETELEM && len(body) >= 4:
			if err := decodeElements(body[4:], out); err != nil {
				return false, err
			}
		}
	}
	return true, nil
}

func decodeElements(list []byte, out *[]boundary) error {
	return attributes(list, func(kind uint16, elements []byte) error {
		if kind != unix.NFTA_SET_ELEM_LIST_ELEMENTS {
			return nil
		}
		return attributes(elements, func(_ uint16, element []byte) error {
			var e boundary
			err := attributes(element, func(kind uint16, data []byte) error {
				switch kind {
				case unix.NFTA_SET_ELEM_FLAGS:
					if len(data) == 4 {
						e.end = binary.BigEndian.Uint32(data)&unix.NFT_SET_ELEM_INTERVAL_END != 0
					}
				case unix.NFTA_SET_ELEM_KEY:
					return attributes(data, func(_ uint16, key []byte) error {
						if len(key) > len(e.key) {
							return fmt.Errorf("set element of %d bytes", len(key))
						}
						e.size = uint8(copy(e.key[:], key))
						return nil
					})
				}
				return nil
			})
			*out = append(*out, e)
			return err
		})
	})
}

// attributes calls f for each netlink attribute.
func attributes(b []byte, f func(kind uint16, data []byte) error) error {
	for len(b) >= unix.SizeofNlAttr {
		length := int(binary.NativeEndian.Uint16(b))
		if length < unix.SizeofNlAttr || length > len(b) {
			return fmt.Errorf("netlink attribute of %d bytes in %d", length, len(b))
		}
		kind := binary.NativeEndian.Uint16(b[2:]) &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
		if err := f(kind, b[unix.SizeofNlAttr:length]); err != nil {
			return err
		}
		b = b[min(len(b), (length+3)&^3):]
	}
	return nil
}
