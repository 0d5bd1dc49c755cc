package egress_test

import (
	"strings"
	"testing"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/internal/problem"
	"github.com/outrider-mesh/outrider/test/egresstest"
)

// TestWhoSeesObjects has a ServiceEntry of namespace bank, and the namespaces that see
// it, for settings of the mesh and of the entry.
func TestWhoSeesObjects(t *testing.T) {
	const policies = "serviceEntryVisibility: {applyToSidecars: true, defaultVisibility: %, policies: [" +
		"{visibility: PUBLIC, matchingRules: [{namespaceSelector: {matchLabels: {team: core}}}, {namespaceSelector: {matchExpressions: [{key: env, operator: NotIn, values: [test]}]}}]}, " +
		"{visibility: NONE, matchingRules: [{namespaceSelector: {matchLabels: {team: core}}}]}]}"
	with := func(byDefault string) string { return strings.Replace(policies, "%", byDefault, 1) }
	byName := func(name string) string {
		return "serviceEntryVisibility: {applyToSidecars: true, defaultVisibility: NAMESPACE, policies: [{visibility: PUBLIC, matchingRules: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: " + name + "}}}]}]}"
	}
	core, coreTest, other := map[string]string{"team": "core"}, map[string]string{"team": "core", "env": "test"}, map[string]string{}
	for name, c := range map[string]struct {
		mesh, exportTo string
		labels         map[string]string
		want, told     string
	}{
		"Istio's default":              {"{}", "", other, "bank shop gym", ""},
		"the default is its own":       {"defaultServiceExportTo: ['.']", "", other, "bank", ""},
		"the default is another":       {"defaultServiceExportTo: [shop, '.']", "", other, "bank shop", ""},
		"the default is nobody":        {"defaultServiceExportTo: ['~']", "", other, "", ""},
		"the entry's own value":        {"defaultServiceExportTo: ['.']", "'*'", other, "bank shop gym", ""},
		"that of VirtualServices":      {"defaultVirtualServiceExportTo: ['.']", "", other, "bank shop gym", ""},
		"for ambient only":             {"serviceEntryVisibility: {defaultVisibility: NONE}", "", other, "bank shop gym", ""},
		"own namespace at most":        {with("NAMESPACE"), "'*'", other, "bank", "spec.exportTo: no effect: serviceEntryVisibility of the mesh is NAMESPACE for namespace bank"},
		"own namespace, not stated":    {with("NAMESPACE"), "", other, "bank", ""},
		"own namespace and not its":    {with("NAMESPACE"), "shop", other, "", "spec.exportTo: no effect: serviceEntryVisibility"},
		"the first policy":             {with("NAMESPACE"), "'*'", core, "bank shop gym", ""},
		"exportTo is narrower":         {with("NAMESPACE"), "shop", core, "shop", ""},
		"the second policy":            {with("NAMESPACE"), "", coreTest, "", "spec: no effect: serviceEntryVisibility of the mesh is NONE for namespace bank: no namespace sees this entry"},
		"unspecified is public":        {with("VISIBILITY_UNSPECIFIED"), "", other, "bank shop gym", ""},
		"a namespace that is not read": {with("PUBLIC"), "", nil, "", "is NONE for namespace bank"},
		"by its name, not read":        {byName("bank"), "'*'", nil, "bank shop gym", ""},
		"another by its name":          {byName("core"), "'*'", nil, "bank", "is NAMESPACE for namespace bank"},
		"a label that claims a name":   {byName("core"), "'*'", map[string]string{"kubernetes.io/metadata.name": "core"}, "bank", "is NAMESPACE"},
		"by its name, then by a label": {strings.Replace(byName("bank"), "policies: [", "policies: [{visibility: NONE, matchingRules: [{namespaceSelector: {matchLabels: {a: b}}}]}, ", 1), "'*'", nil, "", "is NONE for namespace bank"},
		"policies without rules":       {"serviceEntryVisibility: {applyToSidecars: true, policies: [{visibility: NAMESPACE}]}", "", other, "bank", ""},
	} {
		t.Run(name, func(t *testing.T) {
			exportTo := ""
			if c.exportTo != "" {
				exportTo = ", exportTo: [" + c.exportTo + "]"
			}
			in := egresstest.Parse(t, c.mesh+"\n"+entryIn("bank/e", "hosts: [a.test], ports: [{number: 80, name: h, protocol: HTTP}], resolution: DNS"+exportTo))
			if c.labels != nil {
				in.Namespaces = map[string]map[string]string{"bank": c.labels}
			}
			m, problems := egress.Build(in)
			var sees []string
			for _, ns := range []string{"bank", "shop", "gym"} {
				if len(m.View(ns).Hosts()) > 0 {
					sees = append(sees, ns)
				}
			}
			if got := strings.Join(sees, " "); got != c.want {
				t.Errorf("seen by %q, want %q", got, c.want)
			}
			if got := strings.Join(problems.From("ServiceEntry bank/e").Strings(), "\n"); !strings.Contains(got, c.told) || c.told == "" && got != "" {
				t.Errorf("told %q, want %q", got, c.told)
			}
		})
	}
}

// TestNamesOfNamespacesAreKnown: policies by the names of namespaces, as the shipped one,
// need no labels from the API server.
func TestNamesOfNamespacesAreKnown(t *testing.T) {
	if m := egresstest.Mesh(t, egresstest.Shipped(t, "ALLOW_ANY")); m.ReadsNamespaces() {
		t.Error("with the shipped settings, the labels of namespaces are read")
	}
	if m := egresstest.Mesh(t, "serviceEntryVisibility: {applyToSidecars: true, policies: [{visibility: NONE, matchingRules: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: a, b: c}}}]}]}"); !m.ReadsNamespaces() {
		t.Error("with a policy by another label, they are not read")
	}
}

// TestDefaultsWithErrors has settings with an error: less is seen than with the default.
func TestDefaultsWithErrors(t *testing.T) {
	for name, c := range map[string]struct{ mesh, want string }{
		"a pattern":           {"defaultServiceExportTo: ['team-*']", `defaultServiceExportTo[0]: "team-*": must be ".", "*" or the name of a namespace; list the namespaces by name`},
		"two forms":           {"defaultServiceExportTo: ['.', '*']", `defaultServiceExportTo[1]: "*": cannot be combined with other values`},
		"twice":               {"defaultServiceExportTo: [shop, shop]", `defaultServiceExportTo[1]: "shop": duplicate namespace shop`},
		"of VirtualServices":  {"defaultServiceExportTo: ['.']\ndefaultVirtualServiceExportTo: ['']", `defaultVirtualServiceExportTo[0]: must be ".", "*"`},
		"a rule of nothing":   {"serviceEntryVisibility: {applyToSidecars: true, policies: [{visibility: NAMESPACE, matchingRules: [{}]}]}", "serviceEntryVisibility.policies[0].matchingRules[0].namespaceSelector: required"},
		"an invalid operator": {"serviceEntryVisibility: {applyToSidecars: true, policies: [{visibility: NAMESPACE, matchingRules: [{namespaceSelector: {matchExpressions: [{key: a, operator: Like}]}}]}]}", `serviceEntryVisibility.policies[0].matchingRules[0].namespaceSelector: invalid label selector: "Like" is not a valid label selector operator`},
		"a policy after it":   {"serviceEntryVisibility: {applyToSidecars: true, policies: [{visibility: PUBLIC, matchingRules: []}, {visibility: NAMESPACE, matchingRules: [{}]}]}", "policies[1].matchingRules[0].namespaceSelector: required"},
	} {
		t.Run(name, func(t *testing.T) {
			in := egresstest.Parse(t, c.mesh+"\n"+entryIn("bank/e", "hosts: [a.test], ports: [{number: 80, name: h, protocol: HTTP}], resolution: DNS"))
			in.Namespaces = map[string]map[string]string{"bank": {}}
			m, problems := egress.Build(in)
			errs := problems.From(egress.KindMesh).Errors()
			if len(errs) != 1 || !strings.Contains(errs[0].String(), c.want) || errs[0].Fix == "" || errs[0].Severity != problem.Error {
				t.Errorf("problems %v, want %s", problems, c.want)
			}
			if got := m.View("shop").Hosts(); len(got) > 0 {
				t.Errorf("another namespace sees %s", got)
			}
		})
	}
}
