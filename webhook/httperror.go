package webhook

import (
	"net/http"
	"strconv"
)

// httpError is a response that is not a review: a status and a text. The API
// server shows the text to the user after "failed calling webhook".
type httpError struct {
	status int
	reason string // the code in the metrics and the log
	text   string
}

func badRequest(reason, text string) *httpError {
	return &httpError{http.StatusBadRequest, reason, text}
}

func (e *httpError) write(w http.ResponseWriter) {
	if e.status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "1")
	}
	if e.status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", http.MethodPost)
	}
	http.Error(w, e.text, e.status)
}

var jsonContentType = []string{"application/json"}

// writeJSON responds with a body of JSON.
func writeJSON(w http.ResponseWriter, body []byte) {
	h := w.Header()
	h["Content-Type"] = jsonContentType
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(body) // on an error the client is gone
}
