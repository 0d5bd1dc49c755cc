package egress_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/test/egresstest"
	"github.com/outrider-mesh/outrider/test/kit"
)

// TestObjectsWithManyFaults has objects of the greatest size with a fault in each
// item of a list: reading them takes a time that grows with the size alone.
func TestObjectsWithManyFaults(t *testing.T) {
	const size = 1 << 20
	list := func(item string) string {
		var b strings.Builder
		for i := 0; b.Len() < size; i++ {
			b.WriteString(fmt.Sprintf(item, i) + ",")
		}
		return strings.TrimSuffix(b.String(), ",")
	}
	for name, spec := range map[string]string{
		"hosts":     `{"ports":[{"number":80,"name":"http"}],"hosts":[` + list(`"ü%d"`) + `]}`,
		"exportTo":  `{"hosts":["a.example"],"ports":[{"number":80,"name":"http"}],"exportTo":[` + list(`"%d*"`) + `]}`,
		"names":     `{"hosts":["*"],"ports":[{"number":80,"name":"http"}],"exportTo":[` + list(`"%d"`) + `, "*"]}`,
		"ports":     `{"hosts":["a.example"],"ports":[` + list(`{"number":0,"name":"_%d"}`) + `]}`,
		"endpoints": `{"hosts":["a.example"],"resolution":"DNS","ports":[{"number":80,"name":"http"}],"endpoints":[` + list(`{"address":"b.example","labels":{"a":"b"},"ports":{"p%d":1}}`) + `]}`,
	} {
		t.Run(name, func(t *testing.T) {
			m := egress.Meta{Namespace: "shop", Name: "e"}
			decoded, problems := egress.Decode(egress.KindServiceEntry, m, []byte(spec))
			in := egress.Input{Mesh: egresstest.Mesh(t, ""), Limits: egress.Limits{ObjectBytes: size, ObjectHosts: size, ObjectPorts: size, NamespaceHosts: size, NamespacePorts: size}}
			in.Add(m, decoded, 0)
			start := time.Now()
			_, found := egress.Build(in)
			if took := time.Since(start); took > 20*time.Second {
				t.Errorf("%d problems took %s", len(found), took)
			}
			if len(found) < 10_000 && name != "names" && name != "endpoints" || len(problems) > 0 {
				t.Errorf("%d problems, and decoding %v", len(found), problems)
			}
		})
	}
}

// TestManyEntriesOfOnePort has thousands of entries that share a port, half of them
// for TCP, and some of other namespaces: the model is made in a time that grows with
// their number alone.
func TestManyEntriesOfOnePort(t *testing.T) {
	const n = 20_000
	for name, entry := range map[string]func(i int) string{
		"addresses and names": func(i int) string {
			return []string{
				`"ports":[{"number":443,"name":"x","protocol":"TCP"}],"resolution":"DNS","addresses":["10.0.` + fmt.Sprintf("%d.%d", i>>8, i&255) + `"]`,
				`"ports":[{"number":443,"name":"x","protocol":"HTTP"}],"resolution":"DNS"`,
			}[i%2]
		},
		"ranges and endpoints": func(i int) string {
			return []string{
				`"ports":[{"number":8000,"name":"x","protocol":"TCP"}],"resolution":"DNS","addresses":["10.0.` + fmt.Sprintf("%d.%d/31", i>>8, i&254) + `"]`,
				`"ports":[{"number":8000,"name":"x","protocol":"HTTP"}],"resolution":"STATIC","endpoints":[{"address":"192.0.2.1"}]`,
			}[i%2]
		},
		"of namespaces": func(i int) string {
			return fmt.Sprintf(`"ports":[{"number":8000,"name":"x","protocol":"%s"}],"resolution":"DNS","exportTo":["n%d"]`, []string{"TCP", "TLS"}[i%2], i)
		},
		"TCP alone": func(int) string { return `"ports":[{"number":8000,"name":"x","protocol":"TCP"}],"resolution":"DNS"` },
	} {
		t.Run(name, func(t *testing.T) {
			in := egress.Input{Mesh: egresstest.Mesh(t, ""), Limits: egress.Limits{NamespaceObjects: n, NamespaceHosts: n}}
			for i := range n {
				m := egress.Meta{Namespace: "shop", Name: fmt.Sprint("e", i)}
				decoded, problems := egress.Decode(egress.KindServiceEntry, m, []byte(fmt.Sprintf(`{"hosts":["h%d.example"],%s}`, i, entry(i))))
				kit.Must(t, problems.Err())
				in.Add(m, decoded, 0)
			}
			start := time.Now()
			m, _ := egress.Build(in)
			_ = m.View("shop")
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("%d entries took %s", n, took)
			}
		})
	}
}
