package egress_test

import (
	"strings"
	"testing"
	"time"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/internal/problem"
	"github.com/outrider-mesh/outrider/test/egresstest"
)

func TestDecode(t *testing.T) {
	m := egress.Meta{Namespace: "shop", Name: "web"}
	for _, tt := range []struct {
		name, kind, spec string
		want             []string // problems; none: it is read
	}{
		{"entry", egress.KindServiceEntry, `{"hosts":["httpbin.org"],"ports":[{"number":80,"name":"http","protocol":"HTTP"}],"resolution":"DNS"}`, nil},
		{"a duration as Go writes it", egress.KindVirtualService, `{"hosts":["httpbin.org"],"http":[{"timeout":"1m30s"}]}`, nil},
		{"empty", egress.KindServiceEntry, `{}`, nil},
		{"absent", egress.KindServiceEntry, `null`, nil},
		{"two faults", egress.KindVirtualService, `{"hosts":["httpbin.org"],"http":[{"timeout":"soon","retires":{}}]}`, []string{
			`VirtualService shop/web: spec.http[0].timeout: "soon": must be a duration; use a number and a unit, such as 5s`,
			`VirtualService shop/web: spec.http[0].retires: unknown key`,
		}},
		{"a newer value", egress.KindServiceEntry, `{"hosts":["a.example"],"resolution":"LATER"}`, []string{`spec.resolution: "LATER": must be one of "NONE"`}},
		{"no mapping", egress.KindServiceEntry, `[]`, []string{"must be a mapping"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			spec, problems := egress.Decode(tt.kind, m, []byte(tt.spec))
			if (spec == nil) != (tt.want != nil) || len(problems) != len(tt.want) {
				t.Fatalf("spec %v, problems %v; want %q", spec, problems, tt.want)
			}
			for i, want := range tt.want {
				if got := problems[i].String(); !strings.Contains(got, want) || problems[i].Severity != problem.Error {
					t.Errorf("problem %q, want %q in it", got, want)
				}
			}
		})
	}
}

// TestProblemsOfDecodingAreKept has the problems of objects that were not
// decoded among the others, in order.
func TestProblemsOfDecodingAreKept(t *testing.T) {
	in := egress.Input{Mesh: egresstest.Mesh(t, "")}
	for _, name := range []string{"b", "a"} {
		m := egress.Meta{Namespace: "shop", Name: name, Created: time.Unix(1, 0)}
		spec, problems := egress.Decode(egress.KindServiceEntry, m, []byte(`{"hosts":["`+name+`.example"],"nosuch":1}`))
		in.Add(m, spec, 0)
		in.Problems = append(in.Problems, problems...)
	}
	m := egress.Meta{Namespace: "shop", Name: "aa"}
	spec, _ := egress.Decode(egress.KindServiceEntry, m, []byte(`{"hosts":["aa.example"]}`))
	in.Add(m, spec, 0)
	_, problems := egress.Build(in)
	var sources []string
	for _, p := range problems {
		sources = append(sources, p.Source)
	}
	if got, want := strings.Join(sources, ", "), "ServiceEntry shop/a, ServiceEntry shop/aa, ServiceEntry shop/b"; got != want {
		t.Errorf("problems of %q, want %q: %v", got, want, problems)
	}
}
