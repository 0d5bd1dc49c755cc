package egress

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	networkingv1alpha3 "istio.io/api/networking/v1alpha3"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/outrider-mesh/outrider/internal/problem"
)

// sidecar is a validated Sidecar. A part with an error exposes less, never more: an
// entry that imports imports nothing, one that excludes excludes everything, and an
// undeclared host is blocked unless the mesh allows it, too.
type sidecar struct {
	meta     Meta
	selector map[string]string // empty: all workloads of the namespace
	// listeners by port; 0 is that of all other ports.
	listeners map[uint32]listener
	inherits  bool // egress is absent
	policy    sidecarPolicy
	key       string // of what it exposes; empty: all that is exported
	ownOnly   bool   // it depends on the workload's namespace
}

// nothingKey is the key of a Sidecar that exposes nothing.
const nothingKey = "nothing"

// listener is an entry of spec.egress.
type listener struct {
	imports, excludes []pattern
	nothing           bool // whatever it imports
}

// sidecarPolicy is outboundTrafficPolicy of a Sidecar.
type sidecarPolicy int

const (
	policyOfMesh sidecarPolicy = iota
	policyRegistryOnly
	policyAllowAny
)

// readSidecar reads an object. One that is not readable exposes nothing.
func readSidecar(s Sidecar, readable bool, mesh *Mesh, r reporter) sidecar {
	out := sidecar{meta: s.Meta, listeners: map[uint32]listener{}}
	if s.Spec == nil || !readable {
		out.selector = s.Spec.GetWorkloadSelector().GetLabels()
		out.policy = policyRegistryOnly
		out.key = nothingKey
		return out
	}
	before := len(*r.all)
	r.fields(s.Spec, "spec")
	out.selector = readSelector(s.Spec, s.Meta, mesh, r)
	out.inherits = len(s.Spec.Egress) == 0
	for i, l := range s.Spec.Egress {
		out.addListener(l, fmt.Sprintf("spec.egress[%d]", i), r)
	}
	out.policy = readSidecarPolicy(s.Spec, mesh, r)
	if r.hasErrors(before) && out.policy == policyAllowAny && mesh.RegistryOnly {
		out.policy = policyRegistryOnly
	}
	out.key, out.ownOnly = keyOfListeners(out.listeners)
	return out
}

// readSelector reads the labels that pods have.
func readSelector(s *networkingv1alpha3.Sidecar, m Meta, mesh *Mesh, r reporter) map[string]string {
	of := s.GetWorkloadSelector().GetLabels()
	for _, name := range slices.Sorted(maps.Keys(of)) {
		path := "spec.workloadSelector.labels." + name
		if faults := validation.IsQualifiedName(name); len(faults) > 0 {
			r.error(path, name, "invalid label: "+faults[0], "use a label that pods have")
		}
		if strings.Contains(of[name], "*") {
			r.error(path, of[name], "wildcard is not supported in selector", "use the value that pods have")
		} else if faults := validation.IsValidLabelValue(of[name]); len(faults) > 0 {
			r.error(path, of[name], "invalid value of a label: "+faults[0], "use the value that pods have")
		}
	}
	if s.WorkloadSelector != nil && len(of) == 0 {
		r.add(problem.NoEffect("spec.workloadSelector", "", "without labels it selects all workloads of the namespace", "add labels, or remove it"))
	}
	if len(of) > 0 && m.Namespace == mesh.rootNamespace {
		r.add(problem.NoEffect("spec.workloadSelector", "", "in other namespaces than "+m.Namespace+": a default for all namespaces has no selector", "remove it, if the Sidecar is for all namespaces"))
	}
	return of
}

// addListener reads an entry of egress.
func (s *sidecar) addListener(l *networkingv1alpha3.IstioEgressListener, path string, r reporter) {
	port := l.GetPort().GetNumber()
	socket := strings.HasPrefix(l.GetBind(), "unix:")
	switch {
	case port > 65535:
		r.add(problem.Port(path+".port.number", fmt.Sprint(port)).WithFix("use the port that applications connect to, or remove the field"))
	case socket:
		r.add(problem.NoEffect(path+".bind", l.Bind, "sidecars listen on no Unix domain socket, and the hosts are not exposed", "remove bind and port"))
	case l.GetBind() != "":
		r.add(problem.NoEffect(path+".bind", l.Bind, "connections are captured, whatever address they are for", fixRemove))
	}
	if l.GetCaptureMode() == networkingv1alpha3.CaptureMode_NONE {
		r.add(problem.NoEffect(path+".captureMode", "NONE", "connections are captured, as the pod's annotations and the mesh have it", "remove it, or exclude the port with traffic.sidecar.istio.io/excludeOutboundPorts"))
	}
	if len(l.GetHosts()) == 0 {
		r.error(path+".hosts", "", "egress listener must contain at least one host", `add hosts such as "./*"; "~/*" exposes nothing`)
	}
	var read listener
	seen := map[string]bool{}
	for i, text := range l.GetHosts() {
		p, fault := readPattern(text, fmt.Sprintf("%s.hosts[%d]", path, i))
		if fault.Rule != "" {
			r.add(fault)
			read.nothing = read.nothing || p.excludes
			continue
		}
		if seen[text] {
			r.add(problem.Duplicate(p.path, text, "host").AsWarning())
			continue
		}
		seen[text] = true
		if p.excludes {
			read.excludes = append(read.excludes, p)
		} else {
			read.imports = append(read.imports, p)
		}
	}
	if len(read.imports) == 0 && len(read.excludes) > 0 && !slices.Equal(l.Hosts, []string{"~/*"}) {
		r.add(problem.NoEffect(path+".hosts", "", "entries exclude hosts, and none is imported: nothing is exposed", `add "*/*", or use "~/*" alone`))
	}
	if _, twice := s.listeners[port]; twice {
		what := fmt.Sprintf("port %d has another entry", port)
		if port == 0 {
			what = "only one entry can be without a port"
		}
		r.error(path+".port", "", what+", and this one is ignored", "merge the hosts of both")
		return
	}
	if !socket && port <= 65535 {
		s.listeners[port] = read
	}
}

// readSidecarPolicy reads outboundTrafficPolicy.
func readSidecarPolicy(s *networkingv1alpha3.Sidecar, mesh *Mesh, r reporter) sidecarPolicy {
	const path = "spec.outboundTrafficPolicy.mode"
	p := s.OutboundTrafficPolicy
	switch {
	case p == nil:
		return policyOfMesh
	case p.EgressProxy != nil: // what is meant for it must not leave in another way
		return policyRegistryOnly
	case p.Mode == networkingv1alpha3.OutboundTrafficPolicy_ALLOW_ANY:
		if mesh.RegistryOnly {
			r.warn(path, "ALLOW_ANY", "the mesh is REGISTRY_ONLY, and undeclared hosts are allowed for these workloads", "remove outboundTrafficPolicy, unless that is intended")
		}
		return policyAllowAny
	case p.Mode == networkingv1alpha3.OutboundTrafficPolicy_REGISTRY_ONLY:
		return policyRegistryOnly
	}
	r.add(problem.NotSupported(path, fmt.Sprint(int32(p.Mode)), "REGISTRY_ONLY", "ALLOW_ANY"))
	return policyRegistryOnly
}

// keyOfListeners is the same for Sidecars that expose the same; empty: everything that
// is exported. own is set where the namespace of the workload makes a difference.
func keyOfListeners(all map[uint32]listener) (key string, own bool) {
	if l, only := all[0]; only && len(all) == 1 && !l.nothing && len(l.excludes) == 0 &&
		slices.ContainsFunc(l.imports, func(p pattern) bool { return p.namespace == exportAll && p.name == "*" }) {
		return "", false
	}
	var b strings.Builder
	for _, port := range slices.Sorted(maps.Keys(all)) {
		l := all[port]
		fmt.Fprintf(&b, "%d %v", port, l.nothing)
		for _, list := range [][]pattern{l.imports, l.excludes} {
			texts := make([]string, 0, len(list))
			for _, p := range list {
				texts = append(texts, p.String())
				own = own || p.namespace == exportOwn
			}
			slices.Sort(texts)
			fmt.Fprintf(&b, " %q", slices.Compact(texts))
		}
		b.WriteByte(';')
	}
	if b.Len() == 0 {
		return nothingKey, false
	}
	sum := sha256.Sum256([]byte(b.String()))
	return hex.EncodeToString(sum[:8]), own
}
