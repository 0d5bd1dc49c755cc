package xds

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// algorithms are those that API servers sign service account tokens with.
var algorithms = []jose.SignatureAlgorithm{jose.RS256, jose.ES256, jose.ES384, jose.ES512}

const (
	// tokenBytes bounds a token; one of a service account has 1 to 2 KiB.
	tokenBytes = 8 << 10
	// clockSkew is how much later than the API server's this clock may be early.
	clockSkew = time.Minute
)

// issuer is the token issuer of a cluster, with its public keys.
type issuer struct {
	name string
	keys jose.JSONWebKeySet
}

var (
	// errUnknownKey: no key of the cluster has signed the token, or it is newer than those
	// that were read.
	errUnknownKey = unauthenticated("the token is signed by no key of the cluster")
	// errOtherIssuer: a key of the cluster has signed the token, for an issuer that only
	// the API server accepts: an earlier one.
	errOtherIssuer = errors.New("the token has another issuer")
)

// kubernetesClaims are the claims of service account tokens.
type kubernetesClaims struct {
	Kubernetes struct {
		Namespace      string `json:"namespace"`
		ServiceAccount struct {
			Name string `json:"name"`
		} `json:"serviceaccount"`
		Pod *struct {
			Name string `json:"name"`
			UID  string `json:"uid"`
		} `json:"pod"`
	} `json:"kubernetes.io"`
}

// parseToken reads a token without verifying it; what no API server has issued is an
// error that wraps ErrUnauthenticated.
func parseToken(text string) (*jwt.JSONWebToken, error) {
	if len(text) > tokenBytes {
		return nil, unauthenticated(fmt.Sprintf("the token has more than %d bytes", tokenBytes))
	}
	token, err := jwt.ParseSigned(text, algorithms)
	if err != nil {
		return nil, unauthenticated("not a service account token")
	}
	claims := jwt.Claims{}
	if err := token.UnsafeClaimsWithoutVerification(&claims); err != nil {
		return nil, unauthenticated("not a service account token")
	}
	if !slices.Contains(claims.Audience, Audience) {
		return nil, unauthenticated("wrong audience: want " + Audience)
	}
	return token, nil
}

// verify returns the identity of a token for Audience at a time. The error wraps
// ErrUnauthenticated, or is errOtherIssuer.
func (i issuer) verify(token *jwt.JSONWebToken, now time.Time) (Identity, error) {
	keys := i.keys.Key(token.Headers[0].KeyID)
	if len(keys) == 0 {
		return Identity{}, errUnknownKey
	}
	claims, kube := jwt.Claims{}, kubernetesClaims{}
	verified := false
	for _, key := range keys {
		verified = verified || token.Claims(key.Key, &claims, &kube) == nil
	}
	switch {
	case !verified:
		return Identity{}, unauthenticated("invalid signature")
	case claims.Issuer != i.name:
		return Identity{}, errOtherIssuer
	}
	switch k := kube.Kubernetes; {
	case claims.Expiry == nil || !now.Before(claims.Expiry.Time()):
		return Identity{}, unauthenticated("the token has expired")
	case claims.NotBefore != nil && now.Add(clockSkew).Before(claims.NotBefore.Time()):
		return Identity{}, unauthenticated("the token is not valid yet")
	case !slices.Contains(claims.Audience, Audience):
		return Identity{}, unauthenticated("wrong audience: want " + Audience)
	case k.Namespace == "" || k.ServiceAccount.Name == "" || claims.Subject != "system:serviceaccount:"+k.Namespace+":"+k.ServiceAccount.Name:
		return Identity{}, unauthenticated(claims.Subject + " is not a service account")
	}
	id := Identity{Namespace: kube.Kubernetes.Namespace, ServiceAccount: kube.Kubernetes.ServiceAccount.Name}
	if pod := kube.Kubernetes.Pod; pod != nil {
		id.Pod, id.PodUID = pod.Name, pod.UID
	}
	return id, nil
}
