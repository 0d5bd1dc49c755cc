package live

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/outrider-mesh/outrider/internal/problem"
	"github.com/outrider-mesh/outrider/ranges"
)

// Options of New.
type Options struct {
	// Probe makes the API server reject an address where no better source has
	// the Services' range. It needs permission to create Services.
	Probe bool
	// Documents are read with what the cluster shows. A problem in one of them is
	// an error of the reading, a problem.List.
	Documents []ranges.Document
}

// Cluster is a cluster that can be read.
type Cluster struct {
	options Options
	typed   kubernetes.Interface
	dynamic dynamic.Interface
}

// New prepares to read the cluster that the configuration reaches.
func New(c *rest.Config, o Options) (*Cluster, error) {
	c = rest.CopyConfig(c)
	if c.QPS == 0 {
		c.QPS, c.Burst = 50, 100 // a reading is some twenty requests, made one after the other
	}
	dyn, err := dynamic.NewForConfig(c)
	if err != nil {
		return nil, fmt.Errorf("create the client for the cluster's ranges: %w", err)
	}
	// Lists of nodes, pods and Services can be long; this form is a third of JSON's.
	c.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	c.ContentType = runtime.ContentTypeProtobuf
	typed, err := kubernetes.NewForConfig(c)
	if err != nil {
		return nil, fmt.Errorf("create the client for the cluster's ranges: %w", err)
	}
	return &Cluster{options: o, typed: typed, dynamic: dyn}, nil
}

// Status is the result of reading one source.
type Status string

// The statuses.
const (
	Read        Status = "read"
	Forbidden   Status = "forbidden" // 403
	Absent      Status = "absent"    // 404, or its API is not served
	Unavailable Status = "unavailable"
)

// Source is one source and its status.
type Source struct {
	Name   string // as in a role: servicecidrs.networking.k8s.io
	Status Status
}

// Snapshot is what a cluster showed at one time.
type Snapshot struct {
	Data    *ranges.ClusterData
	Sources []Source

	watches []watched
}

// Forbidden are the sources for which permissions are missing.
func (s *Snapshot) Forbidden() []string {
	var names []string
	for _, source := range s.Sources {
		if source.Status == Forbidden {
			names = append(names, source.Name)
		}
	}
	return names
}

// Gather reads every source once.
func (c *Cluster) Gather(ctx context.Context) (*Snapshot, error) {
	g := &gathering{cluster: c, served: map[string]map[string]bool{}}
	for _, step := range []func(context.Context){g.about, g.nodes, g.pods, g.services, g.objects, g.configMaps} {
		step(ctx)
	}
	if err := errors.Join(g.failed...); err != nil {
		return nil, fmt.Errorf("read the cluster's ranges: %w", err)
	}
	data, bad, err := g.read()
	if err != nil {
		return nil, err
	}
	if c.options.Probe && !hasRange(data, ranges.Service) {
		g.probe(ctx)
		if err := errors.Join(g.failed...); err != nil {
			return nil, fmt.Errorf("read the cluster's ranges: %w", err)
		}
		if data, bad, err = g.read(); err != nil {
			return nil, err
		}
	}
	data.Warnings = append(data.Warnings, bad...)
	return &Snapshot{Data: data, Sources: g.sources, watches: g.watches}, nil
}

// hasRange reports evidence of a kind that is more than a part.
func hasRange(data *ranges.ClusterData, kind ranges.Kind) bool {
	for _, e := range data.Evidence {
		if e.Kind == kind && (e.Grade == ranges.Complete || e.Grade == ranges.Configured) {
			return true
		}
	}
	return false
}

// read reads all documents. An object with an invalid range is omitted,
// with a warning: it may be a ConfigMap that nothing has used for years.
func (g *gathering) read() (*ranges.ClusterData, []string, error) {
	given := g.cluster.options.Documents
	data, err := ranges.Read(slices.Concat(given, g.documents))
	var problems problem.List
	if err == nil || !errors.As(err, &problems) {
		return data, nil, err
	}
	if _, err := ranges.Read(given); len(given) > 0 && err != nil {
		return nil, nil, err
	}
	var warnings []string
	faulty := map[string]bool{}
	for _, p := range problems {
		faulty[p.Source] = true
		warnings = append(warnings, p.String()+"; object ignored")
	}
	good := slices.Clone(given)
	for _, d := range g.documents {
		if !faulty[d.Name] {
			good = append(good, d)
		}
	}
	data, err = ranges.Read(good)
	return data, warnings, err
}

// gathering is one reading under way.
type gathering struct {
	cluster   *Cluster
	documents []ranges.Document
	sources   []Source
	watches   []watched
	served    map[string]map[string]bool // versions by API group; empty where it is not known
	failed    []error
}

// record adds the status of a source, and reports whether it was read.
func (g *gathering) record(name string, err error) bool {
	status := statusOf(err)
	if status == "" {
		g.failed = append(g.failed, fmt.Errorf("%s: %w", name, err))
		return false
	}
	g.sources = append(g.sources, Source{name, status})
	return status == Read
}

// statusOf is empty for a failure.
func statusOf(err error) Status {
	switch {
	case err == nil:
		return Read
	case apierrors.IsForbidden(err):
		return Forbidden
	case apierrors.IsNotFound(err), apierrors.IsMethodNotSupported(err), apierrors.IsNotAcceptable(err):
		return Absent
	}
	return ""
}

// document hands an object over.
func (g *gathering) document(name string, object any) {
	text, err := json.Marshal(object)
	if err != nil { // what an API sent can be written as JSON
		g.failed = append(g.failed, fmt.Errorf("%s: %w", name, err))
		return
	}
	g.documents = append(g.documents, ranges.Document{Name: name, Text: string(text), Answer: true})
}

// about asks the API server for its version and the API groups it serves. Every
// account may.
func (g *gathering) about(context.Context) {
	d := g.cluster.typed.Discovery()
	info, err := d.ServerVersion()
	if g.record("version", err) {
		g.document("version", info)
	}
	groups, err := d.ServerGroups()
	if !g.record("apis", err) {
		return
	}
	groups.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "APIGroupList"}
	g.document("apis", groups)
	for _, group := range groups.Groups {
		g.served[group.Name] = map[string]bool{}
		for _, v := range group.Versions {
			g.served[group.Name][v.Version] = true
		}
	}
}
