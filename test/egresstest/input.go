package egresstest

import (
	"encoding/json"
	"math/rand/v2"
	"net/netip"
	"os"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/test/kit"
	"github.com/outrider-mesh/outrider/test/objects"
)

// Mesh compiles the text of a MeshConfig.
func Mesh(t testing.TB, text string) *egress.Mesh {
	t.Helper()
	c, problems := config.Parse(config.Texts{Mesh: text}, config.Labels{})
	kit.Must(t, problems.Err())
	return egress.CompileMesh(c.Mesh)
}

// Load reads an input from a file, as Parse does.
func Load(t testing.TB, file string) egress.Input {
	t.Helper()
	text, err := os.ReadFile(file)
	kit.Must(t, err)
	return Parse(t, string(text))
}

// Parse reads an input: the text of the mesh, then objects and in-cluster
// addresses, each a YAML document.
func Parse(t testing.TB, text string) egress.Input {
	t.Helper()
	documents := strings.Split(text, "\n---\n")
	in := egress.Input{Mesh: Mesh(t, documents[0])}
	for _, d := range documents[1:] {
		var o struct {
			Kind     string
			Metadata egress.Meta
			Spec     json.RawMessage
			Reports  bool
			// BlockedBody is that of the input.
			BlockedBody bool
			InCluster   []struct {
				Address netip.Addr
				Ports   []uint16
				Service egress.ServiceName
				// Namespace is the only one that reaches the address; empty: all.
				Namespace string
			}
		}
		kit.Must(t, yaml.Unmarshal([]byte(d), &o))
		switch o.Kind {
		case egress.KindServiceEntry, egress.KindVirtualService, egress.KindSidecar:
			spec, problems := egress.Decode(o.Kind, o.Metadata, o.Spec)
			kit.Must(t, problems.Err())
			in.Add(o.Metadata, spec, len(o.Spec))
			in.Problems = append(in.Problems, problems...)
		default:
			in.Reports, in.BlockedBody = in.Reports || o.Reports, in.BlockedBody || o.BlockedBody
			for _, d := range o.InCluster {
				in.InCluster = append(in.InCluster, egress.InClusterAddress{Address: d.Address, Ports: d.Ports, Service: d.Service, Namespace: d.Namespace})
			}
		}
	}
	return in
}

// EntryText is an input with one ServiceEntry, shop/e.
func EntryText(spec string) string { return objectText(egress.KindServiceEntry, "e", spec) }

// RouteText is an input with one VirtualService, shop/v.
func RouteText(spec string) string { return objectText(egress.KindVirtualService, "v", spec) }

// SidecarText is an input with one Sidecar, shop/s.
func SidecarText(spec string) string { return objectText(egress.KindSidecar, "s", spec) }

func objectText(kind, name, spec string) string {
	return "accessLogFile: /dev/stdout\n\n---\nkind: " + kind + "\nmetadata: {namespace: shop, name: " + name + "}\nspec: " + spec + "\n"
}

// Random is an input with n random ServiceEntries and VirtualServices.
func Random(t testing.TB, r *rand.Rand, n int) egress.Input {
	t.Helper()
	mode := objects.Pick(r, "ALLOW_ANY", "REGISTRY_ONLY")
	in := egress.Input{Mesh: Mesh(t, "accessLogFile: "+objects.Pick(r, "/dev/stdout", "/dev/stderr", "\"\"")+"\noutboundTrafficPolicy: {mode: "+mode+"}\n")}
	for i := range n {
		e, v := objects.ServiceEntry(r, i), objects.VirtualService(r, i, false)
		in.ServiceEntries = append(in.ServiceEntries, egress.ServiceEntry{Meta: egress.Meta{Namespace: e.Namespace, Name: e.Name, Created: e.Created}, Spec: e.Spec})
		in.VirtualServices = append(in.VirtualServices, egress.VirtualService{Meta: egress.Meta{Namespace: v.Namespace, Name: v.Name, Created: v.Created}, Spec: v.Spec})
		in.InCluster = append(in.InCluster, egress.InClusterAddress{
			Address: netip.AddrFrom4([4]byte{10, 96, 0, byte(r.IntN(20))}), Ports: objects.Pick(r, nil, []uint16{80}, []uint16{443, 9000}, []uint16{3306}),
		})
	}
	return in
}
