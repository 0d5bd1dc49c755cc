package ranges

import (
	"strings"
	"testing"

	"github.com/outrider-mesh/outrider/cidr"
)

func factsOf(t *testing.T, texts ...string) *ClusterData {
	t.Helper()
	var docs []Document
	for i, text := range texts {
		docs = append(docs, Document{Name: string(rune('a' + i)), Text: text, Answer: true})
	}
	data, err := Read(docs)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

const (
	docServices = `{"apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "spec": {"cidrs": ["10.96.0.0/16"]}}`
	docPool     = `{"apiVersion": "crd.projectcalico.org/v1", "kind": "IPPool", "spec": {"cidr": "10.244.0.0/16"}}`
	docKubeadm  = `{"apiVersion": "kubeadm.k8s.io/v1beta4", "kind": "ClusterConfiguration", "networking": {"serviceSubnet": "10.96.0.0/20", "podSubnet": "10.244.0.0/20"}}`
	docInUse    = `{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "kubernetes", "namespace": "default"}, "spec": {"clusterIP": "10.96.0.1"}}
{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "dns", "namespace": "kube-system", "labels": {"k8s-app": "kube-dns"}}, "spec": {"clusterIP": "10.96.0.10"}}
{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "shop"}, "spec": {"clusterIP": "10.96.0.20"}}
{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": "shop"}, "status": {"podIPs": [{"ip": "10.244.0.7"}, {"ip": "fd00::7"}]}}
{"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {"name": "kubernetes", "namespace": "default"}, "endpoints": [{"addresses": ["192.0.2.10"]}]}
{"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {"name": "kubernetes", "namespace": "shop"}, "endpoints": [{"addresses": ["192.0.2.66"]}]}`
)

func TestNames(t *testing.T) {
	n := factsOf(t, docServices, docPool, strings.ReplaceAll(docInUse, `, {"ip": "fd00::7"}`, "")).NamedRanges(Options{Live: true})
	for name, want := range map[string]string{
		cidr.Cluster: "10.96.0.0/16,10.244.0.0/16", cidr.APIServer: "10.96.0.1/32,192.0.2.10/32",
		cidr.LinkLocal: "169.254.0.0/16,fe80::/10", cidr.Private: "10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,fc00::/7",
	} {
		if k, ok := n.Resolve(name); !ok || k.Missing != "" || k.Ranges.String() != want || k.From == "" {
			t.Errorf("%s: %+v, %v; want %s", name, k, ok, want)
		}
	}
	if _, ok := n.Resolve("mine"); ok {
		t.Error("an unknown name is resolved")
	}
	if k, _ := n.Resolve(cidr.Cluster); k.From != "Calico IPPool (b), ServiceCIDR (a)" {
		t.Errorf("from %q", k.From)
	}
	var nobody *NamedRanges
	for _, name := range cidr.Keywords() {
		_, constant := cidr.Constant(name)
		if k, ok := nobody.Resolve(name); !ok || constant != (k.Missing == "") {
			t.Errorf("%s, of no cluster: %+v, %v", name, k, ok)
		}
	}
	for _, c := range []struct {
		docs    []string
		o       Options
		missing string
	}{
		{[]string{docServices}, Options{}, "pod ranges: not in the documents; provided by: kubectl"},
		{[]string{docServices, docPool, docInUse}, Options{}, "pod ranges: its IPv6 range is not in the documents"},
		{[]string{docServices, docPool}, Options{Platform: "mainframe"}, `global.platform: "mainframe": unknown platform`},
	} {
		if k, _ := factsOf(t, c.docs...).NamedRanges(c.o).Resolve(cidr.Cluster); !strings.Contains(k.Missing, c.missing) {
			t.Errorf("missing %q, want %q", k.Missing, c.missing)
		}
	}
}

// Resolved ranges stay where the evidence is lost, and are replaced by evidence
// that is as good.
func TestKeep(t *testing.T) {
	names := func(docs ...string) *NamedRanges { return factsOf(t, docs...).NamedRanges(Options{Live: true}) }
	whole := names(docServices, docPool)
	for _, c := range []struct {
		name       string
		last, next *NamedRanges
		want, warn string
	}{
		{"nothing before", nil, whole, "10.96.0.0/16,10.244.0.0/16", ""},
		{"nothing whole before", names(docServices), names(docServices), "10.96.0.0/16", ""},
		{"a part is left", whole, names(docServices), "10.96.0.0/16,10.244.0.0/16", "lost: pod ranges: not in the documents"},
		{"a weaker source is left", whole, names(docKubeadm), "10.96.0.0/16,10.244.0.0/16", "service ranges are now only configured"},
		{"the weaker source first", names(docKubeadm), whole, "10.96.0.0/16,10.244.0.0/16", ""},
		{"stored before a restart", restored(t, whole), NoCluster("not read"), "10.96.0.0/16,10.244.0.0/16", "lost: not read"},
		{"stored, and a weaker source", restored(t, whole), names(docKubeadm), "10.96.0.0/16,10.244.0.0/16", "service ranges are now only configured"},
		{"stored, and the same source", restored(t, names(docKubeadm)), whole, "10.96.0.0/16,10.244.0.0/16", ""},
		{"the same source with other ranges", whole, names(strings.ReplaceAll(docServices, "/16", "/15"), docPool), "10.96.0.0/15,10.244.0.0/16", ""},
	} {
		got := Keep(c.last, c.next)
		if got.Cluster.Ranges.String() != c.want {
			t.Errorf("%s: %s, want %s", c.name, got.Cluster.Ranges, c.want)
		}
		if w := strings.Join(got.Warnings, "\n"); !strings.Contains(w, c.warn) || c.warn == "" && strings.Contains(w, "lost") {
			t.Errorf("%s: warnings %q, want %q", c.name, w, c.warn)
		}
		if again := Keep(got, c.next); !again.Cluster.Ranges.Equal(got.Cluster.Ranges) {
			t.Errorf("%s: kept a second time: %s", c.name, again.Cluster.Ranges)
		}
	}
}

// restored are the names after a restart.
func restored(t *testing.T, n *NamedRanges) *NamedRanges {
	t.Helper()
	out, err := Restored(n.Stored())
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestStoredRanges(t *testing.T) {
	if text := NoCluster("not read").Stored(); text != nil {
		t.Errorf("unknown ranges are stored: %s", text)
	}
	for _, text := range []string{"", "{", `{"ranges": "10.0.0.0/33"}`, `{"ranges": "*"}`} {
		if n, err := Restored([]byte(text)); err == nil {
			t.Errorf("%s: %+v", text, n)
		}
	}
}

func TestOmitted(t *testing.T) {
	data := factsOf(t, docInUse)
	for list, want := range map[string]string{
		"":                                    "",
		"0.0.0.0/0,::/0":                      "",
		"10.96.0.0/16,10.244.0.0/16,fd00::/8": "",
		// That IPv6 bypasses the sidecar is a fact of its own.
		"10.96.0.0/16,10.244.0.0/16":          "",
		"10.96.0.0/16":                        "omits 1 of 2 pod addresses in use, such as 10.244.0.7 of pod shop/web: traffic to them bypasses the sidecar",
		"10.96.0.0/28,10.244.0.0/16,fd00::/8": "omits 1 of 3 Service addresses in use, such as 10.96.0.20 of Service shop/web: traffic to them bypasses the sidecar",
		"10.244.0.0/16,fd00::/8":              "omits 3 of 3 Service addresses in use, such as 10.96.0.1 of Service default/kubernetes: traffic to them bypasses the sidecar",
		"10.96.0.0/29,192.0.2.0/24":           "omits 2 of 3 Service and 1 of 2 pod addresses in use, such as 10.96.0.10 of Service kube-system/dns: traffic to them bypasses the sidecar",
		"fd00::/8":                            "",
	} {
		l, err := cidr.Parse(list, cidr.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got := data.Omitted(l); got != want {
			t.Errorf("%s: %q, want %q", list, got, want)
		}
	}
	if w := data.Omitted(cidr.Wildcard()); w != "" {
		t.Errorf("*: %q", w)
	}
	var none *ClusterData
	if w := none.Omitted(cidr.List{}); w != "" || none.NamedRanges(Options{}) != nil {
		t.Error("empty data resolve a name")
	}
}

// A server before 1.33 names its one range whole; the version is no mark of a
// platform where nodes are shown.
func TestServerVersion(t *testing.T) {
	const createError = "failed to allocate IP 1.1.1.1: the provided IP (1.1.1.1) is not in the valid range. The range of valid IPs is 10.8.0.0/16"
	version := func(minor, git string) string {
		return `{"major": "1", "minor": "` + minor + `", "gitVersion": "` + git + `"}`
	}
	for minor, want := range map[string]Grade{"32": Complete, "32+": Complete, "33": Minimum, "": Minimum} {
		e := factsOf(t, createError, version(minor, "v1.x")).Resolve(Options{}).Evidence
		if len(e) != 1 || e[0].Grade != want {
			t.Errorf("minor %q: %+v, want %s", minor, e, want)
		}
	}
	if p, _ := factsOf(t, version("33", "v1.33.1-gke.100")).Detect(); p != "gke" {
		t.Errorf("by the version alone: %s", p)
	}
	node := `{"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}, "status": {"nodeInfo": {"kubeletVersion": "v1.33.1+k3s1"}}}`
	if p, _ := factsOf(t, version("33", "v1.33.1-eks-1"), node).Detect(); p != "k3s" {
		t.Errorf("beside a node: %s", p)
	}
}
