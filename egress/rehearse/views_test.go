package rehearse

import (
	"slices"
	"strings"
	"testing"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/egress/report"
)

func deployment(name string) report.Workload { return report.Workload{Kind: "Deployment", Name: name} }

// TestSelectedWorkloads has a Sidecar that selects a part of the workloads: what they have
// declared and it does not expose is blocked for them alone, and not declared again.
func TestSelectedWorkloads(t *testing.T) {
	in := with(t, egress.Input{},
		`ServiceEntry shop/a {"hosts":["a.test"],"resolution":"DNS","ports":[{"number":443,"name":"tls","protocol":"TLS"}]}`,
		`ServiceEntry shop/b {"hosts":["b.test"],"resolution":"DNS","ports":[{"number":443,"name":"tls","protocol":"TLS"}]}`,
		`Sidecar shop/web {"workloadSelector":{"labels":{"app":"web"}},"egress":[{"hosts":["./b.test"]}]}`)
	var all []report.Host
	for _, w := range []string{"cart", "web", "mixed", "stopped"} {
		all = append(all, seen(w, "a.test", 443, report.TLS), seen(w, "b.test", 443, report.TLS))
	}
	all = append(all, seen("web", "new.test", 443, report.TLS), seen("cart", "other.test", 443, report.TLS))
	pods := Pods{}
	pods.Add(deployment("cart"), map[string]string{"app": "cart"})
	pods.Add(deployment("web"), map[string]string{"app": "web"})
	pods.Add(deployment("mixed"), map[string]string{"app": "cart"}) // while it is rolled
	pods.Add(deployment("mixed"), map[string]string{"app": "web"})
	pods.Add(deployment("mixed"), map[string]string{"app": "web"})
	if n := len(pods[deployment("mixed")]); n != 2 {
		t.Errorf("%d different labels, want 2", n)
	}

	views := NewViews(Enforced(in), "shop", pods)
	var got []string
	for _, h := range views.Blocked(all) {
		got = append(got, h.Name+" "+h.Host)
	}
	if want := []string{"web a.test", "mixed a.test", "web new.test", "cart other.test"}; !slices.Equal(got, want) {
		t.Errorf("blocked %q, want %q", got, want)
	}
	unknown := "no pods are found of Deployment/stopped, so their labels are not known, and Sidecars with a workloadSelector are ignored for them"
	if got := views.Unknown(all); got != unknown {
		t.Errorf("%q, want %q", got, unknown)
	}

	p := Propose(Options{Namespace: "shop", Objects: in, Pods: pods}, all)
	if p.Entries != 2 || strings.Contains(p.Text, `"a.test"`) || !strings.Contains(p.Text, `"new.test" # Deployment/web`) || !strings.Contains(p.Text, `"other.test" # Deployment/cart`) {
		t.Errorf("%d entries:\n%s", p.Entries, p.Text)
	}
	want := []string{unknown}
	for _, of := range []string{"web a", "mixed a", "web new"} {
		w, host, _ := strings.Cut(of, " ")
		want = append(want, host+".test on port 443 (TLS), of Deployment/"+w+", would be blocked with this proposal, too: Sidecar shop/web does not expose shop/"+host+".test; add it to egress.hosts there")
	}
	if !slices.Equal(p.Warnings, want) {
		t.Errorf("warnings\n%s\nwant\n%s", strings.Join(p.Warnings, "\n"), strings.Join(want, "\n"))
	}

	in.Sidecars = nil
	if got := NewViews(Enforced(in), "shop", nil).Unknown(all); got != "" {
		t.Errorf("without a Sidecar: %q", got)
	}
}

// TestUnknown names a few of many workloads.
func TestUnknown(t *testing.T) {
	in := with(t, egress.Input{}, `Sidecar shop/web {"workloadSelector":{"labels":{"app":"web"}}}`)
	var all []report.Host
	for _, w := range strings.Split("g f e d c b a", " ") {
		all = append(all, seen(w, "a.test", 443, report.TLS))
	}
	if got := NewViews(Enforced(in), "shop", nil).Unknown(all); !strings.HasPrefix(got, "no pods are found of Deployment/a, Deployment/b, ") || !strings.Contains(got, "Deployment/e and 2 more, so") {
		t.Errorf("%q", got)
	}
}
