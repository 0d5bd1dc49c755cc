package webhook

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"time"

	"github.com/outrider-mesh/outrider/internal/problem"
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

// bodyTimeout is how long a request may take to arrive.
const bodyTimeout = 10 * time.Second

// checkHeaders rejects what is not a review before any of it is read.
func checkHeaders(r *http.Request) *httpError {
	if r.Method != http.MethodPost {
		return &httpError{http.StatusMethodNotAllowed, "method",
			fmt.Sprintf("method %s is not allowed; send an AdmissionReview by POST", problem.Clip(r.Method, 20))}
	}
	if ct := r.Header.Get("Content-Type"); ct != "application/json" {
		if media, _, err := mime.ParseMediaType(ct); err != nil || media != "application/json" {
			return &httpError{http.StatusUnsupportedMediaType, "content_type",
				fmt.Sprintf("content type %q is not supported; send application/json", problem.Clip(ct, 100))}
		}
	}
	if r.ContentLength > maxBody {
		return tooLarge(fmt.Sprintf("AdmissionReview of %d bytes", r.ContentLength))
	}
	return nil
}

func tooLarge(what string) *httpError {
	return &httpError{http.StatusRequestEntityTooLarge, "body_too_large",
		fmt.Sprintf("%s exceeds the limit of %d bytes", what, maxBody)}
}

// readBody reads the body into buf, which grows as needed, up to the limit.
func readBody(r *http.Request, buf []byte) ([]byte, *httpError) {
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
			return buf, tooLarge("AdmissionReview")
		case errors.Is(err, io.EOF):
			if len(buf) == 0 {
				return buf, badRequest("body_empty", "empty body; send an AdmissionReview")
			}
			return buf, nil
		case err != nil:
			return buf, badRequest("body_unreadable", fmt.Sprintf("read body after %d bytes: %v", len(buf), err))
		}
	}
}
