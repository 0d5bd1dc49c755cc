package egress

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	networkingv1alpha3 "istio.io/api/networking/v1alpha3"

	"github.com/outrider-mesh/outrider/test/envoy"
)

// TestRandomObjects has the real Envoy accept what is made of 500 random
// entries, with and without errors in them, in worlds of 50.
func TestRandomObjects(t *testing.T) {
	program := envoy.Require(t)
	const worlds, entries = 10, 50
	made := 0
	for seed := range uint64(worlds) {
		r := rand.New(rand.NewPCG(seed, 1))
		in := randomInput(t, r, entries)
		model, _ := Build(in)
		v := model.View("shop")
		made += len(v.hosts)
		validate(t, program, messagesOf(t, v))
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	if made < worlds*entries/2 {
		t.Errorf("only %d hosts were made: the objects are too bad to show anything", made)
	}
}

func randomInput(t testing.TB, r *rand.Rand, n int) Input {
	t.Helper()
	mode := pick(r, "ALLOW_ANY", "REGISTRY_ONLY")
	in := Input{Mesh: meshOf(t, "accessLogFile: "+pick(r, "/dev/stdout", "/dev/stderr", "\"\"")+"\noutboundTrafficPolicy: {mode: "+mode+"}\n")}
	for i := range n {
		s := &networkingv1alpha3.ServiceEntry{Resolution: networkingv1alpha3.ServiceEntry_Resolution(r.IntN(4))}
		for range 1 + r.IntN(3) {
			s.Hosts = append(s.Hosts, pick(r, "*.", "", "", "")+fmt.Sprintf("h%d.%s.example", r.IntN(40), pick(r, "a", "b", "X", "_c")))
		}
		for j := range 1 + r.IntN(3) {
			s.Ports = append(s.Ports, &networkingv1alpha3.ServicePort{
				Number: pick[uint32](r, 80, 443, 8080, 9000, 3306, 1, 65535), Name: fmt.Sprint("p", j),
				Protocol:   pick(r, "HTTP", "HTTPS", "TLS", "TCP", "GRPC", "HTTP2", "MONGO", ""),
				TargetPort: pick[uint32](r, 0, 0, 8081),
			})
		}
		for range r.IntN(3) {
			s.Addresses = append(s.Addresses, pick(r, "192.0.2.1", "192.0.2.0/24", "192.0.2.128/25", "2001:db8::/32", "198.51.100.7", "10.0.0.0/8", "10.96.0.1"))
		}
		for range r.IntN(3) {
			s.Endpoints = append(s.Endpoints, &networkingv1alpha3.WorkloadEntry{
				Address: pick(r, "192.0.2.9", "2001:db8::9", "e.example", "::ffff:192.0.2.8"), Weight: uint32(r.IntN(3)),
				Ports: map[string]uint32{"p0": pick[uint32](r, 7000, 7001)},
			})
		}
		meta := Meta{Namespace: pick(r, "shop", "bank", "istio-system"), Name: fmt.Sprint(i), Created: time.Unix(int64(r.IntN(5)), 0)}
		in.ServiceEntries = append(in.ServiceEntries, ServiceEntry{meta, s})
		name, _ := normalHost(s.Hosts[0])
		in.VirtualServices = append(in.VirtualServices, VirtualService{meta, &networkingv1alpha3.VirtualService{
			Hosts: []string{name}, Http: []*networkingv1alpha3.HTTPRoute{{
				Timeout: durationpb.New(time.Duration(r.IntN(3)) * time.Second),
				Route:   []*networkingv1alpha3.HTTPRouteDestination{{Destination: &networkingv1alpha3.Destination{Host: name}}},
			}},
		}})
		in.InCluster = append(in.InCluster, Destination{
			Address: netip.AddrFrom4([4]byte{10, 96, 0, byte(r.IntN(20))}), Ports: pick(r, nil, []uint16{80}, []uint16{443, 9000}, []uint16{3306}),
		})
	}
	return in
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }
