package webhook

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// limits is what all handlers share: the memory of bodies and reviews, and the places
// of those being processed.
//
// The arithmetic, with the defaults:
//
//	32 MiB  lightPlaces reviews that cost up to lightCost each: ordinary pods
//	64 MiB  other reviews of pods and workloads, by their cost
//	64 MiB  reviews of objects and ConfigMaps to validate, by their cost: they take
//	        no place of a pod, however long they take
//	64 MiB  bodies larger than smallBody that are being received or wait
//
// What a connection takes with a body up to smallBody counts as the connection's.
type limits struct {
	light, heavy  *gate
	validations   *gate
	weighing      *gate // of large bodies: they take a processor for milliseconds
	bodies        *bodies
	errorLog      *logLimit
	places        int
	maxCost       int64
	maxContainers int
}

const (
	lightCost      = 512 << 10
	heavyPlaces    = 4 // of each of the two
	weighingPlaces = 2
)

func newLimits(l Limits) *limits {
	l = l.withDefaults()
	return &limits{
		light:    newGate(l.MaxConcurrent, int64(l.MaxConcurrent)*lightCost),
		heavy:    newGate(min(l.MaxConcurrent, heavyPlaces), l.ReviewMemory/2),
		weighing: newGate(weighingPlaces, weighingPlaces),
		bodies:   newBodies(l.ReviewMemory / 2),

		errorLog:    newLogLimit(),
		validations: newGate(min(l.MaxConcurrent, heavyPlaces), l.ReviewMemory/2),

		places: l.MaxConcurrent, maxCost: l.ReviewMemory / 2, maxContainers: l.Containers,
	}
}

// defaultWait is how long a request waits for its place when it does not carry
// the API server's timeout.
const defaultWait = 2 * time.Second

// patience is how long a request waits for its place: half the time that the API
// server gives, so that the error still arrives, and the API server may retry.
func patience(r *http.Request) time.Duration {
	if d, err := time.ParseDuration(r.URL.Query().Get("timeout")); err == nil && d > 0 && d <= 30*time.Second {
		return d / 2
	}
	return defaultWait
}

// gateOf is where a review of that cost waits for its place.
func (l *limits) gateOf(validation bool, cost int64) *gate {
	switch {
	case validation:
		return l.validations
	case cost <= lightCost:
		return l.light
	}
	return l.heavy
}

// enter waits for a place and the memory for a review. One that costs more than the
// memory of its gate has all of it.
func (l *limits) enter(ctx context.Context, g *gate, source string, cost int64) (leave func(), busy *httpError) {
	cost = min(max(cost, lightCost), g.limit)
	if !g.enter(ctx, source, cost) {
		return nil, tooBusy(fmt.Sprintf("too many concurrent requests (limit %d)", l.places))
	}
	return func() { g.leave(cost) }, nil
}

func tooBusy(what string) *httpError {
	return &httpError{http.StatusTooManyRequests, "busy", what + "; retry or add replicas"}
}

// weigh counts what a body contains. A large one waits for its turn.
func (l *limits) weigh(ctx context.Context, source string, body []byte) (weight, *httpError) {
	if len(body) > smallBody {
		if !l.weighing.enter(ctx, source, 1) {
			return weight{}, tooBusy("too many large concurrent requests")
		}
		defer l.weighing.leave(1)
	}
	w := weigh(body)
	if w.depth > maxDepth {
		return w, badRequest("review_undecodable", fmt.Sprintf("invalid %s JSON: objects and arrays are nested deeper than %d levels", reviewKind, maxDepth))
	}
	return w, nil
}

// exceeded is the limit that a review exceeds, and the message; empty if none.
func (l *limits) exceeded(w weight) (reason, message string) {
	switch {
	case w.containers > l.maxContainers:
		return "too_many_containers", fmt.Sprintf("%d containers: the limit is %d; use fewer, or raise --max-containers", w.containers, l.maxContainers)
	case w.cost() > l.maxCost:
		return "too_large", fmt.Sprintf("a review of %d bytes with %d values needs up to %d MiB of memory: the limit is %d MiB; "+
			"shorten the object's lists, or raise --max-review-memory-bytes", w.bytes, w.values, w.cost()>>20, l.maxCost>>20)
	}
	return "", ""
}
