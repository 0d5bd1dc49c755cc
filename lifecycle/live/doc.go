// Package live verifies and uninstalls an installation in a real cluster, as
// package lifecycle decides. The chart's hooks and the commands verify-install and
// uninstall run it.
package live
