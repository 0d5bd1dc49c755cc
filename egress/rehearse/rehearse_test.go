package rehearse

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/egress/report"
	"github.com/outrider-mesh/outrider/test/kit"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func seen(workload, name string, number uint16, protocol report.Protocol) report.Host {
	return report.Host{Namespace: "shop", Workload: report.Workload{Kind: "Deployment", Name: workload}, DestinationReport: report.DestinationReport{
		Destination: report.Destination{Host: name, Port: number, Protocol: protocol, Verdict: report.Passthrough, Rule: "allow_any"},
		Counts:      report.Counts{First: start, Last: start, Connections: 1, Requests: 1},
	}}
}

// inputOf reads the objects of a proposal.
func inputOf(t testing.TB, text string) (in egress.Input) {
	t.Helper()
	for _, document := range strings.Split(text, "---\n") {
		var o struct {
			Kind     string
			Metadata egress.Meta
			Spec     json.RawMessage
		}
		kit.Must(t, yaml.UnmarshalStrict([]byte(document), &struct {
			APIVersion, Kind string
			Metadata         struct{ Name, Namespace string }
			Spec             map[string]any
		}{}))
		kit.Must(t, yaml.Unmarshal([]byte(document), &o))
		if o.Kind != egress.KindServiceEntry {
			continue
		}
		spec, problems := egress.Decode(o.Kind, o.Metadata, o.Spec)
		kit.Must(t, problems.Err())
		in.Add(o.Metadata, spec, len(o.Spec))
	}
	return in
}

const want = `# What the workloads of namespace shop connected to, and no ServiceEntry declares for it.
# The proposal is incomplete: about 12 more hosts of Deployment/crawler exceed the limits of the report, and would be blocked.
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata:
  name: cart-http-80
  namespace: shop
spec:
  exportTo: ["."]
  hosts:
  - "a.test" # Deployment/cart; last seen 2026-03-01T12:00:00Z, 2 times
  - "b.test" # Deployment/cart; last seen 2026-03-01T12:00:00Z, 2 times
  ports:
  - {number: 80, name: http-80, protocol: HTTP}
  location: MESH_EXTERNAL
  resolution: DNS
---
# Seen as addresses: without SNI and Host, or with an address as the Host. A name of the
# service with its own ServiceEntry is better, if clients can use it.
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata:
  name: cart-tcp-5432-addresses
  namespace: shop
spec:
  exportTo: ["."]
  hosts:
  - "cart-tcp-5432-addresses.addresses.invalid"
  addresses:
  - "192.0.2.7" # Deployment/cart; last seen 2026-03-01T12:00:00Z, 2 times
  ports:
  - {number: 5432, name: tcp-5432, protocol: TCP}
  location: MESH_EXTERNAL
  resolution: NONE
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata:
  name: shared-tls-443
  namespace: shop
spec:
  exportTo: ["."]
  hosts:
  - "pay.test" # Deployment/cart, Deployment/pay; last seen 2026-03-01T12:00:00Z, 4 times; port 443 was also HTTP, and has one protocol
  ports:
  - {number: 443, name: tls-443, protocol: TLS}
  location: MESH_EXTERNAL
  resolution: DNS
---
# Everything else is blocked in the namespace.
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata:
  name: default
  namespace: shop
spec:
  outboundTrafficPolicy:
    mode: REGISTRY_ONLY
`

func TestPropose(t *testing.T) {
	all := []report.Host{
		seen("cart", "b.test", 80, report.HTTP), seen("cart", "a.test", 80, report.HTTP), seen("cart", "192.0.2.7", 5432, report.TCP),
		seen("pay", "pay.test", 443, report.TLS), seen("cart", "pay.test", 443, report.HTTP),
	}
	o := Options{Namespace: "shop", Enforce: true, More: []report.MoreHosts{{Namespace: "shop", Workload: &report.Workload{Kind: "Deployment", Name: "crawler"}, Number: 12}}}
	p := Propose(o, all)
	if p.Text != want || p.Entries != 3 {
		t.Errorf("%d entries:\n%s\nwant\n%s", p.Entries, p.Text, want)
	}
	if w := p.Warnings; len(w) != 2 || !strings.HasPrefix(w[0], "The proposal is incomplete: about 12 more hosts of Deployment/crawler ") ||
		!strings.HasPrefix(w[1], "pay.test on port 443 (HTTP), of Deployment/cart, would be blocked with this proposal, too: no ServiceEntry visible to this namespace declares pay.test for HTTP on port 443 (REGISTRY_ONLY)") {
		t.Errorf("warnings %q", w)
	}
	p = Propose(Options{Namespace: "shop", Wildcards: []string{"*.example.com"}}, []report.Host{
		seen("cart", "a.example.com", 443, report.TLS), seen("cart", "b.example.com", 443, report.TLS), seen("cart", "example.com", 443, report.TLS), seen("cart", "a_b.c", 15001, report.TLS),
	})
	stopped := seen("cart", "a.test", 443, report.TLS)
	stopped.Verdict = report.Blocked
	for text, all := range map[string][]report.Host{", 2 times; was blocked\n": {stopped}, ", 4 times\n": {stopped, seen("pay", "a.test", 443, report.TLS)}} {
		if got := Propose(Options{Namespace: "shop"}, all).Text; !strings.Contains(got, text) {
			t.Errorf("%q is not in\n%s", text, got)
		}
	}
	got := p.Text
	if len(p.Warnings) != 1 || !strings.Contains(p.Warnings[0], "a_b.c on port 15001") {
		t.Errorf("warnings %q", p.Warnings)
	}
	for _, part := range []string{"cart-tls-443-wildcards", `- "*.example.com" # `, `- "example.com" # `, "# a_b.c on port 15001, of Deployment/cart, would be blocked: "} {
		if !strings.Contains(got, part) {
			t.Errorf("%q is not in\n%s", part, got)
		}
	}
	if strings.Contains(got, "a.example.com") {
		t.Errorf("a name that the wildcard matches:\n%s", got)
	}
}

// TestProposalsAllowWhatWasSeen has random reports: the proposed objects have no problem,
// and allow all that was seen and nothing else. The order of the report has no effect.
func TestProposalsAllowWhatWasSeen(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for n := range 100 {
		var all []report.Host
		protocols := map[string]report.Protocol{} // of a port, on which one is detected
		for range 1 + r.IntN(60) {
			number := []uint16{80, 443, 8080, 5432, 9000}[r.IntN(5)]
			protocol := []report.Protocol{report.HTTP, report.TLS, report.TCP}[r.IntN(3)]
			name := fmt.Sprintf("host-%d.test", r.IntN(30))
			if protocol == report.TCP || r.IntN(10) == 0 {
				name = fmt.Sprintf([]string{"192.0.2.%d", "2001:db8::%d"}[r.IntN(2)], 1+r.IntN(15))
			}
			key := fmt.Sprint(name, number)
			if protocols[key] == "" {
				protocols[key] = protocol
			}
			all = append(all, seen(fmt.Sprint("w-", r.IntN(4)), name, number, protocols[key]))
		}
		proposal := Propose(Options{Namespace: "shop"}, all)
		text, entries := proposal.Text, proposal.Entries
		r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		if again := Propose(Options{Namespace: "shop"}, all); again.Text != text || len(again.Warnings)+len(proposal.Warnings) > 0 {
			t.Fatalf("the order has an effect:\n%s\n%s\n%q", text, again.Text, proposal.Warnings)
		}
		in := inputOf(t, text)
		if len(in.ServiceEntries) != entries {
			t.Fatalf("%d objects, and %d are counted", len(in.ServiceEntries), entries)
		}
		if _, problems := egress.Build(in); problems.Err() != nil { // a port may be an unusual one
			t.Fatalf("%v\n%s", problems, text)
		}
		views := NewViews(Enforced(in), "shop", nil)
		if blocked := views.Blocked(all); len(blocked) > 0 {
			t.Fatalf("%d: %+v are blocked by\n%s", n, blocked, text)
		}
		others := []report.Host{seen("w", "198.51.100.1", 443, report.TLS), seen("w", "198.51.100.1", 80, report.HTTP), seen("w", "2001:db8:1::1", 80, report.HTTP), seen("w", "other.test", 443, report.TLS), seen("w", "other.test", 80, report.HTTP), seen("w", "198.51.100.1", 5432, report.TCP)}
		if blocked := views.Blocked(others); len(blocked) != len(others) {
			t.Fatalf("of what was not seen only %+v is blocked by\n%s", blocked, text)
		}
		if elsewhere := NewViews(Enforced(in), "bank", nil).Blocked(all); len(elsewhere) != len(all) {
			t.Fatalf("the proposal allows hosts in another namespace")
		}
	}
}

func TestAllow(t *testing.T) {
	for _, tt := range []struct{ args, want string }{
		{"api.test", `hosts: ["api.test"] 443 TLS DNS`},
		{"API.test:80", `hosts: ["api.test"] 80 HTTP DNS`},
		{"http://api.test:8080", `hosts: ["api.test"] 8080 HTTP DNS`},
		{"https://a.test/ b.test", `hosts: ["a.test","b.test"] 443 TLS DNS`},
		{"*.a.test", `hosts: ["*.a.test"] 443 TLS NONE`},
		{"tcp://192.0.2.1:5432", `hosts: ["allow-192.0.2.1-tcp-5432.addresses.invalid"] 5432 TCP NONE`},
		{"tcp://[2001:db8::1]:5432", `hosts: ["allow-2001-db8--1-tcp-5432.addresses.invalid"] 5432 TCP NONE`},
		{"a.test b.test:80", `hosts: ["b.test"] 80 HTTP DNS; hosts: ["a.test"] 443 TLS DNS`},
		{"ftp://a.test", `error: "ftp://a.test": unknown scheme; use http, https, tls or tcp`},
		{"a..b", `error: "a..b": not a host; use a DNS name or an IP address, with :PORT or without`},
		{"a.test:0", `error: "a.test:0": invalid port; use a number from 1 to 65535`},
		{"tcp://a.test", `error: "tcp://a.test": TCP requires a port, such as tcp://192.0.2.1:5432`},
	} {
		text, err := Allow("shop", strings.Fields(tt.args))
		got := ""
		if err != nil {
			got = "error: " + err.Error()
		} else {
			in := inputOf(t, text)
			if _, problems := egress.Build(in); len(problems) > 0 {
				t.Errorf("%s: %v", tt.args, problems.Err())
			}
			var parts []string
			for _, e := range in.ServiceEntries {
				hosts, _ := json.Marshal(e.Spec.Hosts)
				parts = append(parts, fmt.Sprintf("hosts: %s %d %s %s", hosts, e.Spec.Ports[0].Number, e.Spec.Ports[0].Protocol, e.Spec.Resolution))
			}
			got = strings.Join(parts, "; ")
		}
		if got != tt.want {
			t.Errorf("%s: %s, want %s\n%s", tt.args, got, tt.want, text)
		}
	}
}

// kubectl replaces an object of the same name: other hosts or ports have another name.
func TestAllow_Names(t *testing.T) {
	long := strings.Repeat("a", 63)
	names := map[string]string{}
	for _, args := range []string{"a.test", "a.test:8443", "http://a.test", "*.a.test", "a.test b.test", "a.test c.test", long + ".test", long + ".example", "any.a.test:444", "192.0.2.1", "tcp://192.0.2.1:443 a-b.test:80"} {
		text, err := Allow("shop", strings.Fields(args))
		kit.Must(t, err)
		again, err := Allow("shop", strings.Fields(args))
		kit.Must(t, err)
		if text != again {
			t.Errorf("%s: %s, then %s", args, text, again)
		}
		for _, e := range inputOf(t, text).ServiceEntries {
			if errs := validation.IsDNS1123Subdomain(e.Name); len(errs) > 0 {
				t.Errorf("%s: %s: %v", args, e.Name, errs)
			}
			if other := names[e.Name]; other != "" {
				t.Errorf("%q and %q are %s", other, args, e.Name)
			}
			names[e.Name] = args
		}
	}
}

// What REGISTRY_ONLY would block does not depend on the policy that a Sidecar has now.
func TestEnforced_OverASidecar(t *testing.T) {
	m := egress.Meta{Namespace: "shop", Name: "default"}
	for _, policy := range []string{"", `"outboundTrafficPolicy":{"mode":"ALLOW_ANY"},`} {
		spec, problems := egress.Decode(egress.KindSidecar, m, []byte(`{`+policy+`"egress":[{"hosts":["./*"]}]}`))
		kit.Must(t, problems.Err())
		var in egress.Input
		in.Add(m, spec, 0)
		if got := NewViews(Enforced(in), "shop", nil).Blocked([]report.Host{seen("web", "a.example", 443, report.TLS)}); len(got) != 1 {
			t.Errorf("%q: %d hosts are blocked, want 1", policy, len(got))
		}
		if s := in.Sidecars[0].Spec; (s.OutboundTrafficPolicy != nil) != (policy != "") {
			t.Errorf("%q: the input was changed", policy)
		}
	}
}
