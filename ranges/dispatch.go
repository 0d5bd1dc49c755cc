package ranges

import (
	"fmt"
	"strings"

	"github.com/outrider-mesh/outrider/internal/document"
	"github.com/outrider-mesh/outrider/internal/problem"
)

// object reads one value and reports whether it is of a known kind.
func (r *reader) object(n *document.Node, base string) bool {
	if n.Kind == document.List {
		return r.objects(n, base)
	}
	if n.Kind != document.Map {
		return false
	}
	if kind, version := n.Get("kind").Str(), n.Get("apiVersion").Str(); kind != "" && version != "" {
		return r.kube(kind, apiGroup(version), n, base)
	}
	for i := range docKinds {
		if k := &docKinds[i]; k.is != nil && k.is(n) {
			r.describe(k, n, base)
			return true
		}
	}
	for _, w := range wrappers {
		if in := n.Get(w); in != nil && (in.Kind == document.Map || in.Kind == document.List) && r.object(in, join(base, w)) {
			return true
		}
	}
	return flat(n) && r.keys(n, base)
}

// wrappers are the fields that some tools put around what they were asked for.
var wrappers = []string{"cluster", "kubernetes_cluster", "kubernetes_clusters", "Response", "Clusters", "clusters", "data", "resources", "valid", "Config"}

// objects reads the elements of a list. Descriptions of several clusters in one
// list are rejected: which one is meant is unknown.
func (r *reader) objects(n *document.Node, base string) bool {
	known, before := false, r.clusters
	for i, item := range n.Items {
		r.root++
		known = r.object(item, fmt.Sprintf("%s[%d]", base, i)) || known
	}
	if many := r.clusters - before; many > 1 {
		r.invalid(n, base, fmt.Sprintf("contains %d clusters", many), "pass only one")
	}
	return known
}

// apiGroup is the API group of an apiVersion; "" for the core group.
func apiGroup(version string) string {
	g, _, ok := strings.Cut(version, "/")
	if !ok {
		return ""
	}
	return g
}

// kube reads a Kubernetes-style object and reports whether its kind is known.
// The elements of a list need not repeat their kind.
func (r *reader) kube(kind, group string, n *document.Node, base string) bool {
	if items := n.Get("items"); items != nil && strings.HasSuffix(kind, "List") {
		known := len(items.Items) == 0
		for i, item := range items.Items {
			k, g := item.Get("kind").Str(), group
			if k == "" {
				k = strings.TrimSuffix(kind, "List")
			} else if v := item.Get("apiVersion").Str(); v != "" {
				g = apiGroup(v)
			}
			if item.Kind == document.Map {
				r.root++
				known = r.kube(k, g, item, join(base, "items")+index(i)) || known
			}
		}
		return known
	}
	if kind == "ConfigMap" && group == "" { // may hold documents of any kind
		r.configMap(n, base)
		return true
	}
	for i := range kubeKinds {
		if k := &kubeKinds[i]; k.kind == kind && k.group(group) {
			k.read(r, n, base)
			return true
		}
	}
	for i := range docKinds {
		if k := &docKinds[i]; k.kind == kind && k.group == group {
			r.describe(k, n, base)
			return true
		}
	}
	// The companions of documents that hold ranges.
	return kind == "InitConfiguration" || kind == "JoinConfiguration" || kind == "KubeletConfiguration"
}

// configMap reads the ConfigMaps of network plugins and installers. Any other one
// is irrelevant.
func (r *reader) configMap(n *document.Node, base string) {
	name := n.At("metadata", "name").Str()
	data, at := n.Get("data"), join(base, "data")
	switch {
	case name == "cilium-config" || data.HasKey("ipam") && data.HasKey("cluster-pool-ipv4-cidr", "cluster-pool-ipv6-cidr"):
		cilium(r, data, at)
		return
	case strings.HasPrefix(name, "istio-sidecar-injector"):
		r.data.Values = data.Get("values").Str()
		return
	case name == "aws-auth" && n.At("metadata", "namespace").Str() == "kube-system":
		r.signal("eks", "ConfigMap aws-auth")
	}
	for _, key := range []string{"ClusterConfiguration", "config.conf", "net-conf.json", "install-config"} {
		if v := data.Get(key); v != nil {
			r.inner(v, join(at, key))
		}
	}
}

// inner reads a document inside a document: a key of a ConfigMap.
func (r *reader) inner(n *document.Node, base string) {
	if n.Str() == "" {
		return
	}
	shift := r.shift
	r.shift += n.Line - 1
	if n.Block {
		r.shift++
	}
	defer func() { r.shift = shift }()
	chunks, problems := load(Document{Name: r.doc, Text: n.Text})
	report := func(problems problem.List) {
		for _, p := range problems {
			r.invalid(&document.Node{Line: p.Line}, base, p.Rule, p.Fix)
		}
	}
	report(problems)
	for _, c := range chunks {
		if c.value == nil {
			report(c.problems)
			continue
		}
		r.object(c.value, base)
	}
}

// describe reads a document by the paths of its kind.
func (r *reader) describe(k *docKind, n *document.Node, base string) {
	service := source{k.name, rankConfig, Configured, true}
	pod := source{k.name, rankPodConfig, Configured, true}
	if k.provider {
		r.clusters++
		service = source{k.name, rankProvider, Complete, true}
		pod = service
	}
	if k.platform != "" {
		r.signal(k.platform, k.name)
	}
	before := len(r.data.Evidence)
	r.paths(Service, service, n, base, k.service)
	r.paths(Pod, pod, n, base, k.pod)
	if k.defaults != nil {
		r.fill(before, k, n, base)
	}
	if k.more != nil {
		k.more(r, n, base)
	}
}

// fill adds the tool's defaults for the kinds that the document does not specify.
func (r *reader) fill(before int, k *docKind, n *document.Node, base string) {
	service, pod := k.defaults(n)
	for i, value := range []string{service, pod} {
		kind := []Kind{Service, Pod}[i]
		have := false
		for _, e := range r.data.Evidence[before:] {
			have = have || e.Kind == kind
		}
		if have || value == "" {
			continue
		}
		src := source{k.name + ", default of an omitted field", rankChecked, Defaulted, true}
		if kind == Pod {
			src.rank = rankPodChecked
		}
		_ = r.add(kind, src, value, r.place(n, base)) // the defaults are valid
	}
}
