package xds

import (
	"strings"
	"testing"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/test/kit"
)

// TestNACK publishes an access log format that validation accepts and Envoy rejects
// in every listener: the sidecar gets all listeners with the default format.
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
	m.publish(modelOf(t, "REGISTRY_ONLY", bin, goog, invalid), "https", "www.google.com", addrOther, "200")
	m.omitted("MeshConfig")
	if reason := m.server.Status()[0].Omitted["MeshConfig"]; !strings.Contains(reason, "expression") {
		t.Errorf("reason %q", reason)
	}
	m.want("http", "httpbin.org", addrOther, "/", "200")
	m.want("http", "other.test", addrOther, "/", "502")
	kit.EventuallyTrue(t, "the rejection is cleared", func() bool { return len(m.server.Rejections()) == 0 })

	m.publish(modelOf(t, "REGISTRY_ONLY", bin, invalid, entryOf(t, "shop", "wild", wild)), "http", "a.example.com", addrOther, "200")
	m.publish(modelOf(t, "REGISTRY_ONLY", bin), "https", "www.google.com", addrOther, "closed")
	m.omitted()
}
