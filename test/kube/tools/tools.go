//go:build tools

// Package tools pins the servers that the tests run against: kube-apiserver,
// etcd and kubectl. It is a module of its own so that the product's go.mod
// stays free of Kubernetes itself; nothing imports it, and package kube builds
// these main packages from it.
package tools

import (
	_ "go.etcd.io/etcd/server/v3"
	_ "k8s.io/kubernetes/cmd/kube-apiserver"
	_ "k8s.io/kubernetes/cmd/kubectl"
)
