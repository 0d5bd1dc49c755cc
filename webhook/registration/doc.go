// Package registration is how the API server reaches the webhook: the
// MutatingWebhookConfiguration and the ValidatingWebhookConfiguration of a
// revision. deploy/outrider.yaml is rendered from them (a test there compares),
// and tests that run the program register it by them.
//
// What a caller may assume: no two entries of a configuration select the same
// pod; the revision "default" alone selects by istio-injection and by the pod
// label sidecar.istio.io/inject.
package registration
