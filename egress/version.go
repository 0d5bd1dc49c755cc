package egress

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"

	"google.golang.org/protobuf/proto"
)

// hash is the version of a view. Hosts are written without reflection: there may
// be thousands, and each change of an object makes the views anew.
func (v *View) hash() string {
	wire := proto.MarshalOptions{Deterministic: true}
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%v\n", v.mesh.text(), v.inCluster)
	if v.limited && v.mesh.RegistryOnly && v.mesh.BlockedBody { // a part of the reason
		fmt.Fprintln(h, "limited")
	}
	var line []byte
	for i := range v.hosts {
		line = v.hosts[i].appendText(line[:0])
		h.Write(line)
	}
	for _, d := range v.domains {
		if len(d.routes) > 0 {
			fmt.Fprintf(h, "%d %s %s/%s\n", v.hosts[d.host].Port, d.name, d.by.Namespace, d.by.Name)
		}
		for _, r := range d.routes {
			b, _ := wire.Marshal(r.Spec)
			fmt.Fprintf(h, "%q\n", b)
		}
	}
	for _, s := range v.sni {
		fmt.Fprintf(h, "%d %q %s/%s %s %+v\n", s.Port, s.Names, s.By.Namespace, s.By.Name, s.Route.Path, s.Route.Destinations)
	}
	return hex.EncodeToString(h.Sum(nil))[:16]
}

// text is all that a view depends on of the mesh's settings.
func (m Mesh) text() string {
	m.problems, m.visibility = nil, nil // hosts and routes follow from them
	m.serviceExports, m.routeExports = exportDefaults{}, exportDefaults{}
	fields := ""
	if m.AccessLog.Fields != nil {
		b, _ := proto.MarshalOptions{Deterministic: true}.Marshal(m.AccessLog.Fields) // a Struct read from JSON can always be marshaled
		fields = string(b)
	}
	m.AccessLog.Fields = nil // printing a pointer would print its address
	return fmt.Sprintf("%+v %q", m, fields)
}

// appendText appends all that a sidecar depends on of a host: everything but the
// object and its exports. Different hosts have different texts.
func (h *Host) appendText(b []byte) []byte {
	number := func(n uint32) { b = strconv.AppendUint(append(b, ' '), uint64(n), 10) }
	b = strconv.AppendQuote(b, h.Name)
	number(h.Port)
	number(uint32(h.Protocol))
	for _, e := range h.Endpoints {
		b = strconv.AppendQuote(append(b, ' '), e.Address)
		number(e.Port)
		number(e.Weight)
	}
	b = append(b, " target"...)
	number(h.TargetPort)
	for _, p := range h.Addresses {
		b = p.AppendTo(append(b, ' '))
	}
	b = strconv.AppendQuote(append(b, ' '), h.Of)
	b = strconv.AppendBool(append(b, ' '), h.AnyAddress)
	b = strconv.AppendBool(append(b, ' '), h.Unresolved)
	b = strconv.AppendBool(append(b, ' '), h.Shadowed)
	b = strconv.AppendBool(append(b, ' '), h.Passthrough)
	return append(b, '\n')
}
