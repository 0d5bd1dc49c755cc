package certs

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"
)

// delayedSecrets delays the answers about Secrets until its channel is closed.
type delayedSecrets struct {
	next  http.RoundTripper
	until <-chan struct{}
}

func (l delayedSecrets) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasSuffix(r.URL.Path, "/secrets") {
		select {
		case <-l.until:
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	return l.next.RoundTrip(r)
}

// A replica that starts again listens before it has its certificate: handshakes wait for
// it, and not for ever.
func TestManager_HandshakeWaits(t *testing.T) {
	t.Parallel()
	i := install(t)
	i.ready()
	bundle := i.registered(1)
	secrets := make(chan struct{})
	again := i.start(func(o *Options) {
		o.Cluster = rest.CopyConfig(o.Cluster)
		o.Cluster.Wrap(func(next http.RoundTripper) http.RoundTripper { return delayedSecrets{next, secrets} })
	})
	if _, err := again.GetCertificate(nil); err == nil {
		t.Fatal("it has a certificate already")
	}
	connect := func() error {
		_, err := handshake(t, again.GetCertificate, []byte(bundle), "outrider."+i.namespace+".svc", nil)
		return err
	}
	begun := time.Now()
	if err := connect(); err == nil || time.Since(begun) < handshakeWait {
		t.Errorf("without a certificate: error %v after %s", err, time.Since(begun))
	}
	waiting := make(chan error)
	go func() { waiting <- connect() }()
	select {
	case err := <-waiting:
		t.Fatalf("the handshake has ended: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	close(secrets)
	if err := <-waiting; err != nil {
		t.Errorf("with a certificate: %v", err)
	}
}
