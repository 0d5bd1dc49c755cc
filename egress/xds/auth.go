package xds

import (
	"context"
	"errors"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// Identity is the subject of a token.
type Identity struct {
	Namespace, ServiceAccount string
	Pod, PodUID               string // empty where the token is not bound to a pod
}

// String is namespace/pod, or namespace and service account.
func (i Identity) String() string {
	if i.Pod != "" {
		return i.Namespace + "/" + i.Pod
	}
	return i.Namespace + ", service account " + i.ServiceAccount
}

// ErrUnauthenticated is wrapped by an Authenticator's error when the token is
// invalid. Any other error means that the token could not be reviewed.
var ErrUnauthenticated = errors.New("invalid token")

// Authenticator returns the identity of a token. It is called concurrently.
type Authenticator interface {
	Authenticate(ctx context.Context, token string) (Identity, error)
}

// AuthenticatorFunc adapts a function to an Authenticator.
type AuthenticatorFunc func(ctx context.Context, token string) (Identity, error)

// Authenticate calls f.
func (f AuthenticatorFunc) Authenticate(ctx context.Context, token string) (Identity, error) {
	return f(ctx, token)
}

// streamError is the reason why a stream is rejected: the client gets the
// status, the Observer the cause.
type streamError struct {
	status *status.Status
	cause  error
}

func (e streamError) Error() string              { return e.cause.Error() }
func (e streamError) Unwrap() error              { return e.cause }
func (e streamError) GRPCStatus() *status.Status { return e.status }

// rejectStream is a streamError. Without a cause, the message is the cause, too.
func rejectStream(code codes.Code, message string, cause error) error {
	if cause == nil {
		cause = errors.New(message)
	}
	return streamError{status.New(code, message), cause}
}

// authenticate returns the identity of a stream's client, or the error that the
// stream is rejected with.
func authenticate(ctx context.Context, by Authenticator) (Identity, error) {
	const header = "exactly one bearer token required"
	values := metadata.ValueFromIncomingContext(ctx, "authorization")
	if len(values) != 1 {
		return Identity{}, rejectStream(codes.Unauthenticated, header, nil)
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "bearer") || token == "" {
		return Identity{}, rejectStream(codes.Unauthenticated, header, nil)
	}
	var id Identity
	var err error
	aside(func() { id, err = by.Authenticate(ctx, token) })
	switch {
	case errors.Is(err, ErrUnauthenticated):
		return Identity{}, rejectStream(codes.Unauthenticated, ErrUnauthenticated.Error(), err)
	case err != nil:
		return Identity{}, rejectStream(codes.Unavailable, "token review unavailable", err)
	case id.Namespace == "":
		return Identity{}, rejectStream(codes.PermissionDenied, "the token has no namespace", nil)
	}
	return id, nil
}

// aside calls f on another stack, and returns after it. What waits for a client for hours
// would keep the stack that it once needed: Go halves one when a quarter of it suffices, and
// what gRPC has on it takes more. A signature takes 16 KiB.
func aside(f func()) {
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	<-done
}
