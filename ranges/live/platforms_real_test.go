package live

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/outrider-mesh/outrider/ranges"
	"github.com/outrider-mesh/outrider/test/kube"
)

// simulated is one file of testdata/platforms: its title, the expected result,
// and the objects.
type simulated struct {
	name    string
	want    map[string]string
	objects string
}

func simulations(t *testing.T) []simulated {
	t.Helper()
	files, err := filepath.Glob("testdata/platforms/*.txtar")
	if err != nil || len(files) < 41 {
		t.Fatalf("%d platforms, want at least 41; %v", len(files), err)
	}
	var out []simulated
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name, head, _ := strings.Cut(string(archive.Comment), "\n\n")
		c := simulated{name: name, want: map[string]string{}}
		for _, f := range archive.Files {
			c.objects += string(f.Data)
		}
		for _, line := range strings.Split(strings.TrimSpace(head), "\n") {
			if key, value, ok := strings.Cut(line, ": "); ok {
				c.want[key] = value
			} else if line != "" {
				t.Fatalf("%s: %q", file, line)
			}
		}
		out = append(out, c)
	}
	return out
}

// Every platform that can be simulated: the right platform, and the right range
// of pods or the right error.
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
		if e.Kind == ranges.Pod && e.Status == ranges.Used && string(e.Grade) != c.want["grade"] {
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
