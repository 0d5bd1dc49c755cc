package xds

import (
	"strings"
	"testing"

	"github.com/outrider-mesh/outrider/egress"
)

// TestPoison publishes what the API takes and Envoy does not: the sidecar keeps
// its last good listeners, what does not concern them goes on, one place says
// why, and the next good configuration ends it.
func TestPoison(t *testing.T) {
	m := newMesh(t, nil)
	m.poison.Store(true)
	bin, goog := entryOf(t, "shop", "httpbin", httpbin), entryOf(t, "shop", "google", google)
	poison := func(in *egress.Input) { in.Mesh.AccessLogFormat = "%CEL(no such thing)%" }
	m.publish(modelOf(t, "REGISTRY_ONLY", bin), "http", "httpbin.org", addrOther, "200")
	if got := m.server.Rejections(); len(got) != 0 {
		t.Errorf("rejections before any: %+v", got)
	}

	m.server.Publish(modelOf(t, "REGISTRY_ONLY", bin, goog, poison))
	eventually(t, "the rejection is known", func() bool { return len(m.server.Rejections()) == 1 })
	got := m.server.Rejections()[0]
	if got.Sidecars != 1 || got.TypeURL != egress.TypeListener || !strings.Contains(got.Reason, "expression") ||
		len(got.Resources) != 3 || got.Example.Namespace != "shop" {
		t.Errorf("rejection %+v", got)
	}
	m.want("http", "httpbin.org", addrOther, "/", "200")
	m.want("http", "other.test", addrOther, "/", "502")
	m.want("https", "www.google.com", addrOther, "/", "closed") // its listener is the last good one

	// Routes are another type: hosts on a port that has a listener still come.
	m.publish(modelOf(t, "REGISTRY_ONLY", bin, poison, entryOf(t, "shop", "wild", wild)), "http", "a.example.com", addrOther, "200")
	m.publish(modelOf(t, "REGISTRY_ONLY", bin, goog), "https", "www.google.com", addrOther, "200")
	eventually(t, "nothing is rejected any more", func() bool { return len(m.server.Rejections()) == 0 })
	m.want("http", "httpbin.org", addrOther, "/", "200")
}
