package rehearse

import (
	"fmt"
	"slices"
	"strings"

	networkingv1alpha3 "istio.io/api/networking/v1alpha3"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/egress/report"
)

// sidecarName is that of the proposed Sidecar.
const sidecarName = "default"

// enforce is the document of the Sidecar that blocks what is not declared in the
// namespace. Of two without a workloadSelector one has no effect, so a namespace that has
// one gets no other.
func enforce(o Options) (text string, warnings []string) {
	used := map[string]bool{}
	for _, s := range o.Objects.Sidecars {
		if s.Namespace != o.Namespace {
			continue
		}
		used[s.Name] = true
		if len(s.Spec.GetWorkloadSelector().GetLabels()) > 0 && !enforces(s, o.Objects.Mesh) {
			warnings = append(warnings, fmt.Sprintf("%s selects workloads by their labels, and its policy applies to them: they are not blocked", egress.Source(egress.KindSidecar, s.Meta)))
		}
	}
	own, found := namespaceSidecar(o)
	switch {
	case !found:
		return sidecarText(unused(used, sidecarName), o.Namespace), warnings
	case own.Name == sidecarName && own.Spec.GetEgress() == nil && enforces(own, nil):
		return sidecarText(sidecarName, o.Namespace), warnings
	}
	name := egress.Source(egress.KindSidecar, own.Meta)
	if enforces(own, o.Objects.Mesh) {
		return fmt.Sprintf("# %s blocks everything else in the namespace already.\n", name), warnings
	}
	text = fmt.Sprintf("# %s applies to the namespace, and a second Sidecar would have no effect. To block\n# everything else, set outboundTrafficPolicy.mode in it to REGISTRY_ONLY.\n", name)
	return text, append(warnings, fmt.Sprintf("--enforce adds no Sidecar: %s applies to the namespace already, and is not changed; to block everything else: kubectl -n %s patch sidecars.networking.istio.io %s --type=merge -p '{\"spec\":{\"outboundTrafficPolicy\":{\"mode\":\"REGISTRY_ONLY\"}}}'",
		name, o.Namespace, own.Name))
}

func sidecarText(name, namespace string) string {
	return fmt.Sprintf(`---
# Everything else is blocked in the namespace.
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata:
  name: %s
  namespace: %s
spec:
  outboundTrafficPolicy:
    mode: REGISTRY_ONLY
`, name, namespace)
}

// namespaceSidecar is the Sidecar of the namespace that applies to workloads without
// labels.
func namespaceSidecar(o Options) (egress.Sidecar, bool) {
	model, _ := egress.Build(o.Objects)
	meta, _, found := model.SidecarOf(egress.Workload{Namespace: o.Namespace})
	if !found || meta.Namespace != o.Namespace {
		return egress.Sidecar{}, false
	}
	for _, s := range o.Objects.Sidecars {
		if s.Namespace == meta.Namespace && s.Name == meta.Name {
			return s, true
		}
	}
	return egress.Sidecar{}, false
}

// enforces reports whether a Sidecar blocks what is not declared.
func enforces(s egress.Sidecar, mesh *egress.Mesh) bool {
	if p := s.Spec.GetOutboundTrafficPolicy(); p != nil {
		return p.Mode == networkingv1alpha3.OutboundTrafficPolicy_REGISTRY_ONLY
	}
	return mesh != nil && mesh.RegistryOnly
}

// maxSentences bounds the sentences about hosts.
const maxSentences = 20

// stillBlocked are sentences about hosts that would be blocked with all that is proposed:
// another object may take precedence, or a Sidecar may not expose the new ones.
func stillBlocked(o Options, groups []*group, all []report.Host) (out []string) {
	in := o.Objects
	for _, g := range groups {
		in.ServiceEntries = append(slices.Clip(in.ServiceEntries), egress.ServiceEntry{Meta: egress.Meta{Namespace: o.Namespace, Name: g.name}, Spec: g.spec()})
	}
	views, more := NewViews(Enforced(in), o.Namespace, o.Pods), 0
	for _, h := range all {
		blocking := views.blocking(h)
		if len(blocking) == 0 {
			continue
		}
		if _, fault := proposed(o, h.Destination); fault != "" {
			continue // it has a sentence
		}
		if len(out) == maxSentences {
			more++
			continue
		}
		at := blocking[0]
		d := decision(at.view, h.Destination)
		reason := strings.TrimPrefix(d.Reason, "blocked ("+d.Route+"): ")
		if by, name, found := views.model.NotExposed(at.of, h.Host, uint32(h.Port)); found {
			reason = fmt.Sprintf("%s does not expose %s; add it to egress.hosts there", egress.Source(egress.KindSidecar, by), name)
		}
		out = append(out, fmt.Sprintf("%s on port %d (%s), of %s, would be blocked with this proposal, too: %s", h.Host, h.Port, h.Protocol, h.Workload, reason))
	}
	if more > 0 {
		out = append(out, fmt.Sprintf("and %d more", more))
	}
	return out
}
