package attack

import "testing"

// junkTokens: without credentials, streams with invalid tokens are opened as fast as
// possible: text that is no token, and tokens of which only the signature is wrong.
// The API server reviews none of them.
func junkTokens(t *testing.T, b *battery) {
	b.namespace(t, "tokens", false)
	before := b.metric(t, "outrider_xds_token_checks_total", `method="review"`)
	a := b.attack(t, []string{"tokens"}, "tokens all "+b.targets(t, 15012))
	b.neighbor.goesOn(t, 8)
	a.stop(t)
	// The neighbor's new pods are reviewed, once each.
	if n := b.metric(t, "outrider_xds_token_checks_total", `method="review"`) - before; n > 5 {
		t.Errorf("%v TokenReviews", n)
	}
	t.Logf("%v streams rejected", b.metric(t, "outrider_xds_refusals_total"))
}
