package egress_test

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/egress/decide"
	"github.com/outrider-mesh/outrider/egress/envoy"
	"github.com/outrider-mesh/outrider/test/egresstest"
	"github.com/outrider-mesh/outrider/test/kit"
)

// resourcesOf are the bytes of all resources of a view, those on demand included.
func resourcesOf(t testing.TB, v *egress.View) []byte {
	t.Helper()
	var out bytes.Buffer
	add := func(all []envoy.Resource, err error) {
		kit.Must(t, err)
		for _, r := range all {
			body, err := proto.MarshalOptions{Deterministic: true}.Marshal(r.Body)
			kit.Must(t, err)
			fmt.Fprintf(&out, "%s\n%s\n", r.Name, body)
		}
	}
	add(envoy.Clusters(v))
	add(envoy.Listeners(v))
	add(envoy.Routes(v))
	for _, name := range v.Hosts() {
		r, ok, err := envoy.Cluster(v, name)
		kit.Must(t, err)
		fmt.Fprintln(&out, name, ok)
		if ok {
			add([]envoy.Resource{r}, nil)
		}
	}
	return out.Bytes()
}

// TestNoHijackWithShippedSettings has objects of a tenant, exported as the settings have it
// and as widely as an author can state: what another namespace's sidecars get is the same
// in all bytes.
func TestNoHijackWithShippedSettings(t *testing.T) {
	all := egresstest.Hijacks()
	if len(all) < 40 {
		t.Errorf("%d cases", len(all))
	}
	for _, mode := range []string{"ALLOW_ANY", "REGISTRY_ONLY"} {
		mesh := egresstest.Shipped(t, mode)
		m, problems := egress.Build(egresstest.Parse(t, mesh+egresstest.HijackWorld))
		if len(problems.Errors()) > 0 {
			t.Fatal(problems)
		}
		before, tenantBefore := m.View(egresstest.Victim), m.View(egresstest.Tenant)
		resources := resourcesOf(t, before)
		for _, h := range all {
			for _, exportTo := range [][]string{nil, {"*"}, {egresstest.Victim, "."}, {egresstest.Victim}} {
				t.Run(fmt.Sprint(mode, " ", h.Of, " ", h.Name, " ", exportTo), func(t *testing.T) {
					m, problems := egress.Build(h.Input(t, mesh, exportTo...))
					if errs := problems.Errors(); len(errs) > 0 {
						t.Errorf("the objects do not apply: %v", errs)
					}
					if exportTo == nil && m.ViewOf(egress.Workload{Namespace: egresstest.Tenant}).Version() == tenantBefore.Version() && !strings.Contains(h.Objects, "VirtualService") {
						t.Error("the objects have no effect in their own namespace: the case tests nothing")
					}
					after := m.View(egresstest.Victim)
					for _, q := range egresstest.HijackRequests() {
						if want, got := decide.Decide(before, q), decide.Decide(after, q); !reflect.DeepEqual(got, want) {
							t.Errorf("%+v\ngot  %+v\nwant %+v", q, got, want)
						}
					}
					if !bytes.Equal(resourcesOf(t, after), resources) || after.Version() != before.Version() {
						t.Error("the resources differ")
					}
				})
			}
		}
	}
}
