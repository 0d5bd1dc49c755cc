package xds

import (
	"testing"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/egress/decide"
)

// TestObjectsOfOthersTakeNothingOver has a sidecar of shop, and then objects of
// another namespace for what shop and the root namespace have: its requests go where
// they did. A host that only the other namespace declares shows that its objects
// have arrived.
func TestObjectsOfOthersTakeNothingOver(t *testing.T) {
	const api, db, root, thief = "192.0.2.71", "192.0.2.72", "192.0.2.73", "192.0.2.79"
	m := newMesh(t, map[string]string{"api.test": api, "db.test": db, "a.root.test": root, "mine.test": thief})
	const toThief = `, "resolution": "STATIC", "endpoints": [{"address": "` + thief + `"}]}`
	both := `"ports": [{"number": 80, "name": "http", "protocol": "HTTP"}, {"number": 443, "name": "tls", "protocol": "TLS"}, {"number": 8080, "name": "web", "protocol": "HTTP"}]`
	own := []func(*egress.Input){
		entryOf(t, "shop", "api", `{"hosts": ["api.test"], "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}, {"number": 443, "name": "tls", "protocol": "TLS"}], "resolution": "DNS"}`),
		entryOf(t, "shop", "db", `{"hosts": ["db.test"], "ports": [{"number": 9000, "name": "tcp", "protocol": "TCP"}], "resolution": "DNS"}`),
		entryOf(t, "istio-system", "root", `{"hosts": ["*.root.test"], "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}, {"number": 443, "name": "tls", "protocol": "TLS"}]}`),
	}
	attack := []func(*egress.Input){
		entryOf(t, "tenant", "mine", `{"hosts": ["mine.test"], `+both+toThief),
		entryOf(t, "tenant", "hosts", `{"hosts": ["api.test", "a.root.test", "*.root.test"], `+both+toThief),
		entryOf(t, "tenant", "ports", `{"hosts": ["tcp.test"], "ports": [{"number": 80, "name": "a", "protocol": "TCP"}, {"number": 443, "name": "b", "protocol": "TCP"}, {"number": 9000, "name": "c", "protocol": "TCP"}, {"number": 9001, "name": "d", "protocol": "TCP"}]`+toThief),
		entryOf(t, "tenant", "ranges", `{"hosts": ["ranges.test"], "addresses": ["128.0.0.0/1", "0.0.0.0/1", "`+addrOther+`"], "ports": [{"number": 80, "name": "a", "protocol": "TCP"}, {"number": 443, "name": "b", "protocol": "TCP"}, {"number": 9000, "name": "c", "protocol": "TCP"}]`+toThief),
		entryOf(t, "tenant", "detect", `{"hosts": ["detect.test"], "ports": [{"number": 9000, "name": "a", "protocol": "HTTP"}]`+toThief),
		routeOf(t, "tenant", "mirror", `{"hosts": ["api.test"], "exportTo": ["shop"], "http": [{"route": [{"destination": {"host": "mine.test"}}], "mirror": {"host": "mine.test"}}]}`),
		routeOf(t, "tenant", "fault", `{"hosts": ["*.root.test", "a.root.test"], "http": [{"directResponse": {"status": 418}}]}`),
		routeOf(t, "tenant", "sni", `{"hosts": ["api.test"], "tls": [{"match": [{"sniHosts": ["api.test"]}], "route": [{"destination": {"host": "mine.test", "port": {"number": 443}}}]}]}`),
	}
	check := func(name string, model *egress.Model) {
		t.Helper()
		v := model.View("shop")
		m.wantTCP(name, v, 80, []tcpRequest{{decide.HTTP, "api.test", api}, {decide.HTTP, "a.root.test", root}, {decide.HTTP, "other.test", "502"}})
		m.wantTCP(name, v, 443, []tcpRequest{{decide.TLS, "api.test", api}, {decide.TLS, "a.root.test", root}, {decide.TLS, "other.test", "closed"}, {decide.TLS, "", "closed"}})
		m.wantTCP(name, v, 8080, []tcpRequest{{decide.HTTP, "api.test", "502"}, {decide.HTTP, "a.root.test", "502"}})
		m.wantTCP(name, v, 9000, []tcpRequest{{decide.TCP, "", db}, {decide.HTTP, "detect.test", db}, {decide.TLS, "x.test", db}})
		m.wantTCP(name, v, 9001, []tcpRequest{{decide.TLS, "", "closed"}})
	}
	model := modelOf(t, "REGISTRY_ONLY", own...)
	m.publish(model, "http", "api.test", addrOther, "200 at="+api)
	m.settled()
	check("before", model)
	model = modelOf(t, "REGISTRY_ONLY", append(own, attack...)...)
	m.publish(model, "http", "mine.test", addrOther, "200 at="+thief)
	m.settled()
	check("with the objects of another namespace", model)
}
