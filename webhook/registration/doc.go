// Package registration is how the API server reaches the webhook: the
// MutatingWebhookConfiguration and the ValidatingWebhookConfiguration of a
// revision. A template of deploy/chart is generated from them, by the tests of deploy,
// and tests that run the program register it by them.
//
// What a caller may assume: no two entries of a configuration select the same
// pod; the revision "default" alone selects by istio-injection and by the pod
// label sidecar.istio.io/inject.
package registration
