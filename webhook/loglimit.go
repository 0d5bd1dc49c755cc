package webhook

import (
	"sync/atomic"

	"golang.org/x/time/rate"
)

// The lines about requests that are no reviews: any client can send thousands a second.
// A line has some 300 bytes, so these are at most 260 MB a day.
const (
	errorLines     = 10 // a second
	errorLineBurst = 50
)

// logLimit limits lines, and counts those that are omitted.
type logLimit struct {
	limiter *rate.Limiter
	omitted atomic.Int64
}

func newLogLimit() *logLimit {
	return &logLimit{limiter: rate.NewLimiter(errorLines, errorLineBurst)}
}

// allow reports whether a line is written, with the number of those omitted before it.
func (l *logLimit) allow() (omitted int64, ok bool) {
	if !l.limiter.Allow() {
		l.omitted.Add(1)
		return 0, false
	}
	return l.omitted.Swap(0), true
}
