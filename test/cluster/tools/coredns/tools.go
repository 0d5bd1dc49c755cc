//go:build tools

// Package tools pins CoreDNS. It is a module of its own so that the product's
// go.mod stays free of it; nothing imports it, and package cluster builds this
// main package from it.
package tools

import _ "github.com/coredns/coredns"
