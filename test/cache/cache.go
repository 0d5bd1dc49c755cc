// Package cache is what the builders of real servers and programs for the tests
// share: a lock, so that one process at a time fills a directory.
package cache
