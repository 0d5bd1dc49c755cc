//go:build !linux

package main

import "testing"

func checkImages(t *testing.T, _ string, _ release) { t.Skip("containerd runs on Linux") }
