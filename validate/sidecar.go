package validate

import (
	"encoding/json"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/internal/problem"
)

// KindSidecar is Istio's object that limits what the sidecars of a namespace are configured
// with. It is not read.
const KindSidecar = "Sidecar"

// Sidecar validates a Sidecar by the text of its spec: nothing in it has an effect. A policy
// that it sets would be missed most.
func Sidecar(m egress.Meta, spec []byte) (out problem.List) {
	const blocks = "REGISTRY_ONLY"
	var s struct {
		OutboundTrafficPolicy struct {
			Mode string `json:"mode"`
		} `json:"outboundTrafficPolicy"`
	}
	if json.Unmarshal(spec, &s) == nil && s.OutboundTrafficPolicy.Mode == blocks {
		out.Add(problem.Bypass("spec.outboundTrafficPolicy.mode", blocks,
			"no effect: Sidecars are not read, so this policy does not block undeclared hosts", `set outboundTrafficPolicy.mode in ConfigMap istio, key "mesh"`))
	}
	out.Add(problem.NoEffect("spec", "", "Sidecars are not read: a sidecar has all hosts that are exported to its namespace",
		"remove the object; set exportTo in ServiceEntries to limit who sees them"))
	return out.In(KindSidecar + " " + m.Namespace + "/" + m.Name)
}
