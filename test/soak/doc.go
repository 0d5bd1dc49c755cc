// Package soak creates pods at a steady rate while replicas end, certificates rotate,
// the configuration is edited, the Deployments are rolled and the API server restarts.
// No pod may be admitted without its sidecar, and none denied for a reason of the
// product; a running sidecar's requests succeed meanwhile, and edits reach it.
//
// What a caller may assume: [Run] works on a cluster with the product installed, changes
// only what it names, and removes what it made. `make soak` runs it for two minutes, with
// replicas that end gracefully and then with replicas that are killed; DURATION and RATE
// shorten it.
package soak
