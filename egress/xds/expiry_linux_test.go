package xds

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/outrider-mesh/outrider/test/kit"
)

// TestTokenExpires: a sidecar whose token has expired gets no updates and keeps
// its configuration; the reason is reported. With a new token it reconnects
// without a restart.
func TestTokenExpires(t *testing.T) {
	m := newMesh(t, nil)
	bin, goog := entryOf(t, "shop", "httpbin", httpbin), entryOf(t, "shop", "google", google)
	m.publish(modelOf(t, "REGISTRY_ONLY", bin), "http", "httpbin.org", addrOther, "200")

	m.valid.Store(new("next-token"))
	m.stop() // a stream keeps the identity that it was opened with
	m.serveControlPlane()
	m.server.Publish(modelOf(t, "REGISTRY_ONLY", bin, goog))
	kit.EventuallyTrue(t, "the stream is rejected with its cause", func() bool {
		reason := m.rejectedBecause.Load()
		return reason != nil && strings.Contains(*reason, "token has expired")
	})
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); {
		m.want("http", "httpbin.org", addrOther, "/", "200")
		m.want("https", "www.google.com", addrOther, "/", "closed")
	}
	if n := len(m.server.Status()); n != 0 {
		t.Errorf("%d sidecars are connected with an invalid token", n)
	}

	// As the kubelet does: the new file is moved into the directory.
	for _, f := range []struct{ name, content string }{{"token", "next-token"}, {"sds-token.yaml", ""}} {
		path := filepath.Join(m.dir, f.name)
		content := []byte(f.content)
		if f.content == "" {
			var err error
			content, err = os.ReadFile(path)
			kit.Must(t, err)
		}
		kit.Must(t, os.WriteFile(path+".new", content, 0o644))
		kit.Must(t, os.Rename(path+".new", path))
	}
	took := kit.EventuallyTrue(t, "the sidecar is accepted again", func() bool {
		return strings.HasPrefix(m.get("https", "www.google.com", addrOther, "/"), "200")
	})
	t.Logf("effective %s after the new token", took.Round(time.Millisecond))
	m.want("http", "httpbin.org", addrOther, "/", "200")
}
