// Package check finds what keeps an installation, or the cluster before one, from working.
//
// Contract: it is pure. Facts is what was read of a cluster; each check of Catalog is a
// function of it, with a stable ID that is an anchor of docs/checks.md. A check whose facts
// could not be read is skipped with the reason: it never passes by what is not known.
//
// Files, each using only those before it: trial.go (a connection that is tried), result.go
// (what is found), sidecar.go (what is read of one sidecar), facts.go (what is read), then
// the checks by group (kubernetes.go, installation.go, webhook.go, namespaces.go, ranges.go,
// platform.go, proxy.go, proxytime.go, traffic.go), catalog.go (all of them), text.go (as
// text), page.go (the page).
package check
