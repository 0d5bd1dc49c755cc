package debug

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"golang.org/x/time/rate"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

// apiServer authenticates the token "good" and the paths of allowed; with an error
// it answers no review of the resource.
func apiServer(unavailable string, allowed bool) *fake.Clientset {
	client := fake.NewClientset()
	client.PrependReactor("create", "*", func(a clienttesting.Action) (bool, runtime.Object, error) {
		if a.GetResource().Resource == unavailable {
			return true, nil, errors.New("no connection")
		}
		switch review := a.(clienttesting.CreateAction).GetObject().(type) {
		case *authenticationv1.TokenReview:
			review.Status.Authenticated = review.Spec.Token == "good"
			review.Status.User = authenticationv1.UserInfo{Username: "ann", Groups: []string{"ops"}}
			return true, review, nil
		case *authorizationv1.SubjectAccessReview:
			attributes := review.Spec.NonResourceAttributes
			review.Status.Allowed = allowed && review.Spec.User == "ann" && review.Spec.Groups[0] == "ops" &&
				attributes.Path == "/debug/objects" && attributes.Verb == "get"
			return true, review, nil
		}
		return false, nil, nil
	})
	return client
}

func TestAccess(t *testing.T) {
	for _, tt := range []struct {
		name, authorization, unavailable string
		allowed                          bool
		code                             int
		want                             string
	}{
		{"allowed", "Bearer good", "", true, http.StatusOK, "served"},
		{"another spelling of the scheme", "bearer good", "", true, http.StatusOK, "served"},
		{"no token", "", "", true, http.StatusUnauthorized, "missing bearer token: curl "},
		{"another scheme", "Basic good", "", true, http.StatusUnauthorized, "missing bearer token"},
		{"an invalid token", "Bearer bad", "", true, http.StatusUnauthorized, "invalid token"},
		{"no role", "Bearer good", "", false, http.StatusForbidden, `forbidden: user "ann" cannot get path "/debug/objects"; grant nonResourceURLs: ["/debug/*"]`},
		{"no TokenReview", "Bearer good", "tokenreviews", true, http.StatusServiceUnavailable, "TokenReview failed; try again"},
		{"no SubjectAccessReview", "Bearer good", "subjectaccessreviews", true, http.StatusServiceUnavailable, "SubjectAccessReview failed; try again"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			handler := authorized{apiServer(tt.unavailable, tt.allowed), rate.NewLimiter(1, 1), logr.Discard(), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				_, _ = w.Write([]byte("served"))
			})}
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/debug/objects", nil)
			r.Header.Set("Authorization", tt.authorization)
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			if w.Code != tt.code || !strings.HasPrefix(w.Body.String(), tt.want) {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			if got := w.Header().Get("WWW-Authenticate"); (got == "Bearer") != (tt.code == http.StatusUnauthorized) {
				t.Errorf("WWW-Authenticate %q", got)
			}
		})
	}
}

// TestManyRequests: the API server reviews a few of many requests with invalid tokens,
// and none without a token.
func TestManyRequests(t *testing.T) {
	client := apiServer("", true)
	handler := authorized{client, rate.NewLimiter(0, 3), logr.Discard(), http.NotFoundHandler()}
	codes := map[int]int{}
	for i := range 200 {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/debug/objects", nil)
		if i%2 == 0 {
			r.Header.Set("Authorization", "Bearer bad")
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		codes[w.Code]++
	}
	if len(client.Actions()) != 3 || codes[http.StatusTooManyRequests] != 97 || codes[http.StatusUnauthorized] != 103 {
		t.Errorf("%d reviews, responses %v", len(client.Actions()), codes)
	}
}
