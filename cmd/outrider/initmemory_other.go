//go:build !linux

package main

func releaseInitMemory() {}
