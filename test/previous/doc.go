// Package previous gives tests the program of an earlier version, so that they can
// run its sidecars with the control plane of the checkout, and the other way around.
//
// COMMIT pins the version by a commit of this repository. It is the last one whose
// sidecar has its administration interface on a TCP port, and whose manifests have one
// Deployment: what both sides of an upgrade assume of each other differs the most
// there. After a release, pin the release before it: one minor version each way is
// what is supported.
//
// The program is built once from the repository's own history, and kept in the user's
// cache. [Require] skips the test where the history does not reach that far back.
package previous
