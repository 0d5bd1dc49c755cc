package webhook

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

// What a request may weigh. The API server takes requests of at most 3 MiB
// (its MaxRequestBodyBytes); a review carries
//
//	3 MiB  the object
//	3 MiB  what the server added to it (managedFields name every field that is
//	       set), or on an update the object as it was before
//	1 MiB  the rest of the review: the user, the options
//
// which is also what controller-runtime allows.
const maxBody = (3 + 3 + 1) << 20

// A place among the concurrent requests stands for unit bytes of body, so a
// few enormous requests count as much as many usual ones, and the bodies in
// memory are at most MaxConcurrent times unit.
const unit = 256 << 10

// How long a request may take to arrive, and to wait for its place when it does
// not say how long the API server waits for it.
const (
	bodyTimeout = 10 * time.Second
	defaultWait = 2 * time.Second
)

// maxPooled is the largest buffer that is kept for later requests: room for an
// ordinary pod many times over, and little enough to keep one a processor.
const maxPooled = 256 << 10

// buffers is the memory of one request, used again by the next.
type buffers struct {
	body, patch, out []byte
}

var pool = sync.Pool{New: func() any { return new(buffers) }}

// release gives the buffers back. Nothing that outlives the request points into
// them: the review's object is a copy, and so is every string decoded.
func (b *buffers) release() {
	if cap(b.body) > maxPooled {
		b.body = nil
	}
	if cap(b.patch) > maxPooled {
		b.patch = nil
	}
	if cap(b.out) > maxPooled {
		b.out = nil
	}
	pool.Put(b)
}

// checkHeaders refuses what is no review before any of it is read.
func checkHeaders(r *http.Request) *httpError {
	if r.Method != http.MethodPost {
		return &httpError{http.StatusMethodNotAllowed, "method",
			fmt.Sprintf("method %s; send an AdmissionReview by POST", clip(r.Method, 20))}
	}
	if ct := r.Header.Get("Content-Type"); ct != "application/json" {
		if media, _, err := mime.ParseMediaType(ct); err != nil || media != "application/json" {
			return &httpError{http.StatusUnsupportedMediaType, "content_type",
				fmt.Sprintf("content type %q; send application/json", clip(ct, 100))}
		}
	}
	if r.ContentLength > maxBody {
		return tooLarge(r.ContentLength)
	}
	return nil
}

func tooLarge(size int64) *httpError {
	more := ""
	if size < 0 {
		size, more = maxBody, "more than "
	}
	return &httpError{http.StatusRequestEntityTooLarge, "body_too_large",
		fmt.Sprintf("the AdmissionReview is %s%d bytes; at most %d are read: make the object smaller", more, size, maxBody)}
}

// enter waits for r's place among the concurrent requests. It waits for half
// the time the API server gives, so that the refusal still arrives, and the
// API server may try again.
func enter(r *http.Request, places *semaphore.Weighted, capacity int64) (leave func(), refused *httpError) {
	length := r.ContentLength
	if length < 0 {
		length = maxBody
	}
	weight := min(1+length/unit, capacity)
	leave = func() { places.Release(weight) }
	if places.TryAcquire(weight) {
		return leave, nil
	}
	wait := defaultWait
	if d, err := time.ParseDuration(r.URL.Query().Get("timeout")); err == nil && d > 0 && d <= 30*time.Second {
		wait = d / 2
	}
	ctx, cancel := context.WithTimeout(r.Context(), wait)
	defer cancel()
	if places.Acquire(ctx, weight) != nil {
		return nil, &httpError{http.StatusTooManyRequests, "busy",
			fmt.Sprintf("the webhook is at its limit of %d concurrent requests and none ended within %s; try again, or run more replicas", capacity, wait)}
	}
	return leave, nil
}

// read reads the body into buf, which grows as needed, up to the limit.
func read(r *http.Request, buf []byte) ([]byte, *httpError) {
	buf = buf[:0]
	// One byte more than announced, so that the end is seen without growing.
	if need := r.ContentLength + 1; int64(cap(buf)) < need {
		buf = make([]byte, 0, need)
	}
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := r.Body.Read(buf[len(buf):min(cap(buf), maxBody+1)])
		buf = buf[:len(buf)+n]
		switch {
		case len(buf) > maxBody:
			return buf, tooLarge(-1)
		case errors.Is(err, io.EOF):
			if len(buf) == 0 {
				return buf, badRequest("body_empty", "the body is empty; send an AdmissionReview")
			}
			return buf, nil
		case err != nil:
			return buf, badRequest("body_unreadable", fmt.Sprintf("reading the body, %d bytes in: %v", len(buf), err))
		}
	}
}

// write answers with a body of JSON.
func write(w http.ResponseWriter, body []byte) {
	h := w.Header()
	h["Content-Type"] = jsonContentType
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(body) // the client went away: there is nobody left to tell
}

var jsonContentType = []string{"application/json"}

// writeError answers below the level of reviews.
func writeError(w http.ResponseWriter, e *httpError) {
	if e.status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "1")
	}
	if e.status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", http.MethodPost)
	}
	http.Error(w, e.text, e.status)
}
