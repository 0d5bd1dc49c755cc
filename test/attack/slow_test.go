package attack

import "testing"

// slowRequests: without credentials, 400 connections to the webhook send a body, or
// their headers, a byte a second.
func slowRequests(t *testing.T, b *battery) {
	b.namespace(t, "slow", false)
	a := b.attack(t, []string{"slow"}, "reviews slow "+b.webhook(t), "reviews headers "+b.webhook(t))
	b.neighbor.goesOn(t, 8)
	a.stop(t)
}
