package xds

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/outrider-mesh/outrider/egress/envoy"
)

// SentResource is a resource that a sidecar has.
type SentResource struct {
	Type    string          `json:"type"` // Cluster, Listener, RouteConfiguration or Runtime
	Name    string          `json:"name"`
	Version string          `json:"version"` // empty: sent as removed
	Body    json.RawMessage `json:"body,omitempty"`
	// Note is the reason why there is no body.
	Note string `json:"note,omitempty"`
}

// Describe returns the streams of a pod, and every resource that was sent on
// each, sorted by type and name.
func (s *Server) Describe(namespace, pod string) (out []StreamStatus, resources [][]SentResource) {
	s.mu.Lock()
	var all []*stream
	for st := range s.streams {
		if st.identity.Namespace == namespace && st.identity.Pod == pod {
			all = append(all, st)
		}
	}
	s.mu.Unlock()
	slices.SortFunc(all, func(a, b *stream) int { return a.since.Compare(b.since) })
	for _, st := range all {
		status := st.status()
		out, resources = append(out, status), append(resources, st.describe(status))
	}
	return out, resources
}

func (st *stream) describe(status StreamStatus) (out []SentResource) {
	st.mu.Lock()
	v := st.view
	st.mu.Unlock()
	for typeURL, sent := range status.Sent {
		for name, version := range sent {
			r := SentResource{Type: ShortType(typeURL), Name: name, Version: version}
			if version != "" {
				r.Body, r.Note = v.body(typeURL, name, version)
			}
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b SentResource) int { return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Name, b.Name)) })
	return out
}

// body is a resource as JSON. Only the current version is kept.
func (v *view) body(typeURL, name, version string) (json.RawMessage, string) {
	find := v.get
	if typeURL == envoy.TypeRuntime {
		find = func(string, string) (*entry, error) { return runtimeOf(envoy.ReportMode(version)) }
	}
	e, err := find(typeURL, name)
	if err != nil {
		return nil, err.Error()
	}
	if e == nil || e.version != version {
		return nil, "update pending"
	}
	text, err := e.json()
	if err != nil {
		return nil, err.Error()
	}
	return text, ""
}

func (e *entry) json() (json.RawMessage, error) {
	r := &discoveryv3.DeltaDiscoveryResponse{} // the entry is a field of it
	if err := proto.Unmarshal(e.wire, r); err != nil {
		return nil, fmt.Errorf("read %s: %w", e.name, err)
	}
	text, err := protojson.Marshal(r.Resources[0].Resource)
	if err != nil {
		return nil, fmt.Errorf("write %s as JSON: %w", e.name, err)
	}
	return text, nil
}
