package attack

import "testing"

// largeReviews: without credentials, reviews that take many times their size to decode
// are sent to all paths of the webhook, a dozen at once.
func largeReviews(t *testing.T, b *battery) {
	b.namespace(t, "reviews", false)
	a := b.attack(t, []string{"reviews"}, "reviews all "+b.webhook(t))
	b.neighbor.goesOn(t, 8)
	a.stop(t)
}
