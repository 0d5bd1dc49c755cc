package kube

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/go-logr/logr"
	"k8s.io/client-go/rest"

	"github.com/outrider-mesh/outrider/test/kit"
	"github.com/outrider-mesh/outrider/test/kube"
)

// TestPods reads the labels of pods, changes them, and deletes and makes a pod again.
func TestPods(t *testing.T) {
	s := kube.Require(t)
	ns := s.Namespace(t, nil)
	run := func(args ...string) string {
		t.Helper()
		out, err := s.Kubectl(t.Context(), append([]string{"-n", ns}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("kubectl %v: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	create := func() string {
		run("run", "web", "--image=a", "--labels=app=web", "--overrides", `{"spec":{"automountServiceAccountToken":false}}`)
		return run("get", "pod", "web", "-o", "jsonpath={.metadata.uid}")
	}
	_, _ = s.Kubectl(t.Context(), "-n", ns, "create", "serviceaccount", "default").CombinedOutput()
	uid := create()
	var mu sync.Mutex
	changed := map[string]int{}
	pods, err := NewPods(rest.CopyConfig(s.Config), logr.Discard(), func(namespace, name string) {
		mu.Lock()
		defer mu.Unlock()
		changed[namespace+"/"+name]++
	})
	kit.Must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := startPods(ctx, pods)
	defer func() { cancel(); <-done }()
	if _, _, known := pods.Known(ns, "web", uid); known {
		t.Error("pods are read before labels are needed")
	}
	if exists, err := pods.Read(ctx, ns, "web", uid); !exists || err != nil {
		t.Errorf("read: %v, %v", exists, err)
	}
	if exists, err := pods.Read(ctx, ns, "web", "another"); exists || err != nil {
		t.Errorf("another pod of the name: %v, %v", exists, err)
	}
	has := func(uid, want string) {
		t.Helper()
		kit.EventuallyTrue(t, want, func() bool {
			of, _, known := pods.Known(ns, "web", uid)
			return fmt.Sprint(of["app"], " ", known) == want
		})
	}
	has(uid, "web true")
	pods.Need(true)
	kit.EventuallyTrue(t, "all pods are known", func() bool { mu.Lock(); defer mu.Unlock(); return changed["/"] == 1 })
	run("label", "pod", "web", "app=api", "--overwrite")
	has(uid, "api true")
	run("delete", "pod", "web", "--grace-period=0", "--force")
	has(uid, " false")
	again := create()
	has(again, "web true")
	has(uid, " false")
}

func startPods(ctx context.Context, p *Pods) <-chan error {
	done := make(chan error, 1)
	go func() { done <- p.Start(ctx) }()
	return done
}
