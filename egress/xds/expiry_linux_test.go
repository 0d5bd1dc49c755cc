package xds

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestTokenExpires: a sidecar whose token is not valid any more gets nothing new
// and goes on with what it has; the operator reads why. A new token lets it in
// again without a restart.
func TestTokenExpires(t *testing.T) {
	m := newMesh(t, nil)
	bin, goog := entryOf(t, "shop", "httpbin", httpbin), entryOf(t, "shop", "google", google)
	m.publish(modelOf(t, "REGISTRY_ONLY", bin), "http", "httpbin.org", addrOther, "200")

	m.valid.Store(new("next-token"))
	m.stop() // a stream keeps the identity it was opened with, so it has to end
	m.serveControlPlane()
	m.server.Publish(modelOf(t, "REGISTRY_ONLY", bin, goog))
	eventually(t, "the stream is refused, and the cause is known", func() bool {
		why := m.why.Load()
		return why != nil && strings.Contains(*why, "token has expired")
	})
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); {
		m.want("http", "httpbin.org", addrOther, "/", "200")
		m.want("https", "www.google.com", addrOther, "/", "closed")
	}
	if n := len(m.server.Status()); n != 0 {
		t.Errorf("%d sidecars are served with a token that is not valid", n)
	}

	// The kubelet's way: what is new is moved into the directory.
	for _, f := range []struct{ name, content string }{{"token", "next-token"}, {"sds-token.yaml", ""}} {
		path := filepath.Join(m.dir, f.name)
		content := []byte(f.content)
		if f.content == "" {
			var err error
			content, err = os.ReadFile(path)
			must(t, err)
		}
		must(t, os.WriteFile(path+".new", content, 0o644))
		must(t, os.Rename(path+".new", path))
	}
	took := eventually(t, "the sidecar is let in again", func() bool {
		return strings.HasPrefix(m.get("https", "www.google.com", addrOther, "/"), "200")
	})
	t.Logf("in force %s after the new token", took.Round(time.Millisecond))
	m.want("http", "httpbin.org", addrOther, "/", "200")
}
