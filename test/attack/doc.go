// Package attack runs attacks on a real cluster with the product on it, and shows
// that a neighbor is not affected: in another namespace, no request fails, edits
// arrive, and pods are created and start.
//
// [TestAttack] brings up one cluster for the list in suite_test.go; each attack is
// a function in a file of its own. `make attack` runs them all, and
//
//	go test ./test/attack -run TestAttack/streams -attack
//
// one of them. Attackers are pods of package cmd/tenant with a limit of processor
// time, all of one attack together of one core.
package attack
