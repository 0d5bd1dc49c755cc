package xds

import (
	"fmt"
	"sync"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/outrider-mesh/outrider/egress"
)

// generation is one published model with the views that streams have asked for.
type generation struct {
	number uint64
	model  *egress.Model
	next   chan struct{} // closed when there is a newer one

	mu    sync.Mutex
	views map[string]*view // by class
	made  map[string]*view // by version: these and those of the generation before
}

// view is a view's resources, each made once.
type view struct {
	of *egress.View
	// standing are those that a sidecar gets without naming them, by type.
	standing map[string][]*entry
	byName   map[string]map[string]*entry // the standing ones

	mu     sync.Mutex
	lookup map[string]map[string]*entry // by type and name; nil: there is none
}

// entry is one resource in a form that is shared by the streams.
type entry struct {
	name, version string
	// wire is the resource as a field of a response.
	wire []byte
}

// view gives the view of a namespace.
func (g *generation) view(namespace string) (*view, error) {
	class := g.model.Class(namespace)
	g.mu.Lock()
	defer g.mu.Unlock()
	if v := g.views[class]; v != nil {
		return v, nil
	}
	of := g.model.View(namespace)
	v := g.made[of.Version()]
	if v == nil {
		var err error
		if v, err = newView(of); err != nil {
			return nil, err
		}
		g.made[of.Version()] = v
	}
	g.views[class] = v
	return v, nil
}

func newView(of *egress.View) (*view, error) {
	v := &view{of: of, standing: map[string][]*entry{}, byName: map[string]map[string]*entry{}, lookup: map[string]map[string]*entry{}}
	for typeURL, list := range map[string]func() ([]egress.Resource, error){
		egress.TypeCluster: of.Clusters, egress.TypeListener: of.Listeners, egress.TypeRoute: of.Routes,
	} {
		all, err := list()
		if err != nil {
			return nil, err
		}
		v.byName[typeURL], v.lookup[typeURL] = map[string]*entry{}, map[string]*entry{}
		for _, r := range all {
			e, err := newEntry(r)
			if err != nil {
				return nil, err
			}
			v.byName[typeURL][e.name] = e
			v.standing[typeURL] = append(v.standing[typeURL], e)
		}
	}
	return v, nil
}

// responseResources is the number of the field of DeltaDiscoveryResponse that an
// entry is.
const responseResources = 2

func newEntry(r egress.Resource) (*entry, error) {
	body, err := proto.Marshal(&discoveryv3.Resource{Name: r.Name, Version: r.Version, Resource: r.Body})
	if err != nil {
		return nil, fmt.Errorf("marshal %s: %w", r.Name, err)
	}
	wire := protowire.AppendTag(make([]byte, 0, len(body)+6), responseResources, protowire.BytesType)
	return &entry{name: r.Name, version: r.Version, wire: protowire.AppendBytes(wire, body)}, nil
}

// get gives a resource by name; nil where there is none.
func (v *view) get(typeURL, name string) (*entry, error) {
	if e := v.byName[typeURL][name]; e != nil {
		return e, nil
	}
	if typeURL == egress.TypeListener {
		return nil, nil
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if e := v.lookup[typeURL][name]; e != nil {
		return e, nil
	}
	find := v.of.OnDemand
	if typeURL == egress.TypeRoute {
		find = v.of.Route
	}
	r, ok, err := find(name)
	if err != nil || !ok {
		return nil, err // not kept: anybody may ask for any name
	}
	e, err := newEntry(r)
	if err != nil {
		return nil, err
	}
	v.lookup[typeURL][name] = e
	return e, nil
}
