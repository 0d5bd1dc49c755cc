package webhook

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"golang.org/x/sync/semaphore"
)

// unit is the bytes of body that one place among the concurrent requests is
// for. A few very large requests count as much as many ordinary ones, and the
// bodies in memory are at most MaxConcurrent times unit.
const unit = 256 << 10

// defaultWait is how long a request waits for its place when it does not carry
// the API server's timeout.
const defaultWait = 2 * time.Second

// limiter bounds the concurrent requests by the size of their bodies.
type limiter struct {
	places   *semaphore.Weighted
	capacity int64
}

func newLimiter(capacity int) limiter {
	return limiter{semaphore.NewWeighted(int64(capacity)), int64(capacity)}
}

// enter waits for r's place among the concurrent requests. It waits for half
// the time the API server gives, so that the error still arrives, and the
// API server may retry.
func (l limiter) enter(r *http.Request) (leave func(), busy *httpError) {
	length := r.ContentLength
	if length < 0 {
		length = maxBody
	}
	weight := min(1+length/unit, l.capacity)
	places := l.places
	leave = func() { places.Release(weight) }
	if places.TryAcquire(weight) {
		return leave, nil
	}
	ctx, cancel := context.WithTimeout(r.Context(), patience(r))
	defer cancel()
	if places.Acquire(ctx, weight) != nil {
		return nil, &httpError{http.StatusTooManyRequests, "busy",
			fmt.Sprintf("too many concurrent requests (limit %d); retry or add replicas", l.capacity)}
	}
	return leave, nil
}

// patience is how long a request waits for its place.
func patience(r *http.Request) time.Duration {
	if d, err := time.ParseDuration(r.URL.Query().Get("timeout")); err == nil && d > 0 && d <= 30*time.Second {
		return d / 2
	}
	return defaultWait
}
