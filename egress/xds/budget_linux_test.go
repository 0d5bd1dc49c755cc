package xds

import (
	"fmt"
	"strings"
	"testing"

	"github.com/outrider-mesh/outrider/egress"
)

// TestPortsOfOthersAreLimited has a sidecar of shop, and then entries of others with
// tens of thousands of ports: first of one namespace, which are over its limits, and
// then of many that are within theirs. The sidecar has as many listeners as one may
// have, those of its namespace among them, and the edits of its namespace arrive.
func TestPortsOfOthersAreLimited(t *testing.T) {
	m := newMesh(t, map[string]string{"first.test": "192.0.2.71", "second.test": "192.0.2.72", "third.test": "192.0.2.73"})
	web := func(host string) func(*egress.Input) {
		return entryOf(t, "shop", host, `{"hosts": ["`+host+`"], "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}, {"number": 8080, "name": "web", "protocol": "HTTP"}], "resolution": "DNS"}`)
	}
	entry := func(namespace string, n, from, count int) func(*egress.Input) {
		list := make([]string, count)
		for i := range list {
			list[i] = fmt.Sprintf(`{"number": %d, "name": "p%d", "protocol": "TCP"}`, from+i, i)
		}
		return entryOf(t, namespace, fmt.Sprint(n), fmt.Sprintf(`{"hosts": ["ports%d.test"], "addresses": ["198.51.%d.0/24"], "ports": [%s], "resolution": "NONE"}`, n, n, strings.Join(list, ", ")))
	}
	publish := func(what, host, address string, ports int, change []func(*egress.Input)) {
		t.Helper()
		in := egress.Input{Mesh: meshOf(t, "REGISTRY_ONLY")}
		for _, f := range change {
			f(&in)
		}
		model, _ := egress.Build(in)
		m.publish(model, "http", host, addrOther, "200 at="+address)
		m.settled()
		text := m.listeners()
		t.Logf("%s: %d listeners, %s", what, strings.Count(text, "\n"), m.memory())
		if n := strings.Count(text, "\n"); n > 2*ports+5 { // of both families; and the sidecar's own
			t.Errorf("%s: %d listeners for %d ports", what, n, ports)
		}
		m.want("http", host+":8080", addrOther, "/", "200 at="+address)
	}
	change := []func(*egress.Input){web("first.test")}
	publish("alone", "first.test", "192.0.2.71", 3, change)
	change = append(change, web("second.test"))
	for i := range 7 {
		change = append(change, entry("tenant", i, 10000+3000*i, 3000))
	}
	publish("one namespace, 21,000 ports", "second.test", "192.0.2.72", 3, change)
	change = append(change, web("third.test"))
	for i := range 60 {
		change = append(change, entry(fmt.Sprintf("tenant%d", i/2), 10+i, 10000+100*i, 100))
	}
	publish("thirty namespaces, 6,000 ports", "third.test", "192.0.2.73", egress.DefaultViewPorts, change)
}
