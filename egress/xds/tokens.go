package xds

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4/jwt"
	"golang.org/x/sync/singleflight"
	"golang.org/x/time/rate"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/cache"
	authenticationclient "k8s.io/client-go/kubernetes/typed/authentication/v1"
)

// Audience is the audience of the sidecars' tokens: a token for another audience,
// such as the API server's, is invalid here, and theirs is invalid there.
const Audience = "outrider"

const (
	// reviewTTL is how long the API server's answer about a pod counts. A token that
	// is revoked, because its pod is deleted, opens streams for this long.
	reviewTTL = 10 * time.Minute
	// A sidecar with an invalid token retries up to twice a second.
	invalidTTL = 10 * time.Second
	// An entry takes some 300 bytes; after a restart every sidecar connects.
	cachedTokens  = 10_000
	reviewTimeout = 5 * time.Second
	// reviewRate and reviewBurst are the TokenReviews per second for tokens that are
	// not verified here, and reviewsAtOnce those at one time: where the keys cannot be
	// read, anybody can send some without credentials.
	reviewRate    = 50
	reviewBurst   = 100
	reviewsAtOnce = 10
	// queuedChecks are verified tokens of 1 to 2 KiB that wait for their review.
	queuedChecks = 2000
	// checkRate is that of the TokenReviews which only find revoked tokens.
	checkRate = 20
)

// Tokens authenticates by the signature of the cluster's token issuer. A TokenReview
// replaces it where the keys cannot be read or the issuer is another one, and finds
// revoked tokens.
type Tokens struct {
	client authenticationclient.TokenReviewInterface
	keys   *Keys
	// Revoked is called for the identity of a connected sidecar whose token the API
	// server rejects.
	Revoked func(Identity)
	count   func(method, result string)

	reviews *rate.Limiter
	slots   chan struct{}
	cache   *cache.LRUExpireCache // the reviewResult by the token's hash
	flight  singleflight.Group

	checks  chan check
	checked *cache.LRUExpireCache // identities whose token was reviewed; true: rejected
}

// check is a verified token that is to be reviewed.
type check struct {
	id    Identity
	token string
}

// NewTokens requires permission to create tokenreviews, through a client without a
// rate limit. count, which may be nil, counts the results by method.
func NewTokens(client authenticationclient.TokenReviewInterface, keys *Keys, count func(method, result string)) *Tokens {
	if count == nil {
		count = func(string, string) {}
	}
	return &Tokens{
		client: client, keys: keys, count: count, Revoked: func(Identity) {},
		reviews: rate.NewLimiter(reviewRate, reviewBurst), slots: make(chan struct{}, reviewsAtOnce),
		cache: cache.NewLRUExpireCache(cachedTokens), checked: cache.NewLRUExpireCache(cachedTokens),
		checks: make(chan check, queuedChecks),
	}
}

// The methods and results of Tokens, in metrics.
const (
	bySignature = "signature"
	byReview    = "review"

	resultValid       = "valid"
	resultInvalid     = "invalid"
	resultRevoked     = "revoked"
	resultUnavailable = "unavailable"
)

// Authenticate verifies a token.
func (t *Tokens) Authenticate(ctx context.Context, text string) (Identity, error) {
	token, err := parseToken(text)
	if err != nil {
		t.count(bySignature, resultInvalid)
		return Identity{}, err
	}
	id, err := t.verify(ctx, token)
	switch {
	case errors.Is(err, errNoKeys), errors.Is(err, errOtherIssuer):
		return t.authenticateByReview(ctx, text)
	case err != nil:
		t.count(bySignature, resultInvalid)
		return Identity{}, err
	}
	if revoked, reviewed := t.checked.Get(id); !reviewed {
		t.enqueue(check{id, text})
	} else if revoked.(bool) {
		t.count(bySignature, resultRevoked)
		return Identity{}, unauthenticated("the token is revoked")
	}
	t.count(bySignature, resultValid)
	return id, nil
}

// errNoKeys: the cluster's keys cannot be read.
var errNoKeys = errors.New("no keys of the cluster")

// verify verifies the signature, with keys that are read again for a key that is
// unknown.
func (t *Tokens) verify(ctx context.Context, token *jwt.JSONWebToken) (Identity, error) {
	err := errNoKeys
	for _, renew := range []bool{false, true} {
		i, _ := t.keys.issuer(ctx, renew)
		if i == nil {
			return Identity{}, errNoKeys
		}
		var id Identity
		if id, err = i.verify(token, time.Now()); !errors.Is(err, errUnknownKey) {
			return id, err
		}
	}
	return Identity{}, err
}

// enqueue plans the review of a verified token. In a full queue it is omitted: the
// stream's next connection tries again.
func (t *Tokens) enqueue(c check) {
	select {
	case t.checks <- c:
	default:
	}
}

// Start reviews verified tokens, at a bounded rate, until ctx is done.
func (t *Tokens) Start(ctx context.Context) error {
	limit := rate.NewLimiter(checkRate, 1)
	for {
		select {
		case <-ctx.Done():
			return nil
		case c := <-t.checks:
			if _, reviewed := t.checked.Get(c.id); reviewed {
				continue
			}
			if limit.Wait(ctx) != nil {
				return nil
			}
			t.check(ctx, c)
		}
	}
}

// NeedLeaderElection is false: every replica serves sidecars.
func (t *Tokens) NeedLeaderElection() bool { return false }

func (t *Tokens) check(ctx context.Context, c check) {
	ctx, cancel := context.WithTimeout(ctx, reviewTimeout)
	defer cancel()
	switch result, err := t.review(ctx, c.token); {
	case err != nil:
		t.count(byReview, resultUnavailable)
	case result.err != nil:
		t.count(byReview, resultRevoked)
		t.checked.Add(c.id, true, reviewTTL)
		t.Revoked(c.id)
	default:
		t.count(byReview, resultValid)
		t.checked.Add(c.id, false, reviewTTL)
	}
}

// reviewResult is the result of a token's review.
type reviewResult struct {
	identity Identity
	err      error // wraps ErrUnauthenticated
}

// errTooMany: more tokens are to be reviewed than the API server is asked about.
var errTooMany = errors.New("too many tokens are under review")

// authenticateByReview reviews a token, or returns the cached result.
func (t *Tokens) authenticateByReview(ctx context.Context, token string) (Identity, error) {
	sum := sha256.Sum256([]byte(token)) // the token itself is not kept
	if v, ok := t.cache.Get(sum); ok {
		return v.(reviewResult).identity, v.(reviewResult).err
	}
	waiting, cancel := context.WithTimeout(ctx, reviewTimeout)
	defer cancel()
	end, err := connectionOf(ctx).review(waiting)
	if err != nil {
		return Identity{}, err
	}
	defer end()
	// The first caller may go away while others wait for the same review.
	result, err, _ := t.flight.Do(string(sum[:]), func() (any, error) {
		if v, ok := t.cache.Get(sum); ok { // another call has ended since
			return v, nil
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), reviewTimeout)
		defer cancel()
		if err := t.acquire(ctx); err != nil {
			t.count(byReview, resultUnavailable)
			return reviewResult{}, err
		}
		defer func() { <-t.slots }()
		v, err := t.review(ctx, token)
		if err != nil {
			t.count(byReview, resultUnavailable)
			return reviewResult{}, err
		}
		ttl, counted := reviewTTL, resultValid
		if v.err != nil {
			ttl, counted = invalidTTL, resultInvalid
		}
		t.count(byReview, counted)
		t.cache.Add(sum, v, ttl)
		return v, nil
	})
	if err != nil {
		return Identity{}, err
	}
	return result.(reviewResult).identity, result.(reviewResult).err
}

// acquire waits for a slot of reviews.
func (t *Tokens) acquire(ctx context.Context) error {
	if err := t.reviews.Wait(ctx); err != nil {
		return errTooMany
	}
	select {
	case t.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return errTooMany
	}
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

// The extra fields with the pod that a token is bound to.
const (
	podName = "authentication.kubernetes.io/pod-name"
	podUID  = "authentication.kubernetes.io/pod-uid"
)

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
		if uid := s.User.Extra[podUID]; len(uid) == 1 {
			id.PodUID = uid[0]
		}
	}
	return id, nil
}

func unauthenticated(reason string) error {
	if reason == "" {
		return ErrUnauthenticated
	}
	return fmt.Errorf("%w: %s", ErrUnauthenticated, reason)
}
