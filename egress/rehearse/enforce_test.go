package rehearse

import (
	"strings"
	"testing"
	"time"

	meshconfig "istio.io/api/mesh/v1alpha1"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/egress/report"
	"github.com/outrider-mesh/outrider/test/kit"
)

// with adds objects, each KIND NAMESPACE/NAME SPEC, the oldest first.
func with(t testing.TB, in egress.Input, objects ...string) egress.Input {
	t.Helper()
	for i, text := range objects {
		f := strings.SplitN(text, " ", 3)
		namespace, name, _ := strings.Cut(f[1], "/")
		m := egress.Meta{Namespace: namespace, Name: name, Created: start.Add(time.Duration(i) * time.Second)}
		spec, problems := egress.Decode(f[0], m, []byte(f[2]))
		kit.Must(t, problems.Err())
		in.Add(m, spec, 0)
	}
	return in
}

// A second proposal leaves the objects of the first one as they are: kubectl replaces an
// object of the same name, and with it the hosts that it had.
func TestPropose_Again(t *testing.T) {
	first := seen("cart", "a.test", 443, report.TLS)
	o := Options{Namespace: "shop"}
	o.Objects = inputOf(t, Propose(o, []report.Host{first}).Text)
	p := Propose(o, []report.Host{first, seen("cart", "b.test", 443, report.TLS)})
	if !strings.Contains(p.Text, "name: cart-tls-443-2\n") || strings.Contains(p.Text, "a.test") || p.Entries != 1 {
		t.Errorf("the second proposal:\n%s", p.Text)
	}
	o.Objects.ServiceEntries = append(o.Objects.ServiceEntries, inputOf(t, p.Text).ServiceEntries...)
	if p = Propose(o, []report.Host{first, seen("cart", "b.test", 443, report.TLS)}); p.Entries != 0 || len(p.Warnings) != 0 {
		t.Errorf("all is declared: %+v", p)
	}
}

// TestEnforce: the proposal has a Sidecar where it has an effect, and never a second one
// of the namespace.
func TestEnforce(t *testing.T) {
	const (
		printed  = "kind: Sidecar\nmetadata:\n  name: default\n"
		selector = `"workloadSelector":{"labels":{"app":"web"}}`
	)
	for name, c := range map[string]struct {
		objects      []string
		text, absent string
		warning      string
	}{
		"none":                   {nil, printed, "", ""},
		"of another":             {[]string{`Sidecar bank/default {}`}, printed, "", ""},
		"its own":                {[]string{`Sidecar shop/default {"outboundTrafficPolicy":{"mode":"REGISTRY_ONLY"}}`}, printed, "", ""},
		"its own, with hosts":    {[]string{`Sidecar shop/default {"outboundTrafficPolicy":{"mode":"REGISTRY_ONLY"},"egress":[{"hosts":["./*"]}]}`}, "# Sidecar shop/default blocks everything else in the namespace already.", "kind: Sidecar", ""},
		"empty policy":           {[]string{`Sidecar shop/a {"outboundTrafficPolicy":{}}`}, "# Sidecar shop/a blocks everything else", "kind: Sidecar", ""},
		"another":                {[]string{`Sidecar shop/main {"egress":[{"hosts":["./*"]}]}`}, "# Sidecar shop/main applies to the namespace", "kind: Sidecar", `kubectl -n shop patch sidecars.networking.istio.io main --type=merge -p '{"spec":{"outboundTrafficPolicy":{"mode":"REGISTRY_ONLY"}}}'`},
		"the oldest applies":     {[]string{`Sidecar shop/main {"outboundTrafficPolicy":{"mode":"ALLOW_ANY"}}`, `Sidecar shop/default {"outboundTrafficPolicy":{"mode":"REGISTRY_ONLY"}}`}, "# Sidecar shop/main applies to", "kind: Sidecar", "patch sidecars.networking.istio.io main"},
		"of workloads":           {[]string{`Sidecar shop/default {` + selector + `}`}, "name: default-2\n", printed, "Sidecar shop/default selects workloads by their labels, and its policy applies to them: they are not blocked"},
		"of workloads, enforced": {[]string{`Sidecar shop/web {` + selector + `,"outboundTrafficPolicy":{"mode":"REGISTRY_ONLY"}}`}, printed, "", ""},
		"the default's hosts":    {[]string{`Sidecar istio-system/default {"egress":[{"hosts":["istio-system/*"]}]}`}, printed, "", "a.test on port 443 (TLS), of Deployment/cart, would be blocked with this proposal, too: Sidecar istio-system/default does not expose shop/a.test; add it to egress.hosts there"},
		"another's entry":        {[]string{`ServiceEntry istio-system/a {"hosts":["a.test"],"exportTo":["*"],"resolution":"DNS","ports":[{"number":443,"name":"http","protocol":"HTTP"}]}`}, printed, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			o := Options{Namespace: "shop", Enforce: true, Pods: Pods{deployment("cart"): {"": {"app": "cart"}}}, Objects: with(t, egress.Input{Mesh: egress.CompileMesh(&meshconfig.MeshConfig{RootNamespace: "istio-system"})}, c.objects...)}
			all := []report.Host{seen("cart", "a.test", 443, report.TLS)}
			p := Propose(o, all)
			warnings := strings.Join(p.Warnings, "\n")
			if !strings.Contains(p.Text, c.text) || c.absent != "" && strings.Contains(p.Text, c.absent) || (c.warning == "") != (warnings == "") || !strings.Contains(warnings, c.warning) {
				t.Fatalf("%s\nwarnings: %s", p.Text, warnings)
			}
			if c.warning != "" || c.absent != "" {
				return
			}
			in := inputOf(t, p.Text)
			o.Objects.ServiceEntries = append(o.Objects.ServiceEntries, in.ServiceEntries...)
			if left := NewViews(Enforced(o.Objects), "shop", nil).Blocked(all); len(left) > 0 {
				t.Errorf("blocked with the proposal, without a warning: %+v", left)
			}
		})
	}
}
