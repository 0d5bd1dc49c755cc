package egress_test

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/internal/problem"
	"github.com/outrider-mesh/outrider/test/egresstest"
	"github.com/outrider-mesh/outrider/test/kit"
)

var update = flag.Bool("update", false, "write the golden files")

// statuses are the problems in the status of all objects.
func statuses(t *testing.T, h egresstest.Hijack) (*egress.Model, problem.List) {
	t.Helper()
	m, problems := egress.Build(h.Input(t, "outboundTrafficPolicy: {mode: REGISTRY_ONLY}\n"))
	return m, append(problems, m.Precedence()...)
}

// TestBothAuthorsOfAHijackAreTold has the objects of a tenant with Istio's default: for
// what another namespace or the root namespace declares, the status of both objects has a
// warning, and admission has the one of the tenant. The golden file has their words.
func TestBothAuthorsOfAHijackAreTold(t *testing.T) {
	_, before := statuses(t, egresstest.Hijack{})
	var golden strings.Builder
	for _, h := range egresstest.Hijacks() {
		m, all := statuses(t, h)
		var tenant, victim []string
		for _, p := range all {
			switch {
			case slices.Contains(before, p): // about what the victim has without a tenant
				if strings.HasPrefix(h.Name, "TCP of the port") && p.Path == "spec.ports" {
					victim = append(victim, p.String()) // each applies in its namespace only, with a warning
				}
			case strings.Contains(p.Source, " "+egresstest.Tenant):
				tenant = append(tenant, p.String())
			default:
				victim = append(victim, p.String())
			}
		}
		if h.Of == egresstest.Victim || h.Of == "the root namespace" {
			if len(tenant) == 0 || len(victim) == 0 {
				t.Errorf("%s: the tenant is told %q, the other author %q", h.Name, tenant, victim)
			}
		}
		fmt.Fprintf(&golden, "# %s: %s\n%s\n", h.Of, h.Name, strings.Join(append(tenant, victim...), "\n"))
		for _, o := range m.All() {
			if o.Meta.Namespace != egresstest.Tenant {
				continue
			}
			source := egress.Source(o.Kind, o.Meta)
			admission := slices.DeleteFunc(slices.Clone(all.From(source)), func(p problem.Problem) bool { return slices.Contains(m.Precedence(), p) })
			admission = append(admission, m.CrossNamespaceConflicts(o.Kind, o.Meta.Namespace, o.Meta.Name)...)
			if got, want := sortedText(admission), sortedText(all.From(source)); got != want {
				t.Errorf("%s: %s: admission has\n%s\nthe status\n%s", h.Name, source, got, want)
			}
		}
	}
	const file = "testdata/hijacks.txt"
	if *update {
		kit.Must(t, os.WriteFile(file, []byte(golden.String()), 0o600))
	}
	want, err := os.ReadFile(file)
	kit.Must(t, err)
	if golden.String() != string(want) {
		t.Errorf("what the authors are told differs from %s; run go test ./egress -update and review the diff", file)
	}
}

func sortedText(l problem.List) string {
	lines := l.Strings()
	slices.Sort(lines)
	return strings.Join(slices.Compact(lines), "\n")
}
