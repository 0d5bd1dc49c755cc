package egress_test

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/test/egresstest"
	"github.com/outrider-mesh/outrider/test/kit"
)

// sidecarIn is a Sidecar, by its namespace and name; created is a day of January.
func sidecarIn(object string, created int, spec string) string {
	namespace, name, _ := strings.Cut(object, "/")
	return fmt.Sprintf("\n---\nkind: Sidecar\nmetadata: {namespace: %s, name: %s, created: \"2026-01-%02dT00:00:00Z\"}\nspec: {%s}\n", namespace, name, created, spec)
}

// exposures are hosts of several namespaces, and Services.
func exposures() string {
	var b strings.Builder
	for _, e := range []string{"shop/own.test", "bank/a.bank.test", "bank/b.bank.test", "gym/*.gym.test", "gym/a.bank.test", "istio-system/root.test"} {
		namespace, host, _ := strings.Cut(e, "/")
		b.WriteString(strings.ReplaceAll(entryIn(namespace+"/"+strings.Trim(strings.ReplaceAll(host, ".", "-"), "*-"),
			`hosts: ["`+host+`"], ports: [{number: 80, name: h, protocol: HTTP}, {number: 81, name: i, protocol: HTTP}]`), "resolution: DNS", ""))
	}
	b.WriteString(`
---
incluster:
- {address: 10.96.0.1, service: {namespace: default, name: kubernetes}}
- {address: 10.96.0.2, service: {namespace: shop, name: web}}
- {address: 10.96.0.3, service: {namespace: bank, name: web}}
`)
	return b.String()
}

// seenBy is what a workload reaches, as text: hosts with their namespaces and ports,
// Services, and the policy.
func seenBy(m *egress.Model, w egress.Workload) string {
	v := m.ViewOf(w)
	ports, order := map[string]string{}, []string{}
	for _, cluster := range v.Hosts() {
		h, _ := v.Host(cluster)
		key := h.Meta.Namespace + "/" + h.Name
		if ports[key] == "" {
			order = append(order, key)
		}
		ports[key] += fmt.Sprint(":", h.Port)
	}
	slices.SortStableFunc(order, func(a, b string) int { return cmp.Compare(strings.Count(a, "*"), strings.Count(b, "*")) })
	var out []string
	for _, key := range order {
		out = append(out, strings.TrimSuffix(key+ports[key], ":80:81"))
	}
	for _, d := range v.InCluster() {
		out = append(out, d.Address.String())
	}
	if v.Mesh().RegistryOnly {
		out = append(out, "only")
	}
	return strings.Join(out, " ")
}

// TestWhatASidecarExposes has a Sidecar of shop, and what its workloads see.
func TestWhatASidecarExposes(t *testing.T) {
	const everything = "bank/a.bank.test bank/b.bank.test shop/own.test istio-system/root.test gym/*.gym.test 10.96.0.1 10.96.0.2 10.96.0.3"
	for name, c := range map[string]struct{ spec, want string }{
		"everything":               {`egress: [{hosts: ["*/*"]}]`, everything},
		"no egress":                {``, everything},
		"its own":                  {`egress: [{hosts: ["./*"]}]`, "shop/own.test 10.96.0.2"},
		"its own, by name":         {`egress: [{hosts: ["shop/*"]}]`, "shop/own.test 10.96.0.2"},
		"one host":                 {`egress: [{hosts: ["bank/a.bank.test"]}]`, "bank/a.bank.test"},
		"one host of any":          {`egress: [{hosts: ["*/b.bank.test"]}]`, "bank/b.bank.test"},
		"the host of a third":      {`egress: [{hosts: ["gym/a.bank.test"]}]`, "gym/a.bank.test"},
		"a wildcard":               {`egress: [{hosts: ["bank/*.bank.test"]}]`, "bank/a.bank.test bank/b.bank.test"},
		"a wildcard for one":       {`egress: [{hosts: ["*/*.gym.test"]}]`, "gym/*.gym.test"},
		"a name under a wildcard":  {`egress: [{hosts: ["*/a.gym.test"]}]`, ""},
		"a wider wildcard":         {`egress: [{hosts: ["gym/*.test"]}]`, "gym/a.bank.test gym/*.gym.test"},
		"nothing":                  {`egress: [{hosts: ["~/*"]}]`, ""},
		"without a namespace":      {`egress: [{hosts: ["*/*", "~bank/*"]}]`, "gym/a.bank.test shop/own.test istio-system/root.test gym/*.gym.test 10.96.0.1 10.96.0.2"},
		"without a host":           {`egress: [{hosts: ["*/*", "~bank/a.bank.test"]}]`, strings.Replace(everything, "bank/a.bank.test bank/b", "gym/a.bank.test bank/b", 1)},
		"without a host of any":    {`egress: [{hosts: ["*/*", "~/a.bank.test"]}]`, strings.Replace(everything, "bank/a.bank.test ", "", 1)},
		"without all of any":       {`egress: [{hosts: ["*/*", "~*/*"]}]`, ""},
		"without its own":          {`egress: [{hosts: ["*/*", "~./*"]}]`, strings.Replace(strings.Replace(everything, "shop/own.test ", "", 1), "10.96.0.2 ", "", 1)},
		"a Service":                {`egress: [{hosts: ["default/kubernetes.default.svc.cluster.local"]}]`, "10.96.0.1"},
		"Services of all":          {`egress: [{hosts: ["*/*.svc.cluster.local"]}]`, "10.96.0.1 10.96.0.2 10.96.0.3"},
		"without a Service":        {`egress: [{hosts: ["*/*", "~bank/web.bank.svc.cluster.local"]}]`, strings.TrimSuffix(everything, " 10.96.0.3")},
		"on a port":                {`egress: [{port: {number: 81}, hosts: ["bank/*"]}]`, "bank/a.bank.test:81 bank/b.bank.test:81 10.96.0.3"},
		"on a port, and others":    {`egress: [{port: {number: 81}, hosts: ["bank/a.bank.test"]}, {hosts: ["shop/*"]}]`, "shop/own.test:80 bank/a.bank.test:81 10.96.0.2"},
		"only what is declared":    {`outboundTrafficPolicy: {mode: REGISTRY_ONLY}, egress: [{hosts: ["./*"]}]`, "shop/own.test 10.96.0.2 only"},
		"only, with everything":    {`outboundTrafficPolicy: {mode: REGISTRY_ONLY}`, everything + " only"},
		"a policy without a mode":  {`outboundTrafficPolicy: {}`, everything + " only"},
		"a policy that is allowed": {`outboundTrafficPolicy: {mode: ALLOW_ANY}, egress: [{hosts: ["./*"]}]`, "shop/own.test 10.96.0.2"},
	} {
		t.Run(name, func(t *testing.T) {
			m, problems := egress.Build(egresstest.Parse(t, "outboundTrafficPolicy: {mode: ALLOW_ANY}\n"+exposures()+sidecarIn("shop/s", 1, c.spec)))
			if errs := problems.Errors(); len(errs) > 0 {
				t.Fatal(errs)
			}
			if got := seenBy(m, egress.Workload{Namespace: "shop"}); got != c.want {
				t.Errorf("seen %q\nwant %q", got, c.want)
			}
			if got := seenBy(m, egress.Workload{Namespace: "hall"}); got != everything {
				t.Errorf("another namespace sees %q", got)
			}
			egresstest.Make(t, m.View("shop"))
		})
	}
}

// TestWhichSidecarApplies has several Sidecars, and the one that workloads of shop have.
func TestWhichSidecarApplies(t *testing.T) {
	const web = `workloadSelector: {labels: {app: web}}, `
	only := func(host string) string { return `egress: [{hosts: ["` + host + `"]}]` }
	all := sidecarIn("istio-system/default", 9, only("istio-system/*")) + sidecarIn("shop/default", 5, only("./*"))
	for name, c := range map[string]struct {
		sidecars  string
		namespace string
		labels    map[string]string
		want      string
	}{
		"that of the root namespace":     {all, "bank", nil, "istio-system/root.test"},
		"that of the namespace":          {all, "shop", nil, "shop/own.test 10.96.0.2"},
		"one that selects":               {all + sidecarIn("shop/web", 7, web+only("gym/*")), "shop", map[string]string{"app": "web", "x": "y"}, "gym/a.bank.test gym/*.gym.test"},
		"one that selects others":        {all + sidecarIn("shop/web", 1, web+only("gym/*")), "shop", map[string]string{"app": "api"}, "shop/own.test 10.96.0.2"},
		"a selector of two labels":       {all + sidecarIn("shop/web", 1, `workloadSelector: {labels: {app: web, v: "2"}}, `+only("gym/*")), "shop", map[string]string{"app": "web"}, "shop/own.test 10.96.0.2"},
		"the older of two that select":   {all + sidecarIn("shop/b", 1, web+only("bank/b.bank.test")) + sidecarIn("shop/a", 2, web+only("gym/*")), "shop", map[string]string{"app": "web"}, "bank/b.bank.test"},
		"the first name of two":          {all + sidecarIn("shop/b", 2, web+only("bank/b.bank.test")) + sidecarIn("shop/a", 2, web+only("bank/a.bank.test")), "shop", map[string]string{"app": "web"}, "bank/a.bank.test"},
		"the older without a selector":   {all + sidecarIn("shop/z", 1, only("bank/b.bank.test")), "shop", nil, "bank/b.bank.test"},
		"the root's selects its own":     {sidecarIn("istio-system/web", 1, web+only("gym/*")), "istio-system", map[string]string{"app": "web"}, "gym/a.bank.test gym/*.gym.test"},
		"the root's selects no other":    {all + sidecarIn("istio-system/web", 1, web+only("gym/*")), "bank", map[string]string{"app": "web"}, "istio-system/root.test"},
		"a tenant's in no other":         {sidecarIn("gym/default", 1, only("./*")), "bank", nil, "bank/a.bank.test bank/b.bank.test shop/own.test istio-system/root.test gym/*.gym.test 10.96.0.1 10.96.0.2 10.96.0.3"},
		"its own namespace, by the root": {sidecarIn("istio-system/default", 1, only("./*")), "bank", nil, "bank/a.bank.test bank/b.bank.test 10.96.0.3"},
		"hosts of the namespace's":       {all + sidecarIn("shop/web", 1, web+"outboundTrafficPolicy: {mode: REGISTRY_ONLY}"), "shop", map[string]string{"app": "web"}, "shop/own.test 10.96.0.2 only"},
		"hosts of the root's":            {sidecarIn("istio-system/default", 9, only("istio-system/*")) + sidecarIn("shop/default", 1, "outboundTrafficPolicy: {mode: REGISTRY_ONLY}"), "shop", nil, "istio-system/root.test only"},
		"no policy of the namespace's":   {sidecarIn("shop/default", 5, "outboundTrafficPolicy: {mode: REGISTRY_ONLY}, "+only("./*")) + sidecarIn("shop/web", 1, web+only("gym/*")), "shop", map[string]string{"app": "web"}, "gym/a.bank.test gym/*.gym.test"},
	} {
		t.Run(name, func(t *testing.T) {
			m, problems := egress.Build(egresstest.Parse(t, "{}\n"+exposures()+c.sidecars))
			if errs := problems.Errors(); len(errs) > 0 {
				t.Fatal(errs)
			}
			if got := seenBy(m, egress.Workload{Namespace: c.namespace, Labels: c.labels}); got != c.want {
				t.Errorf("seen %q\nwant %q", got, c.want)
			}
		})
	}
}

// TestSidecarProblems has Sidecars of shop in a mesh, and their problems; with
// errors, they never expose more than without them.
func TestSidecarProblems(t *testing.T) {
	const form = `use NAMESPACE/DNSNAME, such as "./*", "*/*.example.com" or "~bank/*"`
	hosts := func(list string) string { return "{egress: [{hosts: [" + list + "]}]}" }
	for name, c := range map[string]struct{ spec, want, seen string }{
		"no slash":                {hosts(`own.test, "./*"`), `error: spec.egress[0].hosts[0]: "own.test": must be a namespace and a host, with a slash between them; use "*/own.test", or "./own.test"`, "shop/own.test 10.96.0.2"},
		"no name":                 {hosts(`"./"`), `error: spec.egress[0].hosts[0]: "./": host is required; ` + form, ""},
		"a short name":            {hosts(`"shop/web"`), `error: spec.egress[0].hosts[0]: "shop/web": must be a fully qualified name: a Service is NAME.NAMESPACE.svc.cluster.local`, ""},
		"a star inside":           {hosts(`"*/a*.test"`), `error: spec.egress[0].hosts[0]: "*/a*.test": "*" is only allowed as the first label, or alone`, ""},
		"a pattern of namespaces": {hosts(`"team-*/*"`), `error: spec.egress[0].hosts[0]: "team-*/*": the namespace must be ".", "*", "~" or a name`, ""},
		"an invalid exclusion":    {hosts(`"*/*", "~bank/a*.test"`), `error: spec.egress[0].hosts[1]: "~bank/a*.test": "*" is only allowed`, ""},
		"an exclusion, no slash":  {hosts(`"*/*", "~bank"`), `error: spec.egress[0].hosts[1]: "~bank": must be a namespace and a host`, ""},
		"two at once":             {hosts(`"a", "b/c"`), "error: spec.egress[0].hosts[0]: \"a\"", ""},
		"no hosts":                {"{egress: [{}]}", "error: spec.egress[0].hosts: egress listener must contain at least one host", ""},
		"two without a port":      {`{egress: [{hosts: ["./*"]}, {hosts: ["*/*"]}]}`, "error: spec.egress[1].port: only one entry can be without a port, and this one is ignored", "shop/own.test 10.96.0.2"},
		"two with a port":         {`{egress: [{port: {number: 80}, hosts: ["./*"]}, {port: {number: 80}, hosts: ["*/*"]}]}`, "error: spec.egress[1].port: port 80 has another entry", "shop/own.test:80 10.96.0.2"},
		"no such port":            {`{egress: [{port: {number: 70000}, hosts: ["*/*"]}]}`, `error: spec.egress[0].port.number: "70000": port number must be in the range 1..65535`, ""},
		"a socket":                {`{egress: [{port: {number: 0}, bind: "unix:///run/a", hosts: ["*/*"]}]}`, `warning: spec.egress[0].bind: "unix:///run/a": no effect: sidecars listen on no Unix domain socket`, ""},
		"an address":              {`{egress: [{port: {number: 80}, bind: 127.0.0.1, hosts: ["./*"]}]}`, `warning: spec.egress[0].bind: "127.0.0.1": no effect: connections are captured`, "shop/own.test:80 10.96.0.2"},
		"not captured":            {`{egress: [{captureMode: NONE, hosts: ["./*"]}]}`, `warning: spec.egress[0].captureMode: "NONE": no effect`, "shop/own.test 10.96.0.2"},
		"twice":                   {hosts(`"./*", "./*"`), `warning: spec.egress[0].hosts[1]: "./*": duplicate host`, "shop/own.test 10.96.0.2"},
		"only exclusions":         {hosts(`"~bank/*"`), "warning: spec.egress[0].hosts: no effect: entries exclude hosts, and none is imported: nothing is exposed", ""},
		"no labels":               {`{workloadSelector: {}, egress: [{hosts: ["./*"]}]}`, "warning: spec.workloadSelector: no effect: without labels it selects all workloads of the namespace", "shop/own.test 10.96.0.2"},
		"a wildcard as label":     {`{workloadSelector: {labels: {app: "w*"}}, egress: [{hosts: ["./*"]}]}`, `error: spec.workloadSelector.labels.app: "w*": wildcard is not supported in selector`, "everything"},
		"a proxy":                 {`{outboundTrafficPolicy: {mode: ALLOW_ANY, egressProxy: {host: a.test}}, egress: [{hosts: ["./*"]}]}`, "error: spec.outboundTrafficPolicy.egressProxy: egressProxy is not supported: undeclared hosts are blocked while it is set", "shop/own.test 10.96.0.2 only"},
		"not declared":            {hosts(`"bank/none.test", "./*"`), `warning: spec.egress[0].hosts[0]: "bank/none.test": no effect: no visible ServiceEntry of that namespace declares this host`, "shop/own.test 10.96.0.2"},
		"of another namespace":    {hosts(`"bank/own.test", "./*"`), `warning: spec.egress[0].hosts[0]: "bank/own.test": no effect: no visible ServiceEntry of that namespace`, "shop/own.test 10.96.0.2"},
		"under a wildcard":        {hosts(`"gym/*", "~gym/a.gym.test"`), `warning: spec.egress[0].hosts[1]: "~gym/a.gym.test": *.gym.test of ServiceEntry gym/gym-test is exposed and covers this name`, "gym/a.bank.test gym/*.gym.test"},
		"a policy without a mode": {`{outboundTrafficPolicy: {}}`, "warning: spec.outboundTrafficPolicy: without mode it is REGISTRY_ONLY: undeclared hosts are blocked", "everything only"},
	} {
		t.Run(name, func(t *testing.T) {
			in := egresstest.Parse(t, "{}\n"+exposures())
			meta := egress.Meta{Namespace: "shop", Name: "s"}
			spec, found := egress.Decode(egress.KindSidecar, meta, jsonOf(t, c.spec))
			in.Add(meta, spec, len(c.spec))
			m, problems := egress.Build(in)
			all := append(found, problems...).From("Sidecar shop/s")
			if len(all) == 0 || !strings.HasPrefix(all[0].Severity.String()+": "+all[0].Finding(), c.want) || all[0].Fix == "" {
				t.Errorf("problems %v\nwant %s", all, c.want)
			}
			want := strings.Replace(c.seen, "everything", "bank/a.bank.test bank/b.bank.test shop/own.test istio-system/root.test gym/*.gym.test 10.96.0.1 10.96.0.2 10.96.0.3", 1)
			if got := seenBy(m, egress.Workload{Namespace: "shop"}); got != want {
				t.Errorf("seen %q\nwant %q", got, want)
			}
		})
	}
}

// TestSidecarsFailClosed has Sidecars that cannot be honoured, in a mesh that blocks what
// is undeclared.
func TestSidecarsFailClosed(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*egress.Input)
		want   string
	}{
		"ALLOW_ANY, valid":           {func(*egress.Input) {}, "shop/own.test 10.96.0.2"},
		"ALLOW_ANY, with an error":   {func(in *egress.Input) { in.Sidecars[0].Spec.Egress[0].Hosts = []string{"./*", "x"} }, "shop/own.test 10.96.0.2 only"},
		"it cannot be decoded":       {func(in *egress.Input) { in.Sidecars[0].Spec = nil }, "only"},
		"it is too large":            {func(in *egress.Input) { in.Sidecars[0].Bytes = 1 << 30 }, "only"},
		"there are too many of them": {func(in *egress.Input) { in.Limits.NamespaceSidecars = 1; in.Sidecars[0].Namespace = "gym" }, "bank/a.bank.test bank/b.bank.test shop/own.test istio-system/root.test gym/*.gym.test 10.96.0.1 10.96.0.2 10.96.0.3 only"},
	} {
		t.Run(name, func(t *testing.T) {
			in := egresstest.Parse(t, "outboundTrafficPolicy: {mode: REGISTRY_ONLY}\n"+exposures()+sidecarIn("shop/s", 2, `outboundTrafficPolicy: {mode: ALLOW_ANY}, egress: [{hosts: ["./*"]}]`))
			c.change(&in)
			m, _ := egress.Build(in)
			if got := seenBy(m, egress.Workload{Namespace: "shop"}); got != c.want {
				t.Errorf("seen %q\nwant %q", got, c.want)
			}
		})
	}
}

// TestUnknownLabels has a workload whose labels are not known: where a Sidecar selects by
// labels it sees nothing, whatever the Sidecars without a selector expose.
func TestUnknownLabels(t *testing.T) {
	const open = `outboundTrafficPolicy: {mode: ALLOW_ANY}, egress: [{hosts: ["*/*"]}]`
	m, _ := egress.Build(egresstest.Parse(t, "{}\n"+exposures()+sidecarIn("shop/selects", 1, "workloadSelector: {labels: {app: web}}, "+open)+sidecarIn("shop/all", 2, open)+sidecarIn("bank/all", 3, `egress: [{hosts: ["./*"]}]`)))
	for namespace, want := range map[string]string{"shop": "only", "bank": "bank/a.bank.test bank/b.bank.test 10.96.0.3"} {
		unknown := egress.Workload{Namespace: namespace, Unknown: true}
		if got := seenBy(m, unknown); got != want {
			t.Errorf("%s: seen %q, want %q", namespace, got, want)
		}
		for _, labels := range []map[string]string{nil, {"app": "web"}} {
			known := egress.Workload{Namespace: namespace, Labels: labels}
			if same := m.ClassOf(unknown) == m.ClassOf(known); same != (namespace == "bank") {
				t.Errorf("%s, labels %v: of one class with unknown labels: %v", namespace, labels, same)
			}
		}
	}
}

// TestSidecarConflicts has two Sidecars for the same workloads: the younger one has
// a warning.
func TestSidecarConflicts(t *testing.T) {
	const labels = `workloadSelector: {labels: {%s}}, egress: [{hosts: ["./*"]}]`
	for name, c := range map[string]struct{ older, younger, want string }{
		"without a selector": {`egress: [{hosts: ["./*"]}]`, `egress: [{hosts: ["*/*"]}]`, "warning: spec: no effect: Sidecar shop/z has no workloadSelector either, and takes precedence (older); merge the objects, or add a workloadSelector"},
		"the same labels":    {fmt.Sprintf(labels, "app: web"), fmt.Sprintf(labels, "app: web"), "warning: spec.workloadSelector: Sidecar shop/z takes precedence for workloads that both select (older); select by labels that no pod has both of"},
		"other labels":       {fmt.Sprintf(labels, "app: web"), fmt.Sprintf(labels, "v: a"), "warning: spec.workloadSelector: Sidecar shop/z takes precedence"},
		"another value":      {fmt.Sprintf(labels, "app: web"), fmt.Sprintf(labels, "app: api"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, problems := egress.Build(egresstest.Parse(t, "{}\n"+exposures()+sidecarIn("shop/a", 2, c.younger)+sidecarIn("shop/z", 1, c.older)))
			var got []string
			for _, p := range problems.From("Sidecar shop/a") {
				got = append(got, p.Severity.String()+": "+p.Finding())
			}
			if text := strings.Join(got, "\n"); !strings.HasPrefix(text, c.want) || c.want == "" && text != "" {
				t.Errorf("got %q, want %q", text, c.want)
			}
			if older := problems.From("Sidecar shop/z"); len(older) > 0 {
				t.Errorf("the older one: %v", older)
			}
		})
	}
}

// TestNotExposed names the Sidecar that keeps a host from a workload.
func TestNotExposed(t *testing.T) {
	m, _ := egress.Build(egresstest.Parse(t, "{}\n"+exposures()+sidecarIn("shop/s", 1, `egress: [{hosts: ["./*", "gym/*"]}]`)))
	for name, want := range map[string]string{
		"a.bank.test": "shop/s bank/a.bank.test", "own.test": "", "none.test": "", "x.gym.test": "", "web.bank.svc.cluster.local": "shop/s bank/web.bank.svc.cluster.local",
		"web.shop.svc.cluster.local": "", "root.test": "shop/s istio-system/root.test",
	} {
		by, host, found := m.NotExposed(egress.Workload{Namespace: "shop"}, name, 0)
		got := ""
		if found {
			got = by.Namespace + "/" + by.Name + " " + host
		}
		if got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if _, _, found := m.NotExposed(egress.Workload{Namespace: "bank"}, "root.test", 0); found {
		t.Error("a Sidecar of shop applies to bank")
	}
}

// TestExportedServices has a Service that is exported to some namespaces.
func TestExportedServices(t *testing.T) {
	for exportTo, want := range map[string]string{
		"": "shop bank", "*": "shop bank", ".": "bank", "shop": "shop", "., shop": "shop bank", "~": "", "team-*": "bank", "*, shop": "bank",
	} {
		in := egresstest.Parse(t, "outboundTrafficPolicy: {mode: REGISTRY_ONLY}\n")
		d := egress.InClusterAddress{Address: netip.MustParseAddr("10.96.0.3"), Service: egress.ServiceName{Namespace: "bank", Name: "web"}}
		for _, ns := range strings.Split(exportTo, ",") {
			if ns = strings.TrimSpace(ns); ns != "" {
				d.ExportTo = append(d.ExportTo, ns)
			}
		}
		in.InCluster = append(in.InCluster, d)
		m, _ := egress.Build(in)
		var sees []string
		for _, ns := range []string{"shop", "bank"} {
			if len(m.View(ns).InCluster()) > 0 {
				sees = append(sees, ns)
			}
		}
		if got := strings.Join(sees, " "); got != want {
			t.Errorf("%q: reached from %q, want %q", exportTo, got, want)
		}
	}
}

// jsonOf is YAML as JSON.
func jsonOf(t *testing.T, text string) []byte {
	t.Helper()
	out, err := yaml.YAMLToJSON([]byte(text))
	kit.Must(t, err)
	return out
}
