package egress_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	meshconfig "istio.io/api/mesh/v1alpha1"
	networkingv1alpha3 "istio.io/api/networking/v1alpha3"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/test/objects"
)

// meshWorld is a mesh as Istio's documentation describes one: who exports what, and which
// Sidecars there are. Its methods are the documented rules in the plainest form.
type meshWorld struct {
	serviceExportTo, routeExportTo []string
	visibility                     *meshconfig.ServiceEntryVisibility
	labels                         map[string]map[string]string // of namespaces
	registryOnly                   bool
	entries                        []worldEntry
	routes                         []worldEntry
	services                       []worldEntry
	sidecars                       []worldSidecar
}

// worldEntry is a ServiceEntry, a VirtualService or a Service with one host.
type worldEntry struct {
	namespace, host string
	exportTo        []string
	age             int // the smallest is the oldest
}

type worldSidecar struct {
	namespace string
	selector  map[string]string
	policy    *networkingv1alpha3.OutboundTrafficPolicy
	egress    []worldListener
	age       int
}

type worldListener struct {
	port  uint32
	hosts []string
}

const worldRoot = "root"

var worldNamespaces = []string{"a", "b", "c", worldRoot}

// exported: "." is the object's namespace, "*" all, "~" none; absent is the mesh's default,
// and without one all.
func (w *meshWorld) exported(e worldEntry, byDefault []string, to string) bool {
	list := e.exportTo
	if len(list) == 0 {
		list = byDefault
	}
	return len(list) == 0 || slices.Contains(list, "*") || slices.Contains(list, to) || slices.Contains(list, ".") && e.namespace == to
}

// visible: the first policy of which all rules match decides, or else the default; the
// narrower of it and exportTo counts.
func (w *meshWorld) visible(e worldEntry, to string) bool {
	if !w.exported(e, w.serviceExportTo, to) {
		return false
	}
	if w.visibility == nil || !w.visibility.ApplyToSidecars {
		return true
	}
	v := w.visibility.DefaultVisibility
	for _, p := range w.visibility.Policies {
		all := true
		for _, r := range p.MatchingRules {
			for k, value := range r.GetNamespaceSelector().MatchLabels {
				all = all && w.labels[e.namespace][k] == value
			}
		}
		if all {
			v = p.Visibility
			break
		}
	}
	switch v {
	case meshconfig.ServiceEntryVisibility_NONE:
		return false
	case meshconfig.ServiceEntryVisibility_NAMESPACE:
		return e.namespace == to
	}
	return true
}

// sidecar: one whose selector matches goes before the one of the namespace without a
// selector, and that before the one of the root namespace; of several the oldest. Without
// egress it inherits that of the next.
func (w *meshWorld) sidecar(namespace string, labels map[string]string) (s *worldSidecar, egress []worldListener) {
	oldest := func(keep func(worldSidecar) bool) *worldSidecar {
		var found *worldSidecar
		for i := range w.sidecars {
			if c := &w.sidecars[i]; keep(*c) && (found == nil || c.age < found.age) {
				found = c
			}
		}
		return found
	}
	for _, c := range []*worldSidecar{
		oldest(func(c worldSidecar) bool {
			if c.namespace != namespace || len(c.selector) == 0 {
				return false
			}
			for k, v := range c.selector {
				if labels[k] != v {
					return false
				}
			}
			return true
		}),
		oldest(func(c worldSidecar) bool { return c.namespace == namespace && len(c.selector) == 0 }),
		oldest(func(c worldSidecar) bool { return c.namespace == worldRoot && len(c.selector) == 0 }),
	} {
		if c != nil && s == nil {
			s = c
		}
		if c != nil && egress == nil {
			egress = c.egress
		}
	}
	return s, egress
}

// exposes: a host is exposed if an entry imports it and none excludes it. Of the listeners,
// the one with the port goes before the one without; port 0 is any of them.
func exposes(egress []worldListener, workload, namespace, host string, port uint32) bool {
	if egress == nil {
		return true
	}
	var of []worldListener
	for _, l := range egress {
		if port == 0 || l.port == port {
			of = append(of, l)
		}
	}
	if len(of) == 0 {
		for _, l := range egress {
			if l.port == 0 {
				of = append(of, l)
			}
		}
	}
	for _, l := range of {
		imported, excluded := false, false
		for _, text := range l.hosts {
			ns, name, _ := strings.Cut(text, "/")
			excludes := ns[0] == '~'
			if ns = strings.TrimPrefix(ns, "~"); ns == "" {
				ns = "*"
			}
			if ns == "." {
				ns = workload
			}
			if (ns == "*" || ns == namespace) && subset(host, name) {
				imported, excluded = imported || !excludes, excluded || excludes
			}
		}
		if imported && !excluded {
			return true
		}
	}
	return false
}

// importsRoutes: VirtualServices are imported by the namespace part, and excluded as hosts
// are.
func importsRoutes(egress []worldListener, workload, namespace, host string) bool {
	var widened []worldListener
	for _, l := range egress {
		out := worldListener{port: l.port}
		for _, text := range l.hosts {
			if ns, _, _ := strings.Cut(text, "/"); ns[0] != '~' {
				text = ns + "/*"
			}
			out.hosts = append(out.hosts, text)
		}
		widened = append(widened, out)
	}
	return exposes(widened, workload, namespace, host, 0)
}

// subset: a wildcard is the first label, and covers names and wildcards below it.
func subset(host, of string) bool {
	if of == "*" || host == of {
		return true
	}
	suffix, wildcard := strings.CutPrefix(of, "*")
	return wildcard && strings.HasSuffix(strings.TrimPrefix(host, "*"), suffix)
}

// sees is all that a workload sees. A host that several namespaces declare is that of its
// own namespace, or else the root's, or else the oldest's: there Istio's documentation
// leaves the choice open.
func (w *meshWorld) sees(namespace string, labels map[string]string) []string {
	s, egress := w.sidecar(namespace, labels)
	var out []string
	owner, rank := map[string]string{}, map[string][2]int{}
	type seen struct {
		worldEntry
		port uint32
	}
	var all []seen
	for _, e := range w.entries {
		for _, port := range []uint32{80, 81} {
			if !w.visible(e, namespace) || !exposes(egress, namespace, e.namespace, e.host, port) {
				continue
			}
			all = append(all, seen{e, port})
			r := [2]int{2, e.age}
			if e.namespace == worldRoot {
				r[0] = 1
			}
			if e.namespace == namespace {
				r[0] = 0
			}
			if best, has := rank[e.host]; !has || slices.Compare(r[:], best[:]) < 0 {
				owner[e.host], rank[e.host] = e.namespace, r
			}
		}
	}
	trusted := func(ns string) bool { return ns == namespace || ns == worldRoot }
	for _, e := range all {
		ns := e.namespace
		if ns != owner[e.host] && !(trusted(ns) && trusted(owner[e.host]) && !slices.ContainsFunc(all, func(o seen) bool { return o.host == e.host && o.port == e.port && o.namespace == owner[e.host] })) {
			continue
		}
		line := fmt.Sprintf("%s/%s:%d", ns, e.host, e.port)
		for _, routes := range []string{namespace, worldRoot, ns} {
			i := slices.IndexFunc(w.routes, func(r worldEntry) bool {
				return r.namespace == routes && r.host == e.host && w.exported(r, w.routeExportTo, namespace) && (egress == nil || importsRoutes(egress, namespace, r.namespace, r.host))
			})
			if i >= 0 {
				line += " routed by " + routes
				break
			}
		}
		out = append(out, line)
	}
	for i, e := range w.services {
		if w.exported(e, nil, namespace) && exposes(egress, namespace, e.namespace, e.host, 0) {
			out = append(out, fmt.Sprintf("service %d", i))
		}
	}
	only := w.registryOnly
	if s != nil && s.policy != nil {
		only = s.policy.Mode == networkingv1alpha3.OutboundTrafficPolicy_REGISTRY_ONLY
	}
	if only {
		out = append(out, "only")
	}
	slices.Sort(out)
	return out
}

// randomWorld is a world.
func randomWorld(r *rand.Rand) *meshWorld {
	lists := [][]string{nil, nil, {"."}, {"*"}, {"a"}, {"b", "c"}, {".", "d"}}
	w := &meshWorld{registryOnly: r.IntN(2) == 0, labels: map[string]map[string]string{}}
	for _, ns := range worldNamespaces {
		w.labels[ns] = map[string]string{"team": objects.Pick(r, "x", "y")}
	}
	if r.IntN(2) == 0 {
		w.serviceExportTo = objects.Pick(r, lists...)
		w.routeExportTo = objects.Pick(r, lists...)
	}
	if r.IntN(4) == 0 {
		w.visibility = randomVisibility(r)
	}
	hosts := []string{"one.test", "two.test", "x.deep.test", "other.example"}
	ages := r.Perm(100)
	age := func() int { out := ages[0]; ages = ages[1:]; return out }
	for _, ns := range worldNamespaces {
		for _, h := range append(slices.Clone(hosts), "*."+ns+".wild") {
			if r.IntN(3) == 0 {
				w.entries = append(w.entries, worldEntry{ns, h, objects.Pick(r, append(lists, []string{"~"})...), age()})
			}
			if r.IntN(4) == 0 && h[0] != '*' {
				w.routes = append(w.routes, worldEntry{ns, h, objects.Pick(r, lists...), age()})
			}
		}
		w.services = append(w.services, worldEntry{ns, "web." + ns + ".svc.cluster.local", objects.Pick(r, append(lists, nil, nil, []string{"~"})...), 0})
	}
	for range r.IntN(6) {
		w.sidecars = append(w.sidecars, randomSidecar(r, age()))
	}
	return w
}

func randomVisibility(r *rand.Rand) *meshconfig.ServiceEntryVisibility {
	level := func() meshconfig.ServiceEntryVisibility_Visibility {
		return meshconfig.ServiceEntryVisibility_Visibility(r.IntN(4))
	}
	v := &meshconfig.ServiceEntryVisibility{ApplyToSidecars: r.IntN(4) > 0, DefaultVisibility: level()}
	for range r.IntN(3) {
		p := &meshconfig.ServiceEntryVisibility_Policy{Visibility: level()}
		for range r.IntN(3) {
			p.MatchingRules = append(p.MatchingRules, &meshconfig.ServiceEntryVisibility_MatchRule{Matcher: &meshconfig.ServiceEntryVisibility_MatchRule_NamespaceSelector{
				NamespaceSelector: &meshconfig.LabelSelector{MatchLabels: map[string]string{"team": objects.Pick(r, "x", "y")}},
			}})
		}
		v.Policies = append(v.Policies, p)
	}
	return v
}

func randomSidecar(r *rand.Rand, age int) worldSidecar {
	s := worldSidecar{namespace: objects.Pick(r, worldNamespaces...), age: age}
	if r.IntN(2) == 0 {
		s.selector = objects.Pick(r, map[string]string{"app": "web"}, map[string]string{"app": "web", "v": "1"}, map[string]string{"v": "1"})
	}
	switch r.IntN(4) {
	case 0:
		s.policy = &networkingv1alpha3.OutboundTrafficPolicy{}
	case 1:
		s.policy = &networkingv1alpha3.OutboundTrafficPolicy{Mode: networkingv1alpha3.OutboundTrafficPolicy_ALLOW_ANY}
	}
	for _, port := range [][]uint32{nil, {0}, {0}, {0}, {80}, {80, 0}, {81, 80, 0}}[r.IntN(7)] {
		l := worldListener{port: port}
		for range 1 + r.IntN(4) {
			l.hosts = append(l.hosts, objects.Pick(r, "", "", "", "~")+objects.Pick(r, "a", "b", "c", "*", "*", ".", ".", worldRoot)+"/"+
				objects.Pick(r, "*", "*", "*", "one.test", "*.test", "*.deep.test", "x.deep.test", "*.a.wild", "*.wild", "*.svc.cluster.local", "web.b.svc.cluster.local"))
		}
		if r.IntN(12) == 0 {
			l.hosts = append(l.hosts, objects.Pick(r, "~/*", "~/one.test", "~/*.test"))
		}
		s.egress = append(s.egress, l)
	}
	return s
}

// input is the objects of a random case.
func (w *meshWorld) input() egress.Input {
	mc := &meshconfig.MeshConfig{RootNamespace: worldRoot, DefaultServiceExportTo: w.serviceExportTo, DefaultVirtualServiceExportTo: w.routeExportTo, ServiceEntryVisibility: w.visibility,
		OutboundTrafficPolicy: &meshconfig.MeshConfig_OutboundTrafficPolicy{Mode: meshconfig.MeshConfig_OutboundTrafficPolicy_ALLOW_ANY}}
	if w.registryOnly {
		mc.OutboundTrafficPolicy.Mode = meshconfig.MeshConfig_OutboundTrafficPolicy_REGISTRY_ONLY
	}
	in := egress.Input{Mesh: egress.CompileMesh(mc), Namespaces: w.labels}
	meta := func(ns string, n, age int) egress.Meta {
		return egress.Meta{Namespace: ns, Name: fmt.Sprintf("o%d", n), Created: time.Unix(int64(age), 0)}
	}
	for i, e := range w.entries {
		in.ServiceEntries = append(in.ServiceEntries, egress.ServiceEntry{Meta: meta(e.namespace, i, e.age), Spec: &networkingv1alpha3.ServiceEntry{
			Hosts: []string{e.host}, ExportTo: e.exportTo, Resolution: networkingv1alpha3.ServiceEntry_NONE,
			Ports: []*networkingv1alpha3.ServicePort{{Number: 80, Name: "a", Protocol: "HTTP"}, {Number: 81, Name: "b", Protocol: "HTTP"}},
		}})
	}
	for i, e := range w.routes {
		in.VirtualServices = append(in.VirtualServices, egress.VirtualService{Meta: meta(e.namespace, i, e.age), Spec: &networkingv1alpha3.VirtualService{
			Hosts: []string{e.host}, ExportTo: e.exportTo, Http: []*networkingv1alpha3.HTTPRoute{{DirectResponse: &networkingv1alpha3.HTTPDirectResponse{Status: 200}}},
		}})
	}
	for i, e := range w.services {
		in.InCluster = append(in.InCluster, egress.InClusterAddress{Address: netip.AddrFrom4([4]byte{10, 96, 0, byte(i + 1)}), ExportTo: e.exportTo, Service: egress.ServiceName{Namespace: e.namespace, Name: "web"}})
	}
	for i, s := range w.sidecars {
		spec := &networkingv1alpha3.Sidecar{OutboundTrafficPolicy: s.policy}
		if s.selector != nil {
			spec.WorkloadSelector = &networkingv1alpha3.WorkloadSelector{Labels: s.selector}
		}
		for _, l := range s.egress {
			listener := &networkingv1alpha3.IstioEgressListener{Hosts: l.hosts}
			if l.port > 0 {
				listener.Port = &networkingv1alpha3.SidecarPort{Number: l.port}
			}
			spec.Egress = append(spec.Egress, listener)
		}
		in.Sidecars = append(in.Sidecars, egress.Sidecar{Meta: meta(s.namespace, i, s.age), Spec: spec})
	}
	return in
}

// TestAgainstIstiosRules compares what workloads see in random worlds with the rules of
// Istio's documentation.
func TestAgainstIstiosRules(t *testing.T) {
	const worlds = 2000
	views, differing, sums, again := 0, map[string]bool{}, map[egress.Sum]string{}, 0
	for seed := range uint64(worlds) {
		w := randomWorld(rand.New(rand.NewPCG(seed, 1)))
		m, problems := egress.Build(w.input())
		if errs := problems.Errors(); len(errs) > 0 {
			t.Fatalf("seed %d: %v", seed, errs)
		}
		classes := map[string]string{}
		for _, ns := range append(slices.Clone(worldNamespaces), "empty") {
			for _, labels := range []map[string]string{nil, {"app": "web"}, {"app": "web", "v": "1"}, {"v": "1", "x": "y"}} {
				workload := egress.Workload{Namespace: ns, Labels: labels}
				v := m.ViewOf(workload)
				got, want := describe(v), strings.Join(w.sees(ns, labels), "\n")
				if got != want {
					t.Fatalf("seed %d, namespace %s, labels %v: sees\n%s\nwant\n%s\nworld %+v", seed, ns, labels, got, want, w)
				}
				views++
				differing[want] = true
				if version, has := classes[m.ClassOf(workload)]; has && version != v.Version() {
					t.Fatalf("seed %d, namespace %s, labels %v: two views of one class", seed, ns, labels)
				}
				classes[m.ClassOf(workload)] = v.Version()
				sum := m.Sum(workload)
				if version, has := sums[sum]; has {
					again++
					if version != v.Version() {
						t.Fatalf("seed %d, namespace %s, labels %v: two views of one sum", seed, ns, labels)
					}
				}
				sums[sum] = v.Version()
			}
		}
	}
	t.Logf("%d worlds, %d views, %d of them different, %d with the sum of another", worlds, views, len(differing), again)
	if again < worlds {
		t.Errorf("only %d views have the sum of another", again)
	}
}

// describe is a view in the words of meshWorld.sees.
func describe(v *egress.View) string {
	var out []string
	by := map[string]string{}
	for _, port := range []uint32{80, 81} {
		for _, d := range v.Domains(port) {
			if len(d.Routes) > 0 {
				by[d.Host.ClusterName()] = " routed by " + d.By.Namespace
			}
		}
	}
	for _, cluster := range v.Hosts() {
		h, _ := v.Host(cluster)
		out = append(out, fmt.Sprintf("%s/%s:%d%s", h.Meta.Namespace, h.Name, h.Port, by[cluster]))
	}
	for _, d := range v.InCluster() {
		out = append(out, fmt.Sprintf("service %d", d.Address.As4()[3]-1))
	}
	if v.Mesh().RegistryOnly {
		out = append(out, "only")
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}
