package webhook

import (
	"context"
	"net/http"
	"time"

	"github.com/outrider-mesh/outrider/internal/connlimit"
)

// handler is one admission handler: read the review, decide, respond, count, log.
type handler struct {
	Options
	name        string
	bodyTimeout time.Duration
	decode      func(body []byte) (*request, *httpError)
	// decide answers one decoded request. It may panic.
	decide func(*request) answer
	// refuse is the answer to a review that exceeds a limit.
	refuse func(reason, message string) answer
	// validation is true where objects are validated that no pod waits for.
	validation bool
	// extra is the memory that a request takes beside what its weight is; may be nil.
	extra func(weight) int64
	// panicked is the answer where decide panicked.
	panicked func(uid string) answer
	count    func(*answer, time.Duration)
}

func newHandler(o Options, name string) *handler {
	if o.shared == nil {
		o.shared = newLimits(o.Limits)
	}
	return &handler{Options: o, name: name, bodyTimeout: bodyTimeout, decode: decodeReview, refuse: unweighed}
}

// writeTimeout is how long a client may take to read a response. Those of ordinary pods
// are in the connection's buffers at once.
const writeTimeout = 5 * time.Second

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	req, a := h.answer(w, r, start)
	connection := connlimit.From(r.Context())
	if a.http == nil {
		connection.Answered()
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout))
	b := pool.Get().(*buffers)
	defer b.release()
	connection.Hold()
	respond(w, &a, b)
	connection.Flush()
	took := time.Since(start)
	h.count(&a, took)
	h.log(req, &a, took)
	req.release()
}

// answer receives one request and decides it. req is nil where the body is not a
// review. No place is taken before the body is complete: a client that sends slowly
// occupies its connection and no more.
func (h *handler) answer(w http.ResponseWriter, r *http.Request, start time.Time) (req *request, a answer) {
	if e := h.checkClient(r); e != nil {
		return nil, failed(e)
	}
	if e := checkHeaders(r); e != nil {
		return nil, failed(e)
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	control, connection := http.NewResponseController(w), connlimit.From(r.Context())
	hold := h.shared.bodies.begin(connection.Source(), func() {
		cancel()
		_ = control.SetReadDeadline(time.Unix(1, 0))
	})
	defer hold.done()
	buffer := bodyBuffer.Get().(*[]byte)
	defer releaseBody(buffer)
	var e *httpError
	if *buffer, e = (&body{control, r.Body, start, h.bodyTimeout, hold}).read(*buffer); e != nil {
		return nil, failed(e)
	}
	connection.Received()
	hold.completed()
	ctx, over := context.WithTimeout(ctx, patience(r))
	defer over()
	return h.review(ctx, hold, *buffer)
}

// respond writes the answer: a review, or an HTTP error.
func respond(w http.ResponseWriter, a *answer, b *buffers) {
	if a.http != nil {
		a.http.write(w)
		return
	}
	b.out = a.append(b.out[:0], &b.patch)
	writeJSON(w, b.out)
}
