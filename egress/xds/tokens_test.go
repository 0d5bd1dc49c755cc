package xds

import (
	"context"
	"encoding/base64"
	"errors"
	"os"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	authenticationclient "k8s.io/client-go/kubernetes/typed/authentication/v1"
	"k8s.io/client-go/rest"

	"github.com/outrider-mesh/outrider/test/kit"
	"github.com/outrider-mesh/outrider/test/kube"
)

func TestMain(m *testing.M) { os.Exit(kube.Main(m)) }

func TestIdentify(t *testing.T) {
	status := func(edit func(*authenticationv1.TokenReviewStatus)) authenticationv1.TokenReviewStatus {
		s := authenticationv1.TokenReviewStatus{Authenticated: true, Audiences: []string{Audience}, User: authenticationv1.UserInfo{
			Username: "system:serviceaccount:shop:cart", Extra: map[string]authenticationv1.ExtraValue{podName: {"cart-7d4b"}},
		}}
		edit(&s)
		return s
	}
	for _, tt := range []struct {
		name string
		edit func(*authenticationv1.TokenReviewStatus)
		want string // the identity, or a part of the error
	}{
		{"bound to a pod", func(*authenticationv1.TokenReviewStatus) {}, "shop/cart-7d4b"},
		{"not bound to a pod", func(s *authenticationv1.TokenReviewStatus) { s.User.Extra = nil }, "shop, service account cart"},
		{"not authenticated", func(s *authenticationv1.TokenReviewStatus) { s.Authenticated, s.Error = false, "token has expired" }, "token has expired"},
		{"not authenticated, without an error", func(s *authenticationv1.TokenReviewStatus) { s.Authenticated = false }, "invalid token"},
		{"for the API server's audience", func(s *authenticationv1.TokenReviewStatus) { s.Audiences = []string{"https://kubernetes.default.svc"} }, "wrong audience"},
		{"no audiences in the status", func(s *authenticationv1.TokenReviewStatus) { s.Audiences = nil }, "wrong audience"},
		{"a user's", func(s *authenticationv1.TokenReviewStatus) { s.User.Username = "jane" }, "is not a service account"},
		{"incomplete user name", func(s *authenticationv1.TokenReviewStatus) { s.User.Username = "system:serviceaccount:shop" }, "is not a service account"},
		{"no namespace", func(s *authenticationv1.TokenReviewStatus) { s.User.Username = "system:serviceaccount::cart" }, "is not a service account"},
	} {
		id, err := identify(status(tt.edit))
		got := id.String()
		if err != nil {
			got = err.Error()
			if !errors.Is(err, ErrUnauthenticated) || id != (Identity{}) {
				t.Errorf("%s: identity %v with error %v", tt.name, id, err)
			}
		}
		if !strings.Contains(got, tt.want) {
			t.Errorf("%s: %q, want %q in it", tt.name, got, tt.want)
		}
	}
}

// counting forwards and counts the reviews.
type counting struct {
	authenticationclient.TokenReviewInterface
	reviews     atomic.Int32
	unavailable atomic.Bool
}

func (c *counting) Create(ctx context.Context, r *authenticationv1.TokenReview, o metav1.CreateOptions) (*authenticationv1.TokenReview, error) {
	c.reviews.Add(1)
	if c.unavailable.Load() {
		return nil, errors.New("connection refused")
	}
	return c.TokenReviewInterface.Create(ctx, r, o)
}

// issuedBy is a real API server's tokens for a pod's service account.
type issuedBy struct {
	t         *testing.T
	server    *kube.Server
	namespace string
	pod       *corev1.Pod
	client    *counting
}

func issued(t *testing.T) issuedBy {
	t.Helper()
	s := kube.Require(t)
	ns := s.Namespace(t, nil)
	pod, err := s.Client.CoreV1().Pods(ns).Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "cart"},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "cart", Image: "cart"}}},
	}, metav1.CreateOptions{})
	kit.Must(t, err)
	return issuedBy{t, s, ns, pod, &counting{TokenReviewInterface: s.Client.AuthenticationV1().TokenReviews()}}
}

func (i issuedBy) token(audience string, bound bool) string {
	i.t.Helper()
	r := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: []string{audience}}}
	if bound {
		r.Spec.BoundObjectRef = &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: i.pod.Name, UID: i.pod.UID}
	}
	r, err := i.server.Client.CoreV1().ServiceAccounts(i.namespace).CreateToken(i.t.Context(), "default", r, metav1.CreateOptions{})
	kit.Must(i.t, err)
	return r.Status.Token
}

func (i issuedBy) identity() Identity {
	return Identity{Namespace: i.namespace, ServiceAccount: "default", Pod: "cart", PodUID: string(i.pod.UID)}
}

// atOnce authenticates a token 20 times, as after a restart.
func (i issuedBy) atOnce(tokens *Tokens, token string) {
	i.t.Helper()
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if id, err := tokens.Authenticate(i.t.Context(), token); err != nil || id != i.identity() {
				i.t.Errorf("the pod's token: %+v, %v", id, err)
			}
		})
	}
	all.Wait()
}

// TestTokens_Signature: tokens of a real API server are verified with its keys, and
// nothing that a client without credentials sends is a request to the API server.
func TestTokens_Signature(t *testing.T) {
	i := issued(t)
	tokens := NewTokens(i.client, NewKeys(i.server.Client.AuthenticationV1().RESTClient()), nil)
	valid := i.token(Audience, true)
	i.atOnce(tokens, valid)
	if id, err := tokens.Authenticate(t.Context(), i.token(Audience, false)); err != nil || id.Pod != "" || id.Namespace != i.namespace {
		t.Errorf("a token that is not bound to a pod: %+v, %v", id, err)
	}
	for name, c := range map[string]struct{ token, want string }{
		"another audience":      {i.token("vault", true), "wrong audience"},
		"malformed":             {"x.y.z", "not a service account token"},
		"no token":              {"junk", "not a service account token"},
		"long":                  {strings.Repeat("a", 10_000), "more than 8192 bytes"},
		"another signature":     {valid[:len(valid)-20] + "AAAAAAAAAAAAAAAAAAAA", "invalid signature"},
		"no algorithm":          {unsigned(t, valid), "not a service account token"},
		"other claims":          {forged(t, valid, `"sub":"system:serviceaccount:`+i.namespace, `"sub":"system:serviceaccount:bank`), "invalid signature"},
		"another key of nobody": {withKey(t, valid, "nobody"), "signed by no key of the cluster"},
		"another issuer":        {forged(t, withKey(t, valid, "nobody"), `"iss":"`, `"iss":"https://elsewhere.example.com/`), "signed by no key of the cluster"},
	} {
		id, err := tokens.Authenticate(t.Context(), c.token)
		if !errors.Is(err, ErrUnauthenticated) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %+v, %v", name, id, err)
		}
	}
	if n := i.client.reviews.Load(); n != 0 {
		t.Errorf("%d reviews", n)
	}
}

// TestTokens_Revoked: one review of an identity, in the background, finds that its
// pod is deleted.
func TestTokens_Revoked(t *testing.T) {
	i := issued(t)
	results := make(chan string, 1)
	tokens := NewTokens(i.client, NewKeys(i.server.Client.AuthenticationV1().RESTClient()), func(method, result string) {
		if method == byReview {
			select {
			case results <- result:
			default: // only the first counts
			}
		}
	})
	revoked := make(chan Identity, 1)
	tokens.Revoked = func(id Identity) {
		select {
		case revoked <- id:
		default:
		}
	}
	go func() { _ = tokens.Start(t.Context()) }()
	valid := i.token(Audience, true)
	i.atOnce(tokens, valid)
	if got := <-results; got != resultValid {
		t.Fatalf("the review: %s", got)
	}
	i.atOnce(tokens, i.token(Audience, true)) // a rotated token of the same pod
	kit.Must(t, i.server.Client.CoreV1().Pods(i.namespace).Delete(t.Context(), "cart", metav1.DeleteOptions{GracePeriodSeconds: new(int64)}))
	if n := i.client.reviews.Load(); n != 1 {
		t.Errorf("%d reviews of one identity", n)
	}
	kit.EventuallyTrue(t, "the review finds the deleted pod; the API server caches valid tokens for 10 s", func() bool {
		tokens.checked.Remove(i.identity()) // as if reviewTTL had passed
		_, err := tokens.Authenticate(t.Context(), valid)
		return errors.Is(err, ErrUnauthenticated) || len(revoked) > 0
	})
	if id := <-revoked; id != i.identity() {
		t.Errorf("revoked %+v", id)
	}
	tokens.checked.Add(i.identity(), true, reviewTTL)
	if _, err := tokens.Authenticate(t.Context(), valid); !errors.Is(err, ErrUnauthenticated) || !strings.Contains(err.Error(), "revoked") {
		t.Errorf("a revoked token: %v", err)
	}
}

// TestTokens_Review: without permission to read the keys, the API server reviews each
// token once.
func TestTokens_Review(t *testing.T) {
	i := issued(t)
	tokens := NewTokens(i.client, NewKeys(anonymous(t, i.server)), nil)
	valid := i.token(Audience, true)
	i.atOnce(tokens, valid)
	unknown := withKey(t, valid, "nobody")
	for range 2 {
		if id, err := tokens.Authenticate(t.Context(), unknown); !errors.Is(err, ErrUnauthenticated) {
			t.Errorf("an invalid token: %+v, %v", id, err)
		}
	}
	if n := i.client.reviews.Load(); n != 2 {
		t.Errorf("%d reviews of 2 tokens", n)
	}
	i.client.unavailable.Store(true)
	if _, err := tokens.Authenticate(t.Context(), valid); err != nil {
		t.Errorf("the result is not cached while the API server is unavailable: %v", err)
	}
	other := i.token(Audience, false)
	for range 2 {
		if _, err := tokens.Authenticate(t.Context(), other); err == nil || errors.Is(err, ErrUnauthenticated) {
			t.Errorf("a token that cannot be reviewed: %v", err)
		}
	}
	i.client.unavailable.Store(false)
	if _, err := tokens.Authenticate(t.Context(), other); err != nil {
		t.Errorf("a failed review was cached: %v", err)
	}
}

// anonymous is a client without credentials, which must not read the keys.
func anonymous(t *testing.T, s *kube.Server) rest.Interface {
	t.Helper()
	client, err := kubernetes.NewForConfig(rest.AnonymousClientConfig(s.Config))
	kit.Must(t, err)
	return client.AuthenticationV1().RESTClient()
}

// edited is a token with one of its parts changed.
func edited(t *testing.T, token string, part int, edit func(string) string) string {
	t.Helper()
	parts := strings.Split(token, ".")
	text, err := base64.RawURLEncoding.DecodeString(parts[part])
	kit.Must(t, err)
	changed := edit(string(text))
	if changed == string(text) {
		t.Fatalf("nothing changed in %s", text)
	}
	parts[part] = base64.RawURLEncoding.EncodeToString([]byte(changed))
	return strings.Join(parts, ".")
}

func forged(t *testing.T, token, old, changed string) string {
	t.Helper()
	return edited(t, token, 1, func(s string) string { return strings.Replace(s, old, changed, 1) })
}

func withKey(t *testing.T, token, id string) string {
	t.Helper()
	return edited(t, token, 0, func(s string) string {
		return regexp.MustCompile(`"kid":"[^"]*"`).ReplaceAllString(s, `"kid":"`+id+`"`)
	})
}

func unsigned(t *testing.T, token string) string {
	t.Helper()
	none := edited(t, token, 0, func(s string) string { return regexp.MustCompile(`"alg":"[^"]*"`).ReplaceAllString(s, `"alg":"none"`) })
	return none[:strings.LastIndexByte(none, '.')+1]
}
