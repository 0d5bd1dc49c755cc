package live

import (
	"context"
	"encoding/json"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
)

// objectSource is a kind of object that holds ranges and can be watched.
type objectSource struct {
	group, resource string
	versions        []string // in the order of preference
	namespace       string
	name            string // of the one object that counts; empty for all
	// aggregated marks an API of an aggregated API server. While that is unavailable,
	// the objects are read from where it stores them.
	aggregated bool
	// slices marks objects whose changes are about nodes, not ranges.
	slices bool
}

var objectSources = []objectSource{
	{group: "networking.k8s.io", versions: []string{"v1", "v1beta1"}, resource: "servicecidrs"},
	{group: "config.openshift.io", versions: []string{"v1"}, resource: "networks", name: "cluster"},
	{group: "crd.projectcalico.org", versions: []string{"v1"}, resource: "ippools"},
	{group: "projectcalico.org", versions: []string{"v3"}, resource: "ippools", aggregated: true},
	{group: "cilium.io", versions: []string{"v2", "v2alpha1"}, resource: "ciliumpodippools"},
	{group: "cilium.io", versions: []string{"v2"}, resource: "ciliumnodes", slices: true},
	{group: "acn.azure.com", versions: []string{"v1alpha"}, resource: "nodenetworkconfigs", namespace: metav1.NamespaceSystem},
}

func (s objectSource) String() string { return s.resource + "." + s.group }

// objects reads the objects of every source whose API is served.
func (g *gathering) objects(ctx context.Context) {
	for _, s := range objectSources {
		read := false
		for _, version := range g.versions(s) {
			api := g.cluster.dynamic.Resource(schema.GroupVersionResource{Group: s.group, Version: version, Resource: s.resource}).Namespace(s.namespace)
			if read = g.source(ctx, s, api); read {
				break
			}
		}
	}
}

// versions are those of the source that are served; all of them where nothing is
// known of that. A source that is not served is noted.
func (g *gathering) versions(s objectSource) []string {
	if len(g.served) == 0 {
		return s.versions
	}
	var out []string
	for _, v := range s.versions {
		if g.served[s.group][v] {
			out = append(out, v)
		}
	}
	if len(out) == 0 {
		g.sources = append(g.sources, Source{s.String(), Absent})
	}
	return out
}

// source reads one source, and reports whether it was there to be read.
func (g *gathering) source(ctx context.Context, s objectSource, api dynamic.ResourceInterface) bool {
	var items []unstructured.Unstructured
	version := ""
	var err error
	if s.name != "" {
		var one *unstructured.Unstructured
		if one, err = api.Get(ctx, s.name, metav1.GetOptions{}); err == nil {
			items, version = append(items, *one), one.GetResourceVersion()
		}
	} else {
		version, err = pages(ctx, api.List, func(l *unstructured.UnstructuredList) { items = append(items, l.Items...) })
	}
	if s.aggregated && apierrors.IsServiceUnavailable(err) {
		g.sources = append(g.sources, Source{s.String(), Unavailable})
		return true
	}
	if !g.record(s.String(), err) {
		return statusOf(err) != Absent
	}
	w := watched{name: s.String(), version: version, seen: map[string]string{}, open: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
		if s.name != "" {
			o.FieldSelector = metav1.ObjectNameField + "=" + s.name
		}
		return api.Watch(ctx, o)
	}}
	slices.SortFunc(items, func(a, b unstructured.Unstructured) int { return compareNames(a.GetName(), b.GetName()) })
	for i := range items {
		o := slimObject(&items[i])
		g.document(o.GetKind()+"/"+o.GetName(), o)
		w.seen[o.GetName()] = fingerprint(o)
	}
	if !s.slices {
		g.watches = append(g.watches, w)
	}
	return true
}

func compareNames(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// slimObject omits the fields whose changes are irrelevant here.
func slimObject(o *unstructured.Unstructured) *unstructured.Unstructured {
	out := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": o.GetAPIVersion(), "kind": o.GetKind(), "metadata": map[string]any{"name": o.GetName()},
	}}
	for _, part := range []string{"spec", "status"} {
		if v, ok := o.Object[part]; ok {
			out.Object[part] = v
		}
	}
	return out
}

// fingerprint is the same for two objects with the same relevant fields.
func fingerprint(o any) string {
	text, err := json.Marshal(o)
	if err != nil {
		return err.Error()
	}
	return string(text)
}
