package attack

import (
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// largeObjects: one namespace declares as many ports, hosts, addresses and routes as
// the API server lets it.
func largeObjects(t *testing.T, b *battery) {
	b.namespace(t, "large", false)
	type object struct {
		kind       schema.GroupVersionResource
		name, spec string
	}
	var all []object
	port := 0
	ports := func(n int) string {
		var out []string
		for range n {
			port++
			out = append(out, fmt.Sprintf(`{"number":%d,"name":"p%d","protocol":"TCP"}`, 1024+port%64000, port))
		}
		return strings.Join(out, ",")
	}
	entry := func(name, hosts, addresses, ports string) object {
		return object{entries, name, fmt.Sprintf(`{"hosts":[%s],"addresses":[%s],"location":"MESH_EXTERNAL","resolution":"DNS","ports":[%s]}`, hosts, addresses, ports)}
	}
	for i := range 7 {
		all = append(all, entry(fmt.Sprint("ports-", i), fmt.Sprintf(`"ports-%d.example.net"`, i), "", ports(3000)))
	}
	for i := range 200 {
		all = append(all, entry(fmt.Sprint("some-ports-", i), fmt.Sprintf(`"some-%d.example.net"`, i), fmt.Sprintf(`"198.51.%d.0/24"`, i), ports(100)))
	}
	for i := range 10 {
		all = append(all, entry(fmt.Sprint("hosts-", i), quoted(2000, fmt.Sprintf("h%%d-%d.example.net", i)), "", `{"number":80,"name":"http","protocol":"HTTP"}`))
		all = append(all, entry(fmt.Sprint("addresses-", i), fmt.Sprintf(`"a-%d.example.net"`, i), quoted(3000, fmt.Sprintf("198.%d.%%d.0/28", 18+i%2)), ports(20)))
		route := fmt.Sprintf(`{"match":[{"uri":{"prefix":"/%%d"}}],"route":[{"destination":{"host":"h0-%d.example.net"}}]}`, i)
		all = append(all, object{services, fmt.Sprint("routes-", i), fmt.Sprintf(`{"hosts":[%s],"http":[%s]}`, quoted(200, fmt.Sprintf("h%%d-%d.example.net", i)), each(3000, route))})
	}
	taken := 0
	var last error
	for _, o := range all {
		if err := b.object(o.kind, "large", o.name, o.spec); err != nil {
			last = err
			continue
		}
		taken++
	}
	t.Logf("%d of %d objects are accepted by the API server; the last error: %.600v", taken, len(all), last)
	b.neighbor.goesOn(t, 8)
	b.neighbor.closed(t)
	p := b.pod(t, bank, "ordinary")
	peak, err := b.MemoryPeak(string(p.UID))
	t.Logf("the neighbor's sidecar: memory at most %d MiB, %v", peak>>20, err)
	if peak > 200<<20 {
		t.Errorf("the neighbor's sidecar has taken %d MiB", peak>>20)
	}
}

// each is a list of a pattern with the numbers from 0.
func each(n int, pattern string) string {
	out := make([]string, n)
	for i := range out {
		out[i] = strings.ReplaceAll(pattern, "%d", fmt.Sprint(i))
	}
	return strings.Join(out, ",")
}

func quoted(n int, pattern string) string { return each(n, `"`+pattern+`"`) }
