package egress_test

import (
	"fmt"
	"strings"
	"testing"

	networkingv1alpha3 "istio.io/api/networking/v1alpha3"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/test/kit"
)

// TestEntriesForTheInside has entries for the cluster, the machine and metadata
// services, by name, by address and in the forms that have an IPv4 address in them.
func TestEntriesForTheInside(t *testing.T) {
	problems := func(spec string) string {
		t.Helper()
		s := &networkingv1alpha3.ServiceEntry{}
		kit.Must(t, s.UnmarshalJSON([]byte(spec)))
		_, found := egress.Build(egress.Input{Mesh: &egress.Mesh{}, ServiceEntries: []egress.ServiceEntry{{Meta: egress.Meta{Namespace: "shop", Name: "x"}, Spec: s}}})
		return fmt.Sprint(found)
	}
	host := func(name string) string {
		return problems(`{"hosts": ["` + name + `"], "ports": [{"number": 443, "name": "tls", "protocol": "TLS"}], "resolution": "NONE"}`)
	}
	address := func(a string) string {
		return problems(`{"hosts": ["x.test"], "addresses": ["` + a + `"], "ports": [{"number": 9001, "name": "tcp", "protocol": "TCP"}], "resolution": "NONE"}`)
	}
	endpoint := func(a string) string {
		return problems(`{"hosts": ["x.test"], "endpoints": [{"address": "` + a + `"}], "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}], "resolution": "DNS"}`)
	}
	for name, want := range map[string]string{
		"kubernetes.default.svc": "API server", "Kubernetes.Default.svc.cluster.local.": "API server", "kubernetes.default": "API server", "db.shop.svc": "own Services", "*.svc.cluster.local": "own Services",
		"metadata.google.internal": "metadata service", "instance-data.ec2.internal": "metadata service", "localhost": "machine itself", "x.localhost": "machine itself",
		"www.google.com": "", "kubernetes.io": "", "*.svc.example.com": "", "cluster.local.example.com": "",
	} {
		if got := host(name); !strings.Contains(got, want) || want == "" && got != "[]" && got != "" {
			t.Errorf("host %s: %s, want %q", name, got, want)
		}
		if got := endpoint(name); want != "" && name[0] != '*' && !strings.Contains(got, want) {
			t.Errorf("endpoint %s: %s, want %q", name, got, want)
		}
	}
	for a, want := range map[string]string{
		"169.254.169.254": "metadata service is at 169.254.169.254", "169.254.0.0/16": "metadata service", "127.0.0.1": "loopback", "100.100.100.200": "metadata service", "168.63.129.16": "metadata service", "fd00:ec2::254": "metadata service", "fd00::/8": "metadata service",
		"64:ff9b::a9fe:a9fe": "NAT64 form of 169.254.169.254", "64:ff9b:1::7f00:1": "NAT64 form of 127.0.0.1", "2002:a9fe:a9fe::1": "6to4 form of 169.254.169.254", "2001:0:1::5601:5601": "Teredo form of 169.254.169.254",
		"::ffff:0:a9fe:a9fe": "IPv4-translated form of 169.254.169.254", "::a9fe:a9fe": "IPv4-compatible form of 169.254.169.254", "::ffff:169.254.169.254": "metadata service", "64:ff9b::a00:1": "NAT64 form of 10.0.0.1",
		"198.51.100.7": "", "2001:db8::7": "", "10.0.0.0/8": "", "2606:4700::1111": "",
	} {
		if got := address(a); !strings.Contains(got, want) || want == "" && got != "[]" && got != "" {
			t.Errorf("address %s: %s, want %q", a, got, want)
		}
		if strings.Contains(a, "/") {
			continue
		}
		if got := endpoint(a); want != "" && !strings.Contains(got, want) && !strings.Contains(got, "loopback and link-local addresses are not allowed") {
			t.Errorf("endpoint %s: %s, want %q", a, got, want)
		}
	}
}
