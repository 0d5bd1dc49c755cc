package xds

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/sync/singleflight"
	"k8s.io/client-go/rest"
)

// The paths of the API server that describe its token issuer. The ClusterRole
// system:service-account-issuer-discovery allows to read them.
const (
	discoveryPath = "/.well-known/openid-configuration"
	keysPath      = "/openid/v1/jwks"
)

const (
	keysAge     = 10 * time.Minute // then they are read again
	keysRetry   = 10 * time.Second // at most one reading in this time
	keysTimeout = 5 * time.Second
)

// Keys reads the public keys of the cluster's token issuer from the API server, and
// caches them.
type Keys struct {
	client rest.Interface
	flight singleflight.Group

	mu     sync.Mutex
	cached *issuer
	read   time.Time // the last success
	tried  time.Time
	err    error // of the last reading
}

// NewKeys takes a client for the API server's root paths.
func NewKeys(client rest.Interface) *Keys { return &Keys{client: client} }

// issuer returns the cluster's issuer. With renew it is read again if that was not
// done within keysRetry: a key may be new. Without keys, the error is why.
func (k *Keys) issuer(ctx context.Context, renew bool) (*issuer, error) {
	k.mu.Lock()
	cached, err := k.cached, k.err
	age := time.Since(k.read)
	due := time.Since(k.tried) > keysRetry && (renew || cached == nil || age > keysAge)
	k.mu.Unlock()
	if !due {
		return cached, err
	}
	if cached != nil && !renew { // the old keys serve until the new ones are there
		go func() { _, _ = k.refresh(context.WithoutCancel(ctx)) }()
		return cached, nil
	}
	return k.refresh(ctx)
}

func (k *Keys) refresh(ctx context.Context) (*issuer, error) {
	v, err, _ := k.flight.Do("", func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keysTimeout)
		defer cancel()
		i, err := k.fetch(ctx)
		k.mu.Lock()
		defer k.mu.Unlock()
		k.tried, k.err = time.Now(), err
		if err == nil {
			k.cached, k.read = i, k.tried
		}
		return k.cached, err
	})
	i, _ := v.(*issuer)
	if i != nil {
		return i, nil
	}
	return nil, err
}

func (k *Keys) fetch(ctx context.Context) (*issuer, error) {
	var discovery struct {
		Issuer string `json:"issuer"`
	}
	i := &issuer{}
	for path, into := range map[string]any{discoveryPath: &discovery, keysPath: &i.keys} {
		body, err := k.client.Get().AbsPath(path).DoRaw(ctx)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
		if err := json.Unmarshal(body, into); err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
	}
	if i.name = discovery.Issuer; i.name == "" || len(i.keys.Keys) == 0 {
		return nil, fmt.Errorf("read %s and %s: no issuer or no keys", discoveryPath, keysPath)
	}
	usable := i.keys.Keys[:0]
	for _, key := range i.keys.Keys {
		if key.IsPublic() { // a shared secret must not verify anything
			usable = append(usable, key)
		}
	}
	i.keys = jose.JSONWebKeySet{Keys: usable}
	return i, nil
}
