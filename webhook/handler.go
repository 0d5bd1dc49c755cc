package webhook

import (
	"fmt"
	"net/http"
	"runtime/debug"
	"time"
)

// handler is one admission handler: read the review, decide, respond, count, log.
type handler struct {
	Options
	name        string
	limiter     limiter
	bodyTimeout time.Duration
	// decide answers one decoded request. It may panic.
	decide func(*request) answer
	// panicked is the answer where decide panicked.
	panicked func(uid string) answer
	count    func(*answer, time.Duration)
}

func newHandler(o Options, name string) *handler {
	if o.MaxConcurrent <= 0 {
		o.MaxConcurrent = DefaultMaxConcurrent
	}
	return &handler{Options: o, name: name, limiter: newLimiter(o.MaxConcurrent), bodyTimeout: bodyTimeout}
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	b := pool.Get().(*buffers)
	defer b.release()

	req, a := h.answer(w, r, b)
	respond(w, &a, b)
	took := time.Since(start)
	h.count(&a, took)
	h.log(req, &a, took)
}

// answer reads one request and decides it. req is nil where the body is not a
// review.
func (h *handler) answer(w http.ResponseWriter, r *http.Request, b *buffers) (req *request, a answer) {
	if e := checkHeaders(r); e != nil {
		return nil, failed(e)
	}
	leave, e := h.limiter.enter(r)
	if e != nil {
		return nil, failed(e)
	}
	defer leave()

	// A client that sends slowly must not occupy its place. Recorders of tests
	// have no deadline to set; a server's connection always has.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(h.bodyTimeout))
	if b.body, e = readBody(r, b.body); e != nil {
		return nil, failed(e)
	}
	return h.review(b.body)
}

// review decodes one review and decides it. A panic ends this request, not the
// process.
func (h *handler) review(body []byte) (req *request, a answer) {
	defer func() {
		if p := recover(); p != nil {
			a = h.recovered(req, p)
		}
	}()
	req, e := decodeReview(body)
	if e != nil {
		return nil, failed(e)
	}
	req.body = body
	a = h.decide(req)
	a.about(req)
	return req, a
}

// recovered is the answer to a request that panicked.
func (h *handler) recovered(req *request, p any) answer {
	h.Metrics.panics.Inc()
	a := failed(&httpError{http.StatusInternalServerError, "panic", "internal error; see the Outrider log"})
	if req != nil {
		a = h.panicked(req.UID)
		a.about(req)
	}
	a.result, a.reason = resultError, "panic"
	a.err, a.stack = fmt.Errorf("panic: %v", p), debug.Stack()
	return a
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
