// Package e2e runs the product on a real cluster, end to end, by the commands
// that its users type.
//
// [TestE2E] brings one cluster up for all of it, installs the product once and
// runs the scenarios of the two lists in suite_test.go. A scenario has namespaces
// of its own, so that it needs nothing of another; one that edits the product's
// ConfigMaps puts them back. To add one, write a function and a line of a list.
//
// The cluster is one of our own unless OUTRIDER_E2E_CONTEXT names a context of
// the user's kubeconfig; see package mesh. KUBECONFIG alone means nothing here,
// which TestE2E checks.
package e2e
