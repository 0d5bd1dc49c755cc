package webhook

import (
	"context"
	"fmt"
	"net/http"
	"runtime/debug"

	"github.com/tidwall/gjson"

	"github.com/outrider-mesh/outrider/internal/problem"
)

// review decodes one review and decides it. A panic ends this request, not the
// process.
func (h *handler) review(ctx context.Context, hold *hold, body []byte) (req *request, a answer) {
	defer func() {
		if p := recover(); p != nil {
			a = h.recovered(req, body, p)
		}
	}()
	w, e := h.shared.weigh(ctx, hold.source, body)
	if e != nil {
		return nil, failed(e)
	}
	if reason, message := h.shared.exceeded(w); reason != "" {
		return h.exceeded(body, reason, message)
	}
	h.awaitConfiguration(ctx)
	leave, e := h.enter(ctx, hold, w)
	if e != nil {
		return nil, failed(e)
	}
	defer leave()
	if req, e = h.decode(body); e != nil {
		return nil, failed(e)
	}
	req.body = body
	a = h.decide(req)
	a.about(req)
	return req, a
}

// enter waits for the request's place. Nothing of it is decoded before.
func (h *handler) enter(ctx context.Context, hold *hold, w weight) (leave func(), busy *httpError) {
	cost := w.cost()
	if h.extra != nil {
		cost += h.extra(w)
	}
	leave, busy = h.shared.enter(ctx, h.shared.gateOf(h.validation, cost), hold.source, cost)
	if busy == nil && !hold.keep() {
		leave()
		return nil, tooBusy("too many large concurrent requests")
	}
	return leave, busy
}

// exceeded is the answer to a review that is not decoded. It is a review where the body
// is one, so that users see the message alone.
func (h *handler) exceeded(body []byte, reason, message string) (*request, answer) {
	if r := outline(body); r != nil {
		a := h.refuse(reason, message)
		a.about(r)
		return r, a
	}
	return nil, failed(&httpError{http.StatusRequestEntityTooLarge, reason, message})
}

// outline is what identifies a review that is not decoded; nil where the body is none.
func outline(body []byte) *request {
	uid := gjson.GetBytes(body, "request.uid").String()
	if uid == "" || gjson.GetBytes(body, "kind").Str != reviewKind {
		return nil
	}
	return &request{requestHead: requestHead{
		UID:       problem.Clip(uid, 100),
		Namespace: problem.Clip(gjson.GetBytes(body, "request.namespace").String(), maxName),
		Resource:  resource{Resource: problem.Clip(gjson.GetBytes(body, "request.resource.resource").String(), maxName)},
	}}
}

// recovered is the answer to a request that panicked, decoded or not.
func (h *handler) recovered(req *request, body []byte, p any) answer {
	if req == nil {
		req = outline(body)
	}
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
