package debug

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/go-logr/logr"
	"golang.org/x/time/rate"
	"k8s.io/client-go/kubernetes"

	"github.com/outrider-mesh/outrider/egress/kube"
	"github.com/outrider-mesh/outrider/egress/xds"
)

// Path is the prefix of all endpoints.
const Path = "/debug/"

// index lists the endpoints, for users who find the first one.
const index = `/debug/sidecars                 connected sidecars: since when, what they rejected
/debug/sidecars/NAMESPACE/POD   full dump of what that pod's sidecar was sent
/debug/rejections               resources rejected by Envoy, with the reason
/debug/objects                  ServiceEntries and VirtualServices with their problems
`

// Options of the endpoints.
type Options struct {
	// Client needs create on tokenreviews and subjectaccessreviews.
	Client   kubernetes.Interface
	Sidecars *xds.Server
	Objects  *kube.Watcher
	Log      logr.Logger
}

// NewHandler serves the endpoints below Path to authorized users.
func NewHandler(o Options) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+Path+"{$}", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, index) })
	mux.HandleFunc("GET "+Path+"sidecars", func(w http.ResponseWriter, _ *http.Request) {
		write(w, sidecarViews(o.Sidecars.Status()))
	})
	mux.HandleFunc("GET "+Path+"sidecars/{namespace}/{pod}", o.sidecar)
	mux.HandleFunc("GET "+Path+"rejections", func(w http.ResponseWriter, _ *http.Request) {
		write(w, rejectionViews(o.Sidecars.Rejections()))
	})
	mux.HandleFunc("GET "+Path+"objects", o.objects)
	return authorized{o.Client, rate.NewLimiter(reviewRate, reviewBurst), o.Log, mux}
}

func (o Options) sidecar(w http.ResponseWriter, r *http.Request) {
	namespace, pod := r.PathValue("namespace"), r.PathValue("pod")
	streams, resources := o.Sidecars.Describe(namespace, pod)
	if len(streams) == 0 {
		http.Error(w, fmt.Sprintf("sidecar %s/%s is not connected to this replica; query the other replicas, or see its log: kubectl logs -n %[1]s %[2]s -c istio-proxy",
			namespace, pod), http.StatusNotFound)
		return
	}
	write(w, dumps(streams, resources))
}

func (o Options) objects(w http.ResponseWriter, _ *http.Request) {
	if r := o.Objects.Latest(); r != nil {
		write(w, objectViews(r))
		return
	}
	http.Error(w, o.Objects.Ready(nil).Error(), http.StatusServiceUnavailable)
}

func write(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	_ = e.Encode(v)
}
