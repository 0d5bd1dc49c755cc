package egress

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	networkingv1alpha3 "istio.io/api/networking/v1alpha3"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/outrider-mesh/outrider/internal/document"
	"github.com/outrider-mesh/outrider/internal/problem"
)

// entryPort is one valid port of an entry.
type entryPort struct {
	index          int // in spec.ports
	name           string
	number, target uint32
	protocol       Protocol
}

// readPortNames validates the names of the ports: endpoints refer to them.
func readPortNames(s *networkingv1alpha3.ServiceEntry, r reporter) {
	first := map[string]int{}
	for i, p := range s.Ports {
		path, name := func() string { return fmt.Sprintf("spec.ports[%d].name", i) }, p.GetName()
		other, twice := first[name]
		switch {
		case name == "" && len(s.Ports) > 1:
			r.add(problem.Required(path(), "give each port a name, such as http or tcp-db"))
		case name == "":
		case len(validation.IsDNS1123Label(strings.ToLower(name))) > 0:
			r.error(path(), name, "invalid port name: it must have 1 to 63 letters, digits and \"-\", and begin and end with a letter or a digit", "use a name such as http or tcp-db")
		case twice:
			r.add(problem.Duplicate(path(), name, fmt.Sprintf("port name, also in spec.ports[%d]", other)).WithFix("give each port a name of its own"))
		default:
			first[name] = i
		}
	}
}

// noteTargetPorts warns about target ports that nothing connects to.
func noteTargetPorts(s *networkingv1alpha3.ServiceEntry, ports []entryPort, r reporter) {
	for _, p := range ports {
		if p.target == p.number {
			continue
		}
		path, text := fmt.Sprintf("spec.ports[%d].targetPort", p.index), fmt.Sprint(p.target)
		switch {
		case p.protocol == ProtocolTCP && s.Resolution == networkingv1alpha3.ServiceEntry_NONE:
			r.add(problem.NoEffect(path, text, "TCP with resolution NONE goes to the original destination", "remove it, or use resolution DNS or STATIC"))
		case p.isOverridden(s):
			r.add(problem.NoEffect(path, text, "all endpoints have a port of their own for it", fixRemove))
		}
	}
}

// isOverridden reports whether all endpoints have a port of their own for a port.
func (p entryPort) isOverridden(s *networkingv1alpha3.ServiceEntry) bool {
	return len(s.Endpoints) > 0 && !slices.ContainsFunc(s.Endpoints, func(e *networkingv1alpha3.WorkloadEntry) bool {
		_, own := e.GetPorts()[p.name]
		return !own
	})
}

// portNames are the names of the ports of an entry.
type portNames struct {
	all   map[string]bool
	first []string // a few of them, for messages
}

func portNamesOf(s *networkingv1alpha3.ServiceEntry) portNames {
	const few = 20
	names := portNames{all: map[string]bool{}}
	for _, p := range s.Ports {
		names.all[p.GetName()] = true
		if p.GetName() != "" && len(names.first) < few {
			names.first = append(names.first, p.GetName())
		}
	}
	return names
}

// readEndpointPorts validates the ports of an endpoint, and reports whether they
// are valid. Each is the port for one port of the entry, by its name.
func (n portNames) readEndpointPorts(e *networkingv1alpha3.WorkloadEntry, path string, r reporter) bool {
	valid := true
	for _, name := range slices.Sorted(maps.Keys(e.GetPorts())) {
		at, number := path+".ports."+name, e.Ports[name]
		switch {
		case !n.all[name]:
			valid = false
			r.error(at, fmt.Sprint(number), fmt.Sprintf("no port in spec.ports has the name %s", problem.Quote(name)), n.fix(name))
		case number == 0 || number > 65535:
			valid = false
			r.add(problem.Port(at, fmt.Sprint(number)).WithFix("use the port that the endpoint serves"))
		}
	}
	return valid
}

// fix is the name to use instead of one that no port has.
func (n portNames) fix(name string) string {
	if near := document.Nearest(name, n.first); near != "" {
		return "did you mean " + problem.Quote(near) + "?"
	}
	if len(n.first) == 0 {
		return "give the port in spec.ports this name"
	}
	return "use " + strings.Join(n.first[:min(len(n.first), 5)], " or ")
}
