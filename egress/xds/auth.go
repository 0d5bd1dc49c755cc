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

// refusal is why a stream is not let in: the client is told the status, whoever
// runs the server the cause.
type refusal struct {
	status *status.Status
	cause  error
}

func (r refusal) Error() string              { return r.cause.Error() }
func (r refusal) Unwrap() error              { return r.cause }
func (r refusal) GRPCStatus() *status.Status { return r.status }

func refuse(code codes.Code, told string, cause error) error {
	if cause == nil {
		cause = errors.New(told)
	}
	return refusal{status.New(code, told), cause}
}

// authenticate gives the identity behind a stream, or the refusal that it ends
// with.
func authenticate(ctx context.Context, by Authenticator) (Identity, error) {
	const header = "one authorization header with a bearer token is needed"
	values := metadata.ValueFromIncomingContext(ctx, "authorization")
	if len(values) != 1 {
		return Identity{}, refuse(codes.Unauthenticated, header, nil)
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "bearer") || token == "" {
		return Identity{}, refuse(codes.Unauthenticated, header, nil)
	}
	id, err := by.Authenticate(ctx, token)
	switch {
	case errors.Is(err, ErrUnauthenticated):
		return Identity{}, refuse(codes.Unauthenticated, ErrUnauthenticated.Error(), err)
	case err != nil:
		return Identity{}, refuse(codes.Unavailable, "the token cannot be checked now", err)
	case id.Namespace == "":
		return Identity{}, refuse(codes.PermissionDenied, "the token belongs to no namespace", nil)
	}
	return id, nil
}
