//go:build unix

package main

import (
	"context"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"

	clusters "github.com/outrider-mesh/outrider/test/cluster"
)

// expectedOnContext are lines of the demo on a cluster of the user's.
var expectedOnContext = []string{
	`The demo will use the cluster of context "mine", https://127.0.0.1:`, "namespace istio-system", "namespaces outrider-demo and outrider-demo-by-hand", "  outrider uninstall --yes; ",
	"1/10 ", "$ kubectl create namespace outrider-demo", "$ kubectl apply -f deploy/", "ok: the API server calls the webhook",
	"2/10 ", "1/1 ", "3/10 ", "$ kubectl label namespace outrider-demo istio-injection=enabled", "2/2 ", "ok: the pod has its sidecar and is otherwise unchanged",
	"4/10 ", "5/10 ", "excludeOutboundIPRanges  198.51.100.1/32,203.0.113.0/24 ", "6/10 ", "ok: fixed", "7/10 ", "8/10 ", "9/10 ",
	"10/10 ", "ok: its pod equals the webhook's",
	"Removed Outrider and the demo's namespaces from the cluster.", "All results verified. ", " minutes to the end.",
}

// whole makes TestOnContext run the demo to its end, too, which takes more than a minute. Its
// steps are those of TestDemoOnCluster.
var whole = flag.Bool("whole", false, "run the demo on a cluster of the user's to its end, and interrupt it later")

// TestOnContext runs the demo on a cluster that was there before, and interrupts it: then the
// cluster has the same objects as before. Where the user has not agreed, or where something
// is in the way, nothing is changed.
func TestOnContext(t *testing.T) {
	clusters.Require(t, testCluster)
	c, err := clusters.Up(t.Context(), clusters.Options{Name: testCluster, Progress: os.Stderr})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.Down(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	kubeconfig := mine(t, c)
	objects := objectsOf(t, c)
	unchanged := func(what string) {
		t.Helper()
		if got := objectsOf(t, c); !slices.Equal(got, objects) {
			t.Errorf("%s: the cluster had\n%s\nand has\n%s", what, strings.Join(without(objects, got), "\n"), strings.Join(without(got, objects), "\n"))
		}
	}
	demo := func(until string, args ...string) (string, int) {
		t.Helper()
		return runOn(t, kubeconfig, until, args...)
	}

	out, code := demo("")
	inOrder(t, out, []string{"does not report the images docker.io/outrider/outrider:dev and docker.io/outrider/outrider-init:dev", "The cluster is as it was.", "agree with YES=1"})
	if code != exitError {
		t.Errorf("without an answer: exit code %d:\n%s", code, out)
	}
	unchanged("refused")
	if err := c.LoadProduct(t.Context()); err != nil {
		t.Fatal(err)
	}

	out, code = demo("3/10 ", "-context=mine", "-yes")
	if code != exitInterrupted || !strings.Contains(out, "Removed Outrider and the demo's namespaces") {
		t.Errorf("interrupted: exit code %d:\n%s", code, out)
	}
	unchanged("interrupted")

	if *whole {
		out, code = demo("", "-yes")
		if code != exitOK {
			t.Fatalf("exit code %d:\n%s", code, out)
		}
		inOrder(t, out, expectedOnContext)
		unchanged("at the end")
	}

	if out, err := c.Kubectl(t.Context(), "create", "namespace", "istio-system").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	out, code = demo("", "-yes")
	if code != exitError || !strings.Contains(out, "the cluster has namespace/istio-system already") {
		t.Errorf("with istio-system: exit code %d:\n%s", code, out)
	}
	if out, err := c.Kubectl(t.Context(), "get", "namespace", "istio-system").CombinedOutput(); err != nil {
		t.Errorf("a namespace that was not the demo's: %v: %s", err, out)
	}
}

// mine is the cluster's kubeconfig with another name of the context.
func mine(t *testing.T, c *clusters.Cluster) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kubeconfig")
	text, err := os.ReadFile(c.Kubeconfig)
	if err == nil {
		err = os.WriteFile(path, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	current, err := c.Kubectl(t.Context(), "config", "current-context").Output()
	if err != nil {
		t.Fatal(err)
	}
	rename := c.Kubectl(t.Context(), "config", "rename-context", strings.TrimSpace(string(current)), "mine")
	rename.Env = append(rename.Env, "KUBECONFIG="+path)
	if out, err := rename.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return path
}

// runOn runs the demo on a context, interrupts it once it shows a text, if one is given, and
// returns what it printed and its exit code.
func runOn(t *testing.T, kubeconfig, until string, args ...string) (string, int) {
	t.Helper()
	cmd, temporary, err := command(t.Context(), os.Args[0], append([]string{"-on=context"}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Env = append(cmd.Env, "KUBECONFIG="+kubeconfig)
	var out string
	if until == "" {
		printed, _ := cmd.CombinedOutput()
		out = string(printed)
	} else {
		shown := startUntil(t, cmd, until)
		if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		rest, _ := io.ReadAll(shown)
		_ = cmd.Wait()
		out = string(rest)
	}
	nothingLeft(t, temporary, false)
	return out, cmd.ProcessState.ExitCode()
}

// objectsOf are the names of all objects of the cluster, of all kinds. Events and leases come
// and go by themselves.
func objectsOf(t *testing.T, c *clusters.Cluster) []string {
	t.Helper()
	kinds, err := c.Kubectl(t.Context(), "api-resources", "--verbs=list", "-o", "name").Output()
	if err != nil {
		t.Fatal(err)
	}
	list := slices.DeleteFunc(strings.Fields(string(kinds)), func(kind string) bool {
		return strings.HasPrefix(kind, "events") || strings.HasPrefix(kind, "leases.")
	})
	out, err := c.Kubectl(t.Context(), "get", strings.Join(list, ","), "--all-namespaces", "--ignore-not-found",
		"-o", `jsonpath={range .items[*]}{.kind}{" "}{.metadata.namespace}{"/"}{.metadata.name}{"\n"}{end}`).Output()
	if err != nil {
		t.Fatal(err)
	}
	names := strings.Split(strings.TrimSpace(string(out)), "\n")
	slices.Sort(names)
	return names
}

func without(list, other []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return slices.Contains(other, s) })
}

func TestAsk(t *testing.T) {
	for answer, want := range map[string]string{"y\n": "", "Yes\n": "", "\n": "declined", "n\n": "declined", "yo\n": "declined", "": "YES=1"} {
		err := ask(t.Context(), newScreen(io.Discard, false), strings.NewReader(answer))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", answer, err, want)
		}
	}
	waiting, _ := io.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := ask(ctx, newScreen(io.Discard, false), waiting); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}

func TestLoading(t *testing.T) {
	for name, want := range map[string]string{
		"kind-mine": "kind load docker-image docker.io/outrider/outrider:dev docker.io/outrider/outrider-init:dev --name mine",
		"k3d-mine":  "k3d image import docker.io/outrider/outrider:dev docker.io/outrider/outrider-init:dev --cluster mine",
		"minikube":  "minikube image load docker.io/outrider/outrider:dev docker.io/outrider/outrider-init:dev",
		"aks":       "docs/getting-started.md",
	} {
		if got := loading(name); !strings.Contains(got, want) {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestLackingImages(t *testing.T) {
	n := &corev1.Node{}
	n.Status.Images = []corev1.ContainerImage{{Names: []string{"docker.io/outrider/outrider@sha256:1", "docker.io/outrider/outrider:dev"}}}
	if got := lackingImages(n, own); !slices.Equal(got, own[1:]) {
		t.Errorf("lacks %q", got)
	}
}
