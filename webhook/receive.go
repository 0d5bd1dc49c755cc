package webhook

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// maxBody is the maximum size of a request. The API server accepts requests of
// at most 3 MiB (its MaxRequestBodyBytes); a review carries
//
//	3 MiB  the object
//	3 MiB  what the server added to it (managedFields name every field that is
//	       set), or on an update the object as it was before
//	1 MiB  the rest of the review: the user, the options
//
// which is also what controller-runtime allows.
const maxBody = (3 + 3 + 1) << 20

// bodyTimeout is how long a body may take to arrive, with another second for each
// MiB that has arrived: a large object still arrives by a slow link of 8 Mbit/s, while
// one that sends nothing is cut off. The API server gives up after 5 s.
const bodyTimeout = 2 * time.Second

// bodyStep is the part of a body that extends bodyTimeout by a second.
const bodyStep = 1 << 20

func tooLarge(what string) *httpError {
	return &httpError{http.StatusRequestEntityTooLarge, "body_too_large",
		fmt.Sprintf("%s exceeds the limit of %d bytes", what, maxBody)}
}

// body is the body of a request that is being received.
type body struct {
	w     *http.ResponseController
	r     io.Reader
	start time.Time
	limit time.Duration
	hold  *hold
}

// read reads the body into buf, which grows as bytes arrive, up to the limit.
func (b *body) read(buf []byte) ([]byte, *httpError) {
	buf, next := buf[:0], bodyStep
	b.extend(0)
	defer func() { _ = b.w.SetReadDeadline(time.Time{}) }() // it must not end the wait for a place
	for {
		var e *httpError
		if buf, e = b.room(buf); e != nil {
			return buf, e
		}
		n, err := b.r.Read(buf[len(buf):min(cap(buf), maxBody+1)])
		buf = buf[:len(buf)+n]
		if len(buf) >= next {
			b.extend(len(buf))
			next = len(buf) + bodyStep
		}
		switch {
		case len(buf) > maxBody:
			return buf, tooLarge("AdmissionReview")
		case errors.Is(err, io.EOF):
			if len(buf) == 0 {
				return buf, badRequest("body_empty", "empty body; send an AdmissionReview")
			}
			return buf, nil
		case err != nil:
			return buf, b.failed(len(buf), err)
		}
	}
}

// extend sets the deadline by what has arrived. Recorders of tests have no deadline to
// set; a server's connection always has.
func (b *body) extend(arrived int) {
	_ = b.w.SetReadDeadline(b.start.Add(b.limit + time.Duration(arrived/bodyStep)*time.Second))
}

// room is the buffer with room for at least a byte. A large body has a hold of what
// has arrived, not of what was announced.
func (b *body) room(buf []byte) ([]byte, *httpError) {
	if len(buf) < cap(buf) {
		return buf, nil
	}
	size := max(4<<10, 2*cap(buf))
	if size > smallBody && !b.hold.grow(size) {
		return buf, tooBusy("too many large concurrent requests")
	}
	return append(make([]byte, 0, size), buf...), nil
}

func (b *body) failed(arrived int, err error) *httpError {
	switch {
	case b.hold.wasCut():
		return tooBusy("too many large concurrent requests")
	case errors.Is(err, os.ErrDeadlineExceeded):
		return badRequest("body_unreadable", fmt.Sprintf("read body: only %d bytes arrived within %s", arrived, time.Since(b.start).Round(10*time.Millisecond)))
	}
	return badRequest("body_unreadable", fmt.Sprintf("read body after %d bytes: %v", arrived, err))
}
