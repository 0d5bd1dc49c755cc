package xds

import (
	"strings"
	"testing"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/egress/envoy"
	"github.com/outrider-mesh/outrider/test/kit"
)

// TestNACK publishes a configuration that validation accepts and Envoy rejects:
// the sidecar keeps its last accepted listeners, other types are still updated,
// the rejection is reported, and the next valid configuration clears it.
func TestNACK(t *testing.T) {
	m := newMesh(t, nil)
	m.expectNACK.Store(true)
	bin, goog := entryOf(t, "shop", "httpbin", httpbin), entryOf(t, "shop", "google", google)
	invalid := func(in *egress.Input) {
		in.Mesh = meshOf(t, "REGISTRY_ONLY", `accessLogFormat: "%CEL(no such thing)%"`)
	}
	m.publish(modelOf(t, "REGISTRY_ONLY", bin), "http", "httpbin.org", addrOther, "200")
	if got := m.server.Rejections(); len(got) != 0 {
		t.Errorf("unexpected rejections: %+v", got)
	}

	m.server.Publish(modelOf(t, "REGISTRY_ONLY", bin, goog, invalid))
	kit.EventuallyTrue(t, "the rejection is reported", func() bool { return len(m.server.Rejections()) == 1 })
	got := m.server.Rejections()[0]
	if got.Sidecars != 1 || got.TypeURL != envoy.TypeListener || !strings.Contains(got.Reason, "expression") ||
		len(got.Resources) != 3 || got.Example.Namespace != "shop" {
		t.Errorf("rejection %+v", got)
	}
	m.want("http", "httpbin.org", addrOther, "/", "200")
	m.want("http", "other.test", addrOther, "/", "502")
	m.want("https", "www.google.com", addrOther, "/", "closed") // its listener is the last accepted one

	// Routes are another type: hosts on a port that has a listener are still added.
	m.publish(modelOf(t, "REGISTRY_ONLY", bin, invalid, entryOf(t, "shop", "wild", wild)), "http", "a.example.com", addrOther, "200")
	m.publish(modelOf(t, "REGISTRY_ONLY", bin, goog), "https", "www.google.com", addrOther, "200")
	kit.EventuallyTrue(t, "the rejection is cleared", func() bool { return len(m.server.Rejections()) == 0 })
	m.want("http", "httpbin.org", addrOther, "/", "200")
}
