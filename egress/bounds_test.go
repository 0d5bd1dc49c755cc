package egress_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/test/egresstest"
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
			in := egress.Input{Mesh: egresstest.Mesh(t, "")}
			in.Add(m, decoded)
			start := time.Now()
			_, found := egress.Build(in)
			if took := time.Since(start); took > 20*time.Second {
				t.Errorf("%d problems took %s", len(found), took)
			}
			if len(found) < 10_000 && name != "names" || len(problems) > 0 {
				t.Errorf("%d problems, and decoding %v", len(found), problems)
			}
		})
	}
}
