package debug

import (
	"maps"
	"slices"
	"time"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/egress/kube"
	"github.com/outrider-mesh/outrider/egress/xds"
)

// sidecarView is one sidecar's stream.
type sidecarView struct {
	Namespace      string                 `json:"namespace"`
	Pod            string                 `json:"pod,omitempty"`
	ServiceAccount string                 `json:"serviceAccount"`
	Node           string                 `json:"node"` // as it calls itself
	Since          time.Time              `json:"since"`
	Generation     uint64                 `json:"generation"`
	Resources      map[string]int         `json:"resources"` // how many it has, by type
	Rejected       map[string]rejectedSet `json:"rejected,omitempty"`
	// Omitted are the objects that it rejected and is configured without, with the reason.
	Omitted map[string]string `json:"omitted,omitempty"`
}

// rejectedSet is what a sidecar rejected of a type; it keeps what it had.
type rejectedSet struct {
	Resources []string `json:"resources"`
	Reason    string   `json:"reason"`
}

func sidecarViews(all []xds.StreamStatus) []sidecarView {
	out := make([]sidecarView, 0, len(all))
	for _, st := range all {
		v := sidecarView{
			Namespace: st.Identity.Namespace, Pod: st.Identity.Pod, ServiceAccount: st.Identity.ServiceAccount,
			Node: st.Node, Since: st.Since.UTC(), Generation: st.Generation, Resources: map[string]int{}, Omitted: st.Omitted,
		}
		for typeURL, sent := range st.Sent {
			for _, version := range sent {
				if version != "" {
					v.Resources[xds.ShortType(typeURL)]++
				}
			}
		}
		for _, typeURL := range slices.Sorted(maps.Keys(st.Rejected)) {
			if v.Rejected == nil {
				v.Rejected = map[string]rejectedSet{}
			}
			r := st.Rejected[typeURL]
			v.Rejected[xds.ShortType(typeURL)] = rejectedSet{r.Resources, r.Reason}
		}
		out = append(out, v)
	}
	return out
}

// dump is a sidecar with all that it was sent.
type dump struct {
	sidecarView
	Sent []xds.SentResource `json:"sent"`
}

func dumps(streams []xds.StreamStatus, resources [][]xds.SentResource) []dump {
	out := make([]dump, 0, len(streams))
	for i, v := range sidecarViews(streams) {
		out = append(out, dump{v, resources[i]})
	}
	return out
}

// rejectionView is one set of resources that sidecars rejected.
type rejectionView struct {
	Type      string   `json:"type"`
	Resources []string `json:"resources"`
	Reason    string   `json:"reason"`
	Sidecars  int      `json:"sidecars"`
	Example   string   `json:"example"` // one of the sidecars
}

func rejectionViews(all []xds.RejectionSummary) []rejectionView {
	out := make([]rejectionView, 0, len(all))
	for _, r := range all {
		out = append(out, rejectionView{xds.ShortType(r.TypeURL), r.Resources, r.Reason, r.Sidecars, r.Example.String()})
	}
	return out
}

// objectView is one object with its problems.
type objectView struct {
	Kind       string   `json:"kind"`
	Namespace  string   `json:"namespace"`
	Name       string   `json:"name"`
	Generation int64    `json:"generation"`
	Problems   []string `json:"problems,omitempty"`
}

func objectViews(r *kube.Result) []objectView {
	out := make([]objectView, 0, len(r.Objects))
	for _, o := range r.Objects {
		v := objectView{Kind: o.Kind, Namespace: o.Meta.Namespace, Name: o.Meta.Name, Generation: o.Generation}
		for _, p := range r.Problems.From(egress.Source(o.Kind, o.Meta)) {
			v.Problems = append(v.Problems, p.Severity.String()+": "+p.Finding())
		}
		out = append(out, v)
	}
	return out
}
