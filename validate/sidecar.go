package validate

import (
	"encoding/json"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/internal/problem"
)

// KindSidecar is Istio's object that limits what the sidecars of a namespace are configured
// with. It is not read.
const KindSidecar = "Sidecar"

// sidecar validates a Sidecar by the text of its spec: nothing in it has an effect. A policy
// that it sets would be missed most.
func sidecar(m egress.Meta, spec []byte) (out problem.List) {
	const blocks = "REGISTRY_ONLY"
	var s struct {
		OutboundTrafficPolicy struct {
			Mode string `json:"mode"`
		} `json:"outboundTrafficPolicy"`
	}
	if json.Unmarshal(spec, &s) == nil && s.OutboundTrafficPolicy.Mode == blocks {
		out.Add(problem.Bypass("spec.outboundTrafficPolicy.mode", blocks,
			"no effect: Outrider does not read Sidecars, so this policy does not block undeclared hosts", `set outboundTrafficPolicy.mode in ConfigMap istio, key "mesh"`))
	}
	out.Add(problem.NoEffect("spec", "", "Outrider does not read Sidecars: its sidecars have all hosts that are exported to their namespace",
		"set exportTo in ServiceEntries to limit who sees them"))
	return out.In(KindSidecar + " " + m.Namespace + "/" + m.Name)
}
