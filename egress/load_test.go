package egress

import (
	"encoding/json"
	"net/netip"
	"os"
	"strings"
	"testing"

	networkingv1alpha3 "istio.io/api/networking/v1alpha3"
	"sigs.k8s.io/yaml"
)

// load reads an input: the mesh's text, then objects and in-cluster
// destinations, each a document of YAML.
func load(t testing.TB, file string) Input {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, string(text))
}

func parse(t testing.TB, text string) Input {
	t.Helper()
	documents := strings.Split(text, "\n---\n")
	in := Input{Mesh: meshOf(t, documents[0])}
	for _, d := range documents[1:] {
		var o struct {
			Kind      string
			Metadata  Meta
			Spec      json.RawMessage
			InCluster []struct {
				Address netip.Addr
				Ports   []uint16
			}
		}
		if err := yaml.Unmarshal([]byte(d), &o); err != nil {
			t.Fatal(err)
		}
		switch o.Kind {
		case KindServiceEntry:
			s := &networkingv1alpha3.ServiceEntry{}
			decode(t, s, o.Spec)
			in.ServiceEntries = append(in.ServiceEntries, ServiceEntry{o.Metadata, s})
		case KindVirtualService:
			s := &networkingv1alpha3.VirtualService{}
			decode(t, s, o.Spec)
			in.VirtualServices = append(in.VirtualServices, VirtualService{o.Metadata, s})
		default:
			for _, d := range o.InCluster {
				in.InCluster = append(in.InCluster, InClusterAddress{d.Address, d.Ports})
			}
		}
	}
	return in
}

func decode(t testing.TB, into json.Unmarshaler, text []byte) {
	t.Helper()
	if err := into.UnmarshalJSON(text); err != nil {
		t.Fatal(err)
	}
}
