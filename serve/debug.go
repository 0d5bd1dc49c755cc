package serve

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/egress/kube"
	"github.com/outrider-mesh/outrider/egress/xds"
)

// debugPath is where the views are, on the webhook's port.
const debugPath = "/debug/"

// debugPages says what the views are, for people who find the first one.
const debugPages = `/debug/sidecars                 the connected sidecars: since when, what they refused
/debug/sidecars/NAMESPACE/POD   what that pod's sidecar has been sent, whole
/debug/rejections               what connected sidecars do not take, and why
/debug/objects                  ServiceEntries and VirtualServices, and what is wrong with them
`

// debug serves the views to those who may get their paths.
func (s *sidecars) debug() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+debugPath+"{$}", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, debugPages) })
	mux.HandleFunc("GET "+debugPath+"sidecars", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, summaries(s.server.Status()))
	})
	mux.HandleFunc("GET "+debugPath+"sidecars/{namespace}/{pod}", s.debugPod)
	mux.HandleFunc("GET "+debugPath+"rejections", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, rejectionSummaries(s.server.Rejections()))
	})
	mux.HandleFunc("GET "+debugPath+"objects", func(w http.ResponseWriter, _ *http.Request) {
		if r := s.latest.Load(); r != nil {
			answer(w, objectsView(*r))
			return
		}
		http.Error(w, s.watcher.Ready(nil).Error(), http.StatusServiceUnavailable)
	})
	return guard{s.client, s.log.WithName("debug"), mux}
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	_ = e.Encode(v)
}

// sidecarView is one sidecar's stream.
type sidecarView struct {
	Namespace      string                   `json:"namespace"`
	Pod            string                   `json:"pod,omitempty"`
	ServiceAccount string                   `json:"serviceAccount"`
	Node           string                   `json:"node"` // as it calls itself
	Since          time.Time                `json:"since"`
	Generation     uint64                   `json:"generation"`
	Resources      map[string]int           `json:"resources"` // how many it has, by type
	Rejected       map[string]rejectionView `json:"rejected,omitempty"`
}

// rejectionView is what a sidecar did not take; it keeps what it had.
type rejectionView struct {
	Resources []string `json:"resources"`
	Reason    string   `json:"reason"`
}

func summaries(all []xds.StreamStatus) []sidecarView {
	out := make([]sidecarView, 0, len(all))
	for _, st := range all {
		v := sidecarView{
			Namespace: st.Identity.Namespace, Pod: st.Identity.Pod, ServiceAccount: st.Identity.ServiceAccount,
			Node: st.Node, Since: st.Since.UTC(), Generation: st.Generation, Resources: map[string]int{},
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
				v.Rejected = map[string]rejectionView{}
			}
			r := st.Rejected[typeURL]
			v.Rejected[xds.ShortType(typeURL)] = rejectionView{r.Resources, r.Reason}
		}
		out = append(out, v)
	}
	return out
}

// summaryView is one thing that sidecars do not take.
type summaryView struct {
	Type      string   `json:"type"`
	Resources []string `json:"resources"`
	Reason    string   `json:"reason"`
	Sidecars  int      `json:"sidecars"`
	Example   string   `json:"example"` // one of them
}

func rejectionSummaries(all []xds.RejectionSummary) []summaryView {
	out := make([]summaryView, 0, len(all))
	for _, r := range all {
		out = append(out, summaryView{xds.ShortType(r.TypeURL), r.Resources, r.Reason, r.Sidecars, r.Example.String()})
	}
	return out
}

func (s *sidecars) debugPod(w http.ResponseWriter, r *http.Request) {
	namespace, pod := r.PathValue("namespace"), r.PathValue("pod")
	streams, resources := s.server.Describe(namespace, pod)
	if len(streams) == 0 {
		http.Error(w, fmt.Sprintf("no sidecar of pod %s/%s is connected to this replica; ask the others, or see its log: kubectl logs -n %[1]s %[2]s -c istio-proxy",
			namespace, pod), http.StatusNotFound)
		return
	}
	type described struct {
		sidecarView
		Sent []xds.SentResource `json:"sent"`
	}
	out := make([]described, 0, len(streams))
	for i, v := range summaries(streams) {
		out = append(out, described{v, resources[i]})
	}
	answer(w, out)
}

// objectView is one object with what is wrong with it.
type objectView struct {
	Kind       string   `json:"kind"`
	Namespace  string   `json:"namespace"`
	Name       string   `json:"name"`
	Generation int64    `json:"generation"`
	Problems   []string `json:"problems,omitempty"`
}

func objectsView(r kube.Result) []objectView {
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
