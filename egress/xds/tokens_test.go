package xds

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	authenticationclient "k8s.io/client-go/kubernetes/typed/authentication/v1"

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

// Tokens issued and reviewed by a real API server.
func TestTokens_WithAPIServer(t *testing.T) {
	s := kube.Require(t)
	ns := s.Namespace(t, nil)
	pod, err := s.Client.CoreV1().Pods(ns).Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "cart"},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "cart", Image: "cart"}}},
	}, metav1.CreateOptions{})
	kit.Must(t, err)
	token := func(audience string, bound bool) string {
		t.Helper()
		r := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: []string{audience}}}
		if bound {
			r.Spec.BoundObjectRef = &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID}
		}
		r, err := s.Client.CoreV1().ServiceAccounts(ns).CreateToken(t.Context(), "default", r, metav1.CreateOptions{})
		kit.Must(t, err)
		return r.Status.Token
	}
	client := &counting{TokenReviewInterface: s.Client.AuthenticationV1().TokenReviews()}
	tokens := NewTokens(client)

	pods, others := token(Audience, true), token("vault", true)
	var all sync.WaitGroup
	for range 20 { // at once, as after a restart
		all.Go(func() {
			id, err := tokens.Authenticate(t.Context(), pods)
			if err != nil || id != (Identity{Namespace: ns, ServiceAccount: "default", Pod: "cart"}) {
				t.Errorf("the pod's token: %+v, %v", id, err)
			}
		})
	}
	all.Wait()
	if id, err := tokens.Authenticate(t.Context(), token(Audience, false)); err != nil || id.Pod != "" || id.Namespace != ns {
		t.Errorf("a token that is not bound to a pod: %+v, %v", id, err)
	}
	for range 2 {
		for name, bad := range map[string]string{"for another audience": others, "that is malformed": "x.y.z"} {
			if id, err := tokens.Authenticate(t.Context(), bad); !errors.Is(err, ErrUnauthenticated) {
				t.Errorf("a token %s: %+v, %v", name, id, err)
			}
		}
	}
	if n := client.reviews.Load(); n != 4 {
		t.Errorf("%d reviews of 4 tokens", n)
	}

	client.unavailable.Store(true)
	if _, err := tokens.Authenticate(t.Context(), pods); err != nil {
		t.Errorf("the result is not cached while the API server is unavailable: %v", err)
	}
	for range 2 {
		if _, err := tokens.Authenticate(t.Context(), "a.new.one"); err == nil || errors.Is(err, ErrUnauthenticated) {
			t.Errorf("a token that cannot be reviewed: %v", err)
		}
	}
	client.unavailable.Store(false)
	if _, err := tokens.Authenticate(t.Context(), "a.new.one"); !errors.Is(err, ErrUnauthenticated) {
		t.Errorf("a failed review was cached: %v", err)
	}
}
