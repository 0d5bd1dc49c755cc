package xds

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
	"weak"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/egress/envoy"
)

// generation is one published model with the views that streams have requested.
type generation struct {
	number    uint64
	published time.Time
	model     *egress.Model
	next      chan struct{} // closed when a newer one is published

	// objects are those of the model.
	objects func() map[egress.Object]bool
	// services are the Services of addresses.
	services func() egress.ServiceAddresses

	mu        sync.Mutex
	views     map[string]*view              // by class
	omitting  map[string]weak.Pointer[view] // by class, and what is omitted
	trials    map[string]*entry
	trialled  int              // bytes of trials
	byVersion map[string]*view // views, and those of the previous generation
	bySum     map[egress.Sum]*view
	sums      map[egress.Sum]*view // of the previous generation
	empty     func() *egress.Model // without any object
}

// view is the resources of a view, each encoded once.
type view struct {
	of *egress.View
	// wildcard are the resources of a wildcard subscription, by type.
	wildcard map[string][]*entry
	byName   map[string]map[string]*entry // the same, by type and name
	bytes    int                          // of these

	mu       sync.Mutex
	onDemand map[string]map[string]*entry // by type and name: those that were requested
}

// entry is one encoded resource, shared by the streams.
type entry struct {
	name, version string
	// wire is the resource, encoded as a field of a response.
	wire []byte
}

// view returns the view of a workload without some objects. omits is set where it
// is not the view of all objects.
func (g *generation) view(w egress.Workload, out map[egress.Object]bool) (v *view, omits bool, err error) {
	class := g.model.ClassOf(w)
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(out) > 0 {
		return g.viewWithout(class+" "+keyOf(out), w, out)
	}
	if v := g.views[class]; v != nil {
		return v, false, nil
	}
	// Most changes are of one namespace, and the views of all others stay.
	sum := g.model.Sum(w)
	if v = g.bySum[sum]; v == nil {
		v = g.sums[sum]
	}
	if v == nil {
		of := g.model.ViewOf(w)
		if v = g.byVersion[of.Version()]; v == nil {
			if v, err = newView(of); err != nil {
				return nil, false, err
			}
			g.byVersion[of.Version()] = v
		}
	}
	g.views[class], g.bySum[sum] = v, v
	return v, false, nil
}

// base returns the view of a workload without any object.
func (g *generation) base(w egress.Workload) (v *view, err error) {
	class := "base " + g.model.ClassOf(w)
	g.mu.Lock()
	defer g.mu.Unlock()
	if v := g.views[class]; v != nil {
		return v, nil
	}
	of := g.empty().ViewOf(w)
	if v = g.byVersion[of.Version()]; v == nil {
		if v, err = newView(of); err != nil {
			return nil, err
		}
		g.byVersion[of.Version()] = v
	}
	g.views[class] = v
	return v, nil
}

// omittingKeys is how many keys of views are kept that may be gone.
const omittingKeys = 1000

// viewWithout returns a view without some objects. Only the streams that have it keep
// it, and are charged for it: a sidecar chooses what it rejects, and could make any
// number of views.
func (g *generation) viewWithout(key string, w egress.Workload, out map[egress.Object]bool) (*view, bool, error) {
	if v := g.omitting[key].Value(); v != nil {
		return v, true, nil
	}
	of := g.without(out).ViewOf(w)
	if v := g.byVersion[of.Version()]; v != nil {
		return v, false, nil
	}
	v, err := newView(of)
	if err != nil {
		return nil, false, err
	}
	if len(g.omitting) >= omittingKeys {
		maps.DeleteFunc(g.omitting, func(_ string, p weak.Pointer[view]) bool { return p.Value() == nil })
	}
	g.omitting[key] = weak.Make(v)
	return v, true, nil
}

func (g *generation) without(out map[egress.Object]bool) *egress.Model {
	if len(out) == 0 {
		return g.model
	}
	return g.model.Without(func(o egress.Object) bool { return out[o] })
}

// trial returns the trial of a resource without some objects; nil if there is no such
// resource. All sidecars of a class are asked alike.
func (g *generation) trial(w egress.Workload, of resourceKey, out map[egress.Object]bool) (*entry, error) {
	key := fmt.Sprintf("%s %s %s %s", g.model.ClassOf(w), of.typeURL, of.name, keyOf(out))
	g.mu.Lock()
	defer g.mu.Unlock()
	if e, ok := g.trials[key]; ok {
		return e, nil
	}
	r, ok, err := envoy.Trial(g.without(out).ViewOf(w), of.typeURL, of.name)
	if err != nil || !ok {
		return nil, err
	}
	e, err := newEntry(r)
	if err != nil {
		return nil, err
	}
	if g.trialled += len(e.wire); g.trialled > trialBytes {
		clear(g.trials)
		g.trialled = len(e.wire)
	}
	g.trials[key] = e
	return e, nil
}

// trialBytes are the trials that are kept for the next sidecar that is asked. A
// trial of 1,000 hosts takes 100 KiB.
const trialBytes = 16 << 20

// keyOf is a short text for a set of objects.
func keyOf(set map[egress.Object]bool) string {
	if len(set) == 0 {
		return ""
	}
	lines := make([]string, 0, len(set))
	for o := range set {
		lines = append(lines, fmt.Sprintf("%s %d %d\n", o.Source(), o.Meta.Created.Unix(), o.Meta.Generation))
	}
	slices.Sort(lines)
	h := sha256.New()
	for _, line := range lines {
		h.Write([]byte(line))
	}
	return hex.EncodeToString(h.Sum(nil))
}

func newView(of *egress.View) (*view, error) {
	v := &view{of: of, wildcard: map[string][]*entry{}, byName: map[string]map[string]*entry{}, onDemand: map[string]map[string]*entry{}}
	for typeURL, list := range map[string]func(*egress.View) ([]envoy.Resource, error){
		envoy.TypeCluster: envoy.Clusters, envoy.TypeListener: envoy.Listeners, envoy.TypeRoute: envoy.Routes,
	} {
		all, err := list(of)
		if err != nil {
			return nil, err
		}
		v.byName[typeURL], v.onDemand[typeURL] = map[string]*entry{}, map[string]*entry{}
		for _, r := range all {
			e, err := newEntry(r)
			if err != nil {
				return nil, err
			}
			v.byName[typeURL][e.name] = e
			v.bytes += len(e.wire)
			v.wildcard[typeURL] = append(v.wildcard[typeURL], e)
		}
	}
	return v, nil
}

// responseResources is the field number of resources in DeltaDiscoveryResponse.
const responseResources = 2

func newEntry(r envoy.Resource) (*entry, error) {
	body, err := proto.Marshal(&discoveryv3.Resource{Name: r.Name, Version: r.Version, Resource: r.Body})
	if err != nil {
		return nil, fmt.Errorf("marshal %s: %w", r.Name, err)
	}
	wire := protowire.AppendTag(make([]byte, 0, len(body)+6), responseResources, protowire.BytesType)
	return &entry{name: r.Name, version: r.Version, wire: protowire.AppendBytes(wire, body)}, nil
}

// get returns a resource by name; nil if there is none.
func (v *view) get(typeURL, name string) (*entry, error) {
	if e := v.byName[typeURL][name]; e != nil {
		return e, nil
	}
	if typeURL == envoy.TypeListener {
		return nil, nil
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if e := v.onDemand[typeURL][name]; e != nil {
		return e, nil
	}
	find := envoy.Cluster
	if typeURL == envoy.TypeRoute {
		find = envoy.Route
	}
	r, ok, err := find(v.of, name)
	if err != nil || !ok {
		return nil, err // not kept: a sidecar may request any name
	}
	e, err := newEntry(r)
	if err != nil {
		return nil, err
	}
	v.onDemand[typeURL][name] = e
	return e, nil
}
