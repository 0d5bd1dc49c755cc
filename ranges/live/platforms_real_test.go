package live

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/outrider-mesh/outrider/ranges"
	"github.com/outrider-mesh/outrider/test/kube"
)

// simulated is one case of platforms.txt.
type simulated struct {
	name    string
	want    map[string]string
	objects string
}

func simulations(t *testing.T) []simulated {
	t.Helper()
	data, err := os.ReadFile("testdata/platforms.txt")
	if err != nil {
		t.Fatal(err)
	}
	var out []simulated
	for _, text := range strings.Split("\n"+string(data), "\n=== ")[1:] {
		head, objects, _ := strings.Cut(text, "\n---\n")
		lines := strings.Split(head, "\n")
		c := simulated{name: lines[0], want: map[string]string{}, objects: objects}
		for _, line := range lines[1:] {
			if key, value, ok := strings.Cut(line, ": "); ok {
				c.want[key] = value
			} else {
				t.Fatalf("%s: %q", c.name, line)
			}
		}
		out = append(out, c)
	}
	return out
}

// Every platform that can be simulated: the right platform, and the right range
// of pods or the right refusal.
func TestPlatforms(t *testing.T) {
	server := kube.Require(t)
	kinds := newApplier(t, server.Config)
	kinds.namespace("kube-flannel")
	kinds.keep(systemAccount,
		definition("crd.projectcalico.org", "v1", "IPPool", "ippools", "Cluster"),
		definition("cilium.io", "v2", "CiliumNode", "ciliumnodes", "Cluster"),
		definition("cilium.io", "v2alpha1", "CiliumPodIPPool", "ciliumpodippools", "Cluster"),
		definition("acn.azure.com", "v1alpha", "NodeNetworkConfig", "nodenetworkconfigs", "Namespaced"),
	)
	for _, c := range simulations(t) {
		t.Run(c.name, func(t *testing.T) {
			openShift := strings.Contains(c.objects, "config.openshift.io")
			if openShift {
				t.Cleanup(func() { gone(t, server) }) // after the objects went
			}
			a := newApplier(t, server.Config)
			if openShift {
				a.apply(definition("config.openshift.io", "v1", "Network", "networks", "Cluster"))
			}
			a.apply(c.objects)
			_, r := gather(t, server.Config, Options{})
			c.check(t, r)
			if t.Failed() {
				t.Logf("%s", r.JSON())
			}
		})
	}
}

// gone waits until OpenShift's group is served no more.
func gone(t *testing.T, server *kube.Server) {
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		groups, err := server.Client.Discovery().ServerGroups()
		if err == nil && !strings.Contains(groups.String(), "config.openshift.io") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("still there: %v", err)
		}
	}
}

func (c simulated) check(t *testing.T, r ranges.Result) {
	t.Helper()
	if r.Platform != c.want["platform"] {
		t.Errorf("platform %q, want %q", r.Platform, c.want["platform"])
	}
	if got := r.Service.OnlyV4().String(); got != "10.0.0.0/24" {
		t.Errorf("services %s", got)
	}
	if got := strings.ReplaceAll(r.Pod.String(), ",", ", "); got != c.want["pod"] {
		t.Errorf("pods %q, want %q", got, c.want["pod"])
	}
	for _, e := range r.Evidence {
		if e.Kind == ranges.Pod && e.Verdict == ranges.Used && string(e.Grade) != c.want["grade"] {
			t.Errorf("%s of %s: grade %s, want %s", e.Ranges, e.Source, e.Grade, c.want["grade"])
		}
	}
	if (c.want["pod"] == "") != slices.Contains(r.Undetermined, ranges.Pod) {
		t.Errorf("undetermined %v", r.Undetermined)
	}
	var incomplete []string
	for _, k := range r.Incomplete {
		incomplete = append(incomplete, string(k))
	}
	if got := strings.Join(incomplete, ", "); got != c.want["incomplete"] {
		t.Errorf("incomplete %q, want %q", got, c.want["incomplete"])
	}
	missing := ""
	for _, m := range r.Missing {
		missing += m.Command + "\n"
	}
	if !strings.Contains(missing, c.want["missing"]) {
		t.Errorf("missing %q, want %q", missing, c.want["missing"])
	}
	if w := strings.Join(r.Warnings, "\n"); !strings.Contains(w, c.want["warning"]) || c.want["warning"] == "" && w != "" {
		t.Errorf("warnings %q, want %q", w, c.want["warning"])
	}
	if _, ok := r.IncludeIPRanges(); ok != r.Known() {
		t.Error("a value although something is missing, or none although all is known")
	}
}
