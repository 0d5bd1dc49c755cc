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

// Audience is whom the sidecars' tokens are for: a token for somebody else, the
// API server say, is not valid here, and theirs is not valid there.
const Audience = "outrider"

// How long the API server's word on a token is taken for. A token that is
// revoked, because its pod is gone, opens a stream for so long at most.
const (
	acceptedFor = time.Minute
	// A sidecar with a bad token tries again up to twice a second.
	refusedFor = 10 * time.Second
	// An entry is some 300 bytes; a restart brings every sidecar at once.
	rememberedTokens = 10_000
	reviewTimeout    = 5 * time.Second
)

// Tokens authenticates by the API server's TokenReview.
type Tokens struct {
	client authenticationclient.TokenReviewInterface
	cache  *cache.LRUExpireCache
	flight singleflight.Group
}

// NewTokens needs the right to create tokenreviews.
func NewTokens(client authenticationclient.TokenReviewInterface) *Tokens {
	return &Tokens{client: client, cache: cache.NewLRUExpireCache(rememberedTokens)}
}

// verdict is what was found out about a token.
type verdict struct {
	identity Identity
	err      error // wraps ErrUnauthenticated
}

// Authenticate asks the API server, unless it has just been asked.
func (t *Tokens) Authenticate(ctx context.Context, token string) (Identity, error) {
	sum := sha256.Sum256([]byte(token)) // the token itself is not kept
	if v, ok := t.cache.Get(sum); ok {
		return v.(verdict).identity, v.(verdict).err
	}
	// Whoever asks first may hang up; the others still want to know.
	found, err, _ := t.flight.Do(string(sum[:]), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), reviewTimeout)
		defer cancel()
		v, err := t.review(ctx, token)
		if err != nil {
			return verdict{}, err
		}
		keep := acceptedFor
		if v.err != nil {
			keep = refusedFor
		}
		t.cache.Add(sum, v, keep)
		return v, nil
	})
	if err != nil {
		return Identity{}, err
	}
	return found.(verdict).identity, found.(verdict).err
}

func (t *Tokens) review(ctx context.Context, token string) (verdict, error) {
	answer, err := t.client.Create(ctx, &authenticationv1.TokenReview{
		Spec: authenticationv1.TokenReviewSpec{Token: token, Audiences: []string{Audience}},
	}, metav1.CreateOptions{})
	if err != nil {
		return verdict{}, fmt.Errorf("ask the API server about a token: %w", err)
	}
	id, err := identify(answer.Status)
	return verdict{id, err}, nil
}

// podName is where the API server says which pod a token is bound to.
const podName = "authentication.kubernetes.io/pod-name"

// identify reads the API server's answer.
func identify(s authenticationv1.TokenReviewStatus) (Identity, error) {
	if !s.Authenticated {
		return Identity{}, unauthenticated(s.Error)
	}
	// An authenticator that knows no audiences answers with none of them.
	if !slices.Contains(s.Audiences, Audience) {
		return Identity{}, unauthenticated("it is not for the audience " + Audience)
	}
	account, ok := strings.CutPrefix(s.User.Username, "system:serviceaccount:")
	namespace, name, found := strings.Cut(account, ":")
	if !ok || !found || namespace == "" || name == "" {
		return Identity{}, unauthenticated("it belongs to " + s.User.Username + ", which is no service account")
	}
	id := Identity{Namespace: namespace, ServiceAccount: name}
	if pod := s.User.Extra[podName]; len(pod) == 1 {
		id.Pod = pod[0]
	}
	return id, nil
}

func unauthenticated(why string) error {
	if why == "" {
		return ErrUnauthenticated
	}
	return fmt.Errorf("%w: %s", ErrUnauthenticated, why)
}
