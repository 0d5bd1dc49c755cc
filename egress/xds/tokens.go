package xds

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/singleflight"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/cache"
	authenticationclient "k8s.io/client-go/kubernetes/typed/authentication/v1"
)

// Audience is the audience of the sidecars' tokens: a token for another audience,
// such as the API server's, is invalid here, and theirs is invalid there.
const Audience = "outrider"

// How long the result of a TokenReview is cached. A token that is revoked,
// because its pod is gone, can open streams for this long.
const (
	validTTL = time.Minute
	// A sidecar with an invalid token retries up to twice a second.
	invalidTTL = 10 * time.Second
	// An entry takes some 300 bytes; after a restart every sidecar connects.
	cachedTokens  = 10_000
	reviewTimeout = 5 * time.Second
)

// Tokens authenticates by TokenReview.
type Tokens struct {
	client authenticationclient.TokenReviewInterface
	cache  *cache.LRUExpireCache
	flight singleflight.Group
}

// NewTokens requires permission to create tokenreviews.
func NewTokens(client authenticationclient.TokenReviewInterface) *Tokens {
	return &Tokens{client: client, cache: cache.NewLRUExpireCache(cachedTokens)}
}

// reviewResult is the result of a token's review.
type reviewResult struct {
	identity Identity
	err      error // wraps ErrUnauthenticated
}

// Authenticate reviews a token, or returns the cached result.
func (t *Tokens) Authenticate(ctx context.Context, token string) (Identity, error) {
	sum := sha256.Sum256([]byte(token)) // the token itself is not kept
	if v, ok := t.cache.Get(sum); ok {
		return v.(reviewResult).identity, v.(reviewResult).err
	}
	// The first caller may go away while others wait for the same review.
	result, err, _ := t.flight.Do(string(sum[:]), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), reviewTimeout)
		defer cancel()
		v, err := t.review(ctx, token)
		if err != nil {
			return reviewResult{}, err
		}
		ttl := validTTL
		if v.err != nil {
			ttl = invalidTTL
		}
		t.cache.Add(sum, v, ttl)
		return v, nil
	})
	if err != nil {
		return Identity{}, err
	}
	return result.(reviewResult).identity, result.(reviewResult).err
}

func (t *Tokens) review(ctx context.Context, token string) (reviewResult, error) {
	review, err := t.client.Create(ctx, &authenticationv1.TokenReview{
		Spec: authenticationv1.TokenReviewSpec{Token: token, Audiences: []string{Audience}},
	}, metav1.CreateOptions{})
	if err != nil {
		return reviewResult{}, fmt.Errorf("TokenReview failed: %w", err)
	}
	id, err := identify(review.Status)
	return reviewResult{id, err}, nil
}

// podName is the extra field with the pod that a token is bound to.
const podName = "authentication.kubernetes.io/pod-name"

// identify reads the status of a TokenReview.
func identify(s authenticationv1.TokenReviewStatus) (Identity, error) {
	if !s.Authenticated {
		return Identity{}, unauthenticated(s.Error)
	}
	// An authenticator without support for audiences returns none.
	if !slices.Contains(s.Audiences, Audience) {
		return Identity{}, unauthenticated("wrong audience: want " + Audience)
	}
	account, ok := strings.CutPrefix(s.User.Username, "system:serviceaccount:")
	namespace, name, found := strings.Cut(account, ":")
	if !ok || !found || namespace == "" || name == "" {
		return Identity{}, unauthenticated(s.User.Username + " is not a service account")
	}
	id := Identity{Namespace: namespace, ServiceAccount: name}
	if pod := s.User.Extra[podName]; len(pod) == 1 {
		id.Pod = pod[0]
	}
	return id, nil
}

func unauthenticated(reason string) error {
	if reason == "" {
		return ErrUnauthenticated
	}
	return fmt.Errorf("%w: %s", ErrUnauthenticated, reason)
}
