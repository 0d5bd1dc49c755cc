package serve

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/go-logr/logr"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// guard lets through who may get the path: the API server says whose token it is
// (TokenReview), and whether a role of theirs has the path in nonResourceURLs
// (SubjectAccessReview). controller-runtime has such a filter; it brings CEL and
// OpenTelemetry into a program that also transforms files, and starts for each.
type guard struct {
	client kubernetes.Interface
	log    logr.Logger
	next   http.Handler
}

// guardTimeout bounds both questions together.
const guardTimeout = 10 * time.Second

// ServeHTTP asks for each request; nobody looks often.
func (g guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), guardTimeout)
	defer cancel()
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "bearer") || token == "" {
		w.Header().Set("WWW-Authenticate", "Bearer")
		http.Error(w, `send a token: curl -H "Authorization: Bearer $(kubectl create token SERVICE_ACCOUNT)" ...`, http.StatusUnauthorized)
		return
	}
	review, err := g.client.AuthenticationV1().TokenReviews().Create(ctx,
		&authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token}}, metav1.CreateOptions{})
	if err != nil {
		g.unknown(w, "whose token it is", err)
		return
	}
	user := review.Status.User
	if !review.Status.Authenticated {
		http.Error(w, "the API server does not know the token", http.StatusUnauthorized)
		return
	}
	access := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: user.Username, UID: user.UID, Groups: user.Groups, Extra: map[string]authorizationv1.ExtraValue{},
		NonResourceAttributes: &authorizationv1.NonResourceAttributes{Path: r.URL.Path, Verb: strings.ToLower(r.Method)},
	}}
	for k, v := range user.Extra {
		access.Spec.Extra[k] = authorizationv1.ExtraValue(v)
	}
	access, err = g.client.AuthorizationV1().SubjectAccessReviews().Create(ctx, access, metav1.CreateOptions{})
	if err != nil {
		g.unknown(w, "what may be seen", err)
		return
	}
	if !access.Status.Allowed || access.Status.Denied {
		http.Error(w, fmt.Sprintf("%s may not %s %s; a ClusterRole with a rule {nonResourceURLs: [%q], verbs: [get]} lets them",
			user.Username, strings.ToLower(r.Method), r.URL.Path, debugPath+"*"), http.StatusForbidden)
		return
	}
	g.next.ServeHTTP(w, r)
}

func (g guard) unknown(w http.ResponseWriter, what string, err error) {
	g.log.Error(err, "the API server does not say "+what)
	http.Error(w, "the API server cannot be asked "+what+" now; try again", http.StatusServiceUnavailable)
}
