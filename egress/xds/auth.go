package xds

import (
	"context"
	"errors"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// Identity is whom a token belongs to.
type Identity struct {
	Namespace, ServiceAccount string
	Pod                       string // empty where the token is not bound to a pod
}

// String is namespace/pod, or namespace and service account.
func (i Identity) String() string {
	if i.Pod != "" {
		return i.Namespace + "/" + i.Pod
	}
	return i.Namespace + ", service account " + i.ServiceAccount
}

// ErrUnauthenticated is what an Authenticator's error wraps when the token is
// not valid here. Any other error means that it could not be found out.
var ErrUnauthenticated = errors.New("the token is not valid here")

// Authenticator finds out whom a token belongs to. It is called by many streams
// at once.
type Authenticator interface {
	Authenticate(ctx context.Context, token string) (Identity, error)
}

// AuthenticatorFunc is a function as an Authenticator.
type AuthenticatorFunc func(ctx context.Context, token string) (Identity, error)

// Authenticate calls f.
func (f AuthenticatorFunc) Authenticate(ctx context.Context, token string) (Identity, error) {
	return f(ctx, token)
}

// authenticate gives the identity behind a stream, or the status that it ends
// with. The client is not told why a token is refused.
func authenticate(ctx context.Context, by Authenticator) (Identity, error) {
	values := metadata.ValueFromIncomingContext(ctx, "authorization")
	if len(values) != 1 {
		return Identity{}, status.Error(codes.Unauthenticated, "one authorization header with a bearer token is needed")
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "bearer") || token == "" {
		return Identity{}, status.Error(codes.Unauthenticated, "one authorization header with a bearer token is needed")
	}
	id, err := by.Authenticate(ctx, token)
	switch {
	case errors.Is(err, ErrUnauthenticated):
		return Identity{}, status.Error(codes.Unauthenticated, ErrUnauthenticated.Error())
	case err != nil:
		return Identity{}, status.Error(codes.Unavailable, "the token cannot be checked now")
	case id.Namespace == "":
		return Identity{}, status.Error(codes.PermissionDenied, "the token belongs to no namespace")
	}
	return id, nil
}
