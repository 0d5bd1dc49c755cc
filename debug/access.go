package debug

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/time/rate"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// authorized serves next to users who are allowed to get the path: the API server
// authenticates their token (TokenReview) and decides whether one of their roles
// has the path in nonResourceURLs (SubjectAccessReview). controller-runtime has
// such a filter; it brings CEL and OpenTelemetry into a program that also
// transforms files, and starts for each.
type authorized struct {
	client  kubernetes.Interface
	reviews *rate.Limiter
	log     logr.Logger
	next    http.Handler
}

// reviewRate and reviewBurst are the requests per second that are reviewed: without
// credentials anybody can send some, and users send few.
const (
	reviewRate  = 5
	reviewBurst = 20
)

// reviewTimeout bounds both reviews together.
const reviewTimeout = 10 * time.Second

// denial is the response to a request that is not served.
type denial struct {
	code    int
	message string
	review  error // of the review that failed; nil where the API server decided
}

// ServeHTTP reviews each request with a token; they are rare.
func (a authorized) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), reviewTimeout)
	defer cancel()
	user, denied := a.authenticate(ctx, r.Header.Get("Authorization"))
	if denied == nil {
		denied = a.authorize(ctx, user, r)
	}
	if denied == nil {
		a.next.ServeHTTP(w, r)
		return
	}
	if denied.review != nil {
		a.log.Error(denied.review, denied.message)
		denied.message += "; try again"
	}
	if denied.code == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	http.Error(w, denied.message, denied.code)
}

// authenticate asks whose token it is.
func (a authorized) authenticate(ctx context.Context, authorization string) (authenticationv1.UserInfo, *denial) {
	scheme, token, _ := strings.Cut(authorization, " ")
	if !strings.EqualFold(scheme, "bearer") || token == "" {
		return authenticationv1.UserInfo{}, &denial{code: http.StatusUnauthorized,
			message: `missing bearer token: curl -H "Authorization: Bearer $(kubectl create token SERVICE_ACCOUNT)" ...`}
	}
	if !a.reviews.Allow() {
		return authenticationv1.UserInfo{}, &denial{code: http.StatusTooManyRequests,
			message: fmt.Sprintf("more than %d requests per second to the debug endpoints; try again", reviewRate)}
	}
	review, err := a.client.AuthenticationV1().TokenReviews().Create(ctx,
		&authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token}}, metav1.CreateOptions{})
	if err != nil {
		return authenticationv1.UserInfo{}, &denial{http.StatusServiceUnavailable, "TokenReview failed", err}
	}
	if !review.Status.Authenticated {
		return authenticationv1.UserInfo{}, &denial{code: http.StatusUnauthorized, message: "invalid token"}
	}
	return review.Status.User, nil
}

// authorize asks whether the user may get the path.
func (a authorized) authorize(ctx context.Context, user authenticationv1.UserInfo, r *http.Request) *denial {
	path, verb := r.URL.Path, strings.ToLower(r.Method)
	spec := authorizationv1.SubjectAccessReviewSpec{
		User: user.Username, UID: user.UID, Groups: user.Groups, Extra: map[string]authorizationv1.ExtraValue{},
		NonResourceAttributes: &authorizationv1.NonResourceAttributes{Path: path, Verb: verb},
	}
	for k, v := range user.Extra {
		spec.Extra[k] = authorizationv1.ExtraValue(v)
	}
	review, err := a.client.AuthorizationV1().SubjectAccessReviews().Create(ctx, &authorizationv1.SubjectAccessReview{Spec: spec}, metav1.CreateOptions{})
	if err != nil {
		return &denial{http.StatusServiceUnavailable, "SubjectAccessReview failed", err}
	}
	if !review.Status.Allowed || review.Status.Denied {
		return &denial{code: http.StatusForbidden, message: fmt.Sprintf(
			"forbidden: user %q cannot %s path %q; grant nonResourceURLs: [%q], verbs: [get] in a ClusterRole", user.Username, verb, path, Path+"*")}
	}
	return nil
}
