package egress

import (
	"fmt"
	"slices"
	"strings"

	networkingv1alpha3 "istio.io/api/networking/v1alpha3"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/outrider-mesh/outrider/internal/document"
	"github.com/outrider-mesh/outrider/internal/problem"
)

// readGateways validates the gateways of a VirtualService, and reports whether it
// applies to the sidecars. One for other gateways has one warning, whatever it has;
// where the name of a gateway is an error, that error is the only problem.
func readGateways(s *networkingv1alpha3.VirtualService, r reporter) bool {
	const path = "spec.gateways"
	valid := readGatewayNames(s.Gateways, path, r)
	if !forMesh(s.Gateways) {
		fix := `add "mesh" to apply it to them`
		if nearlyMesh(s.Gateways[0]) {
			fix = meantMesh
		}
		if valid {
			r.add(problem.NoEffect(path+"[0]", s.Gateways[0], `nothing in this VirtualService applies to sidecars, whose only gateway is "mesh"`, fix))
		}
		return false
	}
	noteGateways(s.Gateways, nil, path, r)
	for i, route := range s.Http {
		readMatchGateways(route.GetMatch(), s.Gateways, fmt.Sprintf("spec.http[%d]", i), r)
	}
	for i, route := range s.Tls {
		readMatchGateways(route.GetMatch(), s.Gateways, fmt.Sprintf("spec.tls[%d]", i), r)
	}
	return true
}

func readMatchGateways[M interface{ GetGateways() []string }](matches []M, noted []string, path string, r reporter) {
	for i, m := range matches {
		if gateways := m.GetGateways(); len(gateways) > 0 {
			at := fmt.Sprintf("%s.match[%d].gateways", path, i)
			readGatewayNames(gateways, at, r)
			noteGateways(gateways, noted, at, r)
		}
	}
}

// noteGateways warns about gateways that do not exist here, except for those that
// were noted for the whole object.
func noteGateways(gateways, noted []string, path string, r reporter) {
	for i, g := range gateways {
		if g != meshGateway && !slices.Contains(noted, g) {
			r.add(problem.NoEffect(fmt.Sprintf("%s[%d]", path, i), g, "only gateway \"mesh\" is supported", "remove it, or use mesh"))
		}
	}
}

// readGatewayNames validates the names of gateways, NAME or NAMESPACE/NAME, and
// reports whether all are valid.
func readGatewayNames(gateways []string, path string, r reporter) bool {
	valid := true
	for i, g := range gateways {
		namespace, name, qualified := strings.Cut(g, "/")
		if !qualified {
			namespace, name = "default", g
		}
		if len(validation.IsDNS1123Label(namespace)) > 0 || len(validation.IsDNS1123Subdomain(name)) > 0 {
			fix := `use "mesh" for the sidecars, or NAMESPACE/NAME`
			if nearlyMesh(g) {
				fix = meantMesh
			}
			valid = false
			r.error(fmt.Sprintf("%s[%d]", path, i), g, "must be the name of a Gateway", fix)
		}
	}
	return valid
}

// meantMesh is the fix for a name that nearlyMesh reports.
const meantMesh = `did you mean "mesh"?`

func nearlyMesh(gateway string) bool {
	name := strings.ToLower(strings.TrimSpace(gateway))
	return name == meshGateway || document.Nearest(name, []string{meshGateway}) != ""
}
