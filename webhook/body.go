package webhook

import (
	"fmt"
	"mime"
	"net/http"

	"github.com/outrider-mesh/outrider/internal/connlimit"
	"github.com/outrider-mesh/outrider/internal/problem"
)

// checkClient rejects a client that is not the API server, where that can be found out.
func (h *handler) checkClient(r *http.Request) *httpError {
	if h.Authenticate == nil {
		return nil
	}
	if err := h.Authenticate(r.TLS); err != nil {
		return &httpError{http.StatusForbidden, "client_certificate", err.Error()}
	}
	connlimit.From(r.Context()).Trust()
	return nil
}

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
