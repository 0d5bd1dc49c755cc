// Package rehearse answers, from what workloads reached, what REGISTRY_ONLY would block
// in a namespace, and proposes the objects that allow it.
//
// It is pure and deterministic: the same report and objects give the same text, byte by
// byte. A proposal is compared with the model that sidecars are configured by, so what it
// has is what is missing.
package rehearse
