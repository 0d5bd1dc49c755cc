//go:build tools

// Package tools pins the parts of Kubernetes that a node runs on top of what
// test/kube builds. It is a module of its own so that the product's go.mod
// stays free of Kubernetes itself; nothing imports it, and package cluster
// builds these main packages from it.
package tools

import (
	_ "k8s.io/kubernetes/cmd/kube-controller-manager"
	_ "k8s.io/kubernetes/cmd/kube-proxy"
	_ "k8s.io/kubernetes/cmd/kube-scheduler"
	_ "k8s.io/kubernetes/cmd/kubelet"
)
