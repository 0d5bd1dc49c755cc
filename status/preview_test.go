package status_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/status"
)

// TestPreviewNamesWhatStatusNames: for each pair of settings, the workloads of a preview are
// those of the status after the edit, and what the edit changes is what differs between pods
// of the two.
func TestPreviewNamesWhatStatusNames(t *testing.T) {
	all := map[string]config.Texts{
		"defaults": {}, "ranges": values("includeIPRanges: 10.0.0.0/8"), "excluded": values("excludeIPRanges: 10.0.0.0/8"),
		"image": values("image: example.com/envoy:1"), "off": {Config: "policy: disabled\n"}, "never": {Config: "neverInjectSelector: [{matchLabels: {app: b}}]\n"},
		"named": {Values: "global: {namedRanges: {db: 10.1.0.0/16}}\n"}, "policy": {Mesh: "outboundTrafficPolicy: {mode: REGISTRY_ONLY}\n"},
	}
	compiled := map[string]status.Settings{}
	for name, texts := range all {
		compiled[name] = settings(t, texts)
	}
	for _, first := range []string{"defaults", "off", "never", "named"} {
		base := compiled[first]
		var pods []*corev1.Pod
		for _, p := range []*corev1.Pod{
			pod("a", "1", nil), pod("a", "2", nil), pod("b", "1", map[string]string{"traffic.sidecar.istio.io/includeOutboundIPRanges": "10.2.0.0/16"}),
			pod("c", "1", map[string]string{"sidecar.istio.io/inject": "true"}),
		} {
			if first != "off" && (first != "never" || p.Labels["app"] != "b") || p.Annotations["sidecar.istio.io/inject"] != "" {
				p = started(t, base, p)
			}
			pods = append(pods, p)
		}
		if first == "named" {
			pods = append(pods, started(t, base, pod("d", "1", map[string]string{"traffic.sidecar.istio.io/excludeOutboundIPRanges": "db"})))
		}
		for now, active := range compiled {
			for next, edited := range compiled {
				in := input(active)
				in.Edited = &edited
				preview := collect(t, in, pods...).Preview()
				after := collect(t, input(edited), pods...).Report()
				var named, want []string
				for _, w := range preview.Workloads {
					if !w.Missing {
						named = append(named, w.Name+" "+w.Result)
					} else if !slices.ContainsFunc(after.Missing, func(m status.Missing) bool { return m.Object == w.Object }) {
						t.Errorf("%s, %s to %s: the status has no missing %s", first, now, next, w.Name)
					}
					if w.Changed != (len(w.Differences) > 0) {
						t.Errorf("%s, %s to %s: %+v", first, now, next, w)
					}
				}
				for _, w := range after.Workloads {
					want = append(want, w.Name+" "+w.Result)
				}
				if !slices.Equal(named, want) {
					t.Errorf("%s, %s to %s: the preview names %q, the status %q", first, now, next, named, want)
				}
				if now == next && preview.Changes {
					t.Errorf("%s, %s to itself: %+v", first, now, preview)
				}
			}
		}
	}
}

// TestPreviewOfServices: which Services bypass the sidecar after an edit, by address and port.
func TestPreviewOfServices(t *testing.T) {
	base, edited := settings(t, config.Texts{}), settings(t, values("includeIPRanges: 10.0.0.0/8\n    excludeOutboundPorts: '5432'"))
	in := input(base)
	in.Edited = &edited
	to := func(text string) []netip.AddrPort { return []netip.AddrPort{netip.MustParseAddrPort(text)} }
	in.Services = []status.Service{
		{Name: "shop/inside", Destinations: to("10.1.2.3:80")}, {Name: "shop/outside", Destinations: to("172.16.0.1:80")},
		{Name: "shop/db", Destinations: to("10.1.2.3:5432")}, {Name: "shop/outside", Destinations: to("[fd00::1]:80")},
	}
	p := collect(t, in, started(t, base, pod("a", "1", nil))).Preview()
	if len(p.Workloads) != 1 || !slices.Equal(p.Workloads[0].Bypassed, []string{"shop/db", "shop/outside"}) || len(p.Workloads[0].Captured) > 0 {
		t.Fatalf("%+v", p.Workloads)
	}
	if text := p.Text(status.Style{Now: at}); !strings.Contains(text, "newly bypasses the sidecar: Services shop/db, shop/outside") {
		t.Error(text)
	}
	in = input(edited)
	in.Edited, in.Services = &base, []status.Service{{Name: "shop/outside", Destinations: to("172.16.0.1:80")}}
	p = collect(t, in, started(t, base, pod("a", "1", nil))).Preview()
	if len(p.Workloads) != 0 || len(p.Current) != 1 || !p.Changes {
		t.Errorf("back to the settings of the pods: %+v", p)
	}
	in = input(edited)
	in.Edited, in.Services = &base, []status.Service{{Name: "shop/outside", Destinations: to("172.16.0.1:80")}}
	p = collect(t, in, started(t, edited, pod("a", "1", nil))).Preview()
	if len(p.Workloads) != 1 || !slices.Equal(p.Workloads[0].Captured, []string{"shop/outside"}) {
		t.Errorf("%+v", p.Workloads)
	}
}

// TestImmediate: changes of the mesh configuration that running sidecars get.
func TestImmediate(t *testing.T) {
	base := settings(t, config.Texts{Mesh: "connectTimeout: 7s\n"})
	edited := settings(t, config.Texts{Mesh: "connectTimeout: 9s\noutboundTrafficPolicy: {mode: REGISTRY_ONLY}\ndefaultConfig: {proxyMetadata: {A: b}}\n"})
	in := input(base)
	in.Edited = &edited
	var got []string
	for _, d := range collect(t, in).Preview().Immediate {
		got = append(got, d.Name+" "+d.Was+" "+d.Is)
	}
	slices.Sort(got)
	if want := []string{"connectTimeout 7s 9s", "outboundTrafficPolicy.mode ALLOW_ANY REGISTRY_ONLY"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestText: no part of a report is a command of a terminal, and colors are used when they are
// asked for.
func TestText(t *testing.T) {
	base, edited := settings(t, config.Texts{}), settings(t, config.Texts{Config: "injectedAnnotations: {a: \"\\e[31mred\"}\n"})
	r := collect(t, input(edited), started(t, base, pod("a", "1", nil))).Report()
	if text := r.Text(status.Style{Now: at}); strings.Contains(text, "\x1b") || !strings.Contains(text, "deployment/a") {
		t.Errorf("%q", text)
	}
	if text := r.Text(status.Style{Now: at, Color: true}); !strings.Contains(text, "\x1b[1mInjected under other settings:\x1b[0m") {
		t.Errorf("%q", text)
	}
}
