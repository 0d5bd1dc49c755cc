package e2e

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/outrider-mesh/outrider/explain"
)

// explained: what "outrider explain" prints about pods of the cluster is what happens to
// their connections: with both policies, to declared and other hosts, to a Service, and to
// a range that one of the pods excludes.
func explained(t *testing.T, s *Suite) {
	n := s.Namespace(t, "explained", injected)
	t.Cleanup(func() { s.undo(t, "kubectl apply -f deploy/settings.yaml") })
	n.annotated("plain", "a: b")
	n.annotated("excluding", "traffic.sidecar.istio.io/excludeOutboundIPRanges: "+prefix(s.Host(other).IPv4))
	n.run(httpbinEntry)
	n.run(googleEntry)
	n.ready("plain", "excluding")
	const cnn = "https://edition.cnn.com/"
	connections, outcomes := 0, map[string]int{}
	for _, m := range []struct {
		edit, cnn string
		pods      []string
	}{{toRegistryOnly, "command terminated", []string{"plain", "excluding"}}, {toAllowAny, "200", []string{"excluding"}}} {
		n.run(m.edit)
		for _, name := range m.pods {
			pod := n.pod("pod/" + name)
			eventually(t, "pod "+name+" has the policy", func() error {
				if out, _ := pod.curl("-o /dev/null -w '%{http_code}' " + cnn); !strings.Contains(out, m.cnn) {
					return fmt.Errorf("%s: %s", cnn, out)
				}
				return nil
			})
			before := pod.rules()
			for _, c := range n.explain(name) {
				connections++
				outcomes[c.Outcome]++
				before = pod.happens(c, before)
			}
		}
	}
	t.Logf("%d connections: %v", connections, outcomes)
	if connections < 50 || outcomes[explain.Blocked] == 0 || outcomes[explain.Bypassed] == 0 || outcomes[explain.Forwarded] == 0 {
		t.Errorf("%d connections: %v", connections, outcomes)
	}
}

// explain is what the command prints about connections of a pod.
func (n *Namespace) explain(pod string) (out []explain.Connection) {
	n.t.Helper()
	lines := []string{"--to httpbin." + servers + ":8000 --protocol http"}
	for _, name := range []string{httpbin, other, "www.google.com", "edition.cnn.com"} {
		h := n.Host(name)
		line := "--to " + name + " --address " + h.IPv4.String()
		if n.Own() {
			line += " --address " + h.IPv6.String()
		}
		lines = append(lines, line)
	}
	for _, line := range lines {
		var a explain.Answer
		text := n.run("outrider explain pod/" + pod + " -o json " + line)
		if err := json.Unmarshal([]byte(text), &a); err != nil {
			n.t.Fatalf("%v: %s", err, text)
		}
		if a.Result != explain.Injected || a.Webhook.Result != explain.Selected || a.Running == nil || !a.Running.Injected {
			n.t.Errorf("pod %s: %+v %+v %+v", pod, a.Result, a.Webhook, a.Running)
		}
		out = append(out, a.Destinations[0].Paths...)
	}
	return out
}

// happens makes a connection, and compares it with its explanation. It returns the counters
// of the redirect, which before has as they were.
func (p *Pod) happens(c explain.Connection, before map[string]int) map[string]int {
	t := p.n.t
	t.Helper()
	scheme := "http"
	if c.Protocol == "tls" {
		scheme = "https"
	}
	host, _, _ := strings.Cut(c.Name, ":")
	address := c.Address
	if netip.MustParseAddr(address).Is6() {
		address = "[" + address + "]"
	}
	out, _ := p.curl(fmt.Sprintf("-o /dev/null -w '%%{http_code}' --resolve %s:%d:%s %s://%s:%[2]d/headers", host, c.Port, address, scheme, host))
	blocked := strings.Contains(out, "502") || strings.Contains(out, "000")
	if blocked != (c.Outcome == explain.Blocked) {
		t.Errorf("pod %s: %s, explained as %+v %+v", p.name, out, c, c.Sidecar)
	}
	after := p.rules()
	if after == nil {
		return nil
	}
	for _, rule := range []string{"everything", "excluded-range"} {
		if by := after[rule] - before[rule]; by > 0 != (rule == c.Redirect.ID) {
			t.Errorf("pod %s: rule %s decided %d connections, explained as %+v", p.name, rule, by, c)
		}
	}
	return after
}
