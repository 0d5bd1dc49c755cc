package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/outrider-mesh/outrider/test/previous"
)

// earlier upgrades an installation of an earlier version by its manifests, and goes back:
// pods with a sidecar of either version follow edits by the control plane of either, no
// request of theirs fails, and pods are created meanwhile. It leaves no installation.
func earlier(t *testing.T, s *Suite) {
	if !s.Own() {
		t.Skip("a borrowed cluster does not have the images of an earlier version")
	}
	dir := previous.Require(t)
	for name, user := range map[string]string{"outrider": "65532:65532", "outrider-init": "0:0"} {
		if err := s.LoadBinary(ended, filepath.Join(dir, name), "docker.io/outrider/"+name+":previous", user); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(s.controlPlane())
		}
		s.undo(t, "kubectl delete -f deploy/ --ignore-not-found --wait; kubectl delete -f \"$WORK/earlier/deploy\" --ignore-not-found; outrider uninstall --purge --yes")
	})
	// As an upgrade of settings.yaml by its user would have it.
	s.bash(t, `set -e
if kubectl get namespace istio-system; then
  kubectl delete -f deploy/ --ignore-not-found --wait
  outrider uninstall --purge --yes
fi
mkdir -p "$WORK/earlier" && cp -r `+dir+`/deploy "$WORK/earlier"
sed -i 's|outrider/outrider:dev|outrider/outrider:previous|' "$WORK/earlier/deploy/outrider.yaml"
sed -i 's|^    global:|&\n      tag: previous|' "$WORK/earlier/deploy/settings.yaml"
kubectl apply -f "$WORK/earlier/deploy/crds" -f "$WORK/earlier/deploy"
kubectl -n istio-system rollout status deployment/outrider --timeout=90s`)
	n := s.Namespace(t, "earlier", injected)
	n.loadOf("old", "previous")
	n.follows("the earlier version", "old")
	n.meanwhile([]string{"default"}, func() {
		n.follow("docs/operations.md", nil, "Upgrade from one Deployment")
		n.run("kubectl -n istio-system rollout status deployment/outrider --timeout=90s && kubectl -n istio-system rollout status deployment/outrider-xds --timeout=90s")
	})
	n.loadOf("new", "dev")
	n.follows("this version", "old", "new")
	text, err := os.ReadFile(filepath.Join(s.Dir, "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	back := regexp.MustCompile("(?s)```text\n(kubectl delete -f deploy/policy.yaml\n.*?)```").FindStringSubmatch(string(text))
	if back == nil {
		t.Fatal("docs/operations.md has lost the way back")
	}
	n.meanwhile([]string{"default"}, func() {
		s.bash(t, "set -e\n"+strings.ReplaceAll(back[1], "earlier/deploy/", `"$WORK/earlier/deploy/"`))
	})
	n.loadOf("again", "previous")
	n.follows("the earlier version again", "old", "new", "again")
}

// loadOf starts a load whose sidecar is of the version with the image tag.
func (n *Namespace) loadOf(name, tag string) {
	n.t.Helper()
	n.load(name, server+"/get", "http://httpbin.org/status/200")
	n.ready(name)
	for _, c := range n.pod("pod/" + name).Spec.InitContainers {
		if c.Name == "istio-init" && !strings.HasSuffix(c.Image, ":"+tag) {
			n.t.Errorf("pod %s: istio-init has the image %s; want %s", name, c.Image, tag)
		}
	}
}

// follows declares a host and removes it again: the sidecars of the loads follow. No
// request of theirs has failed.
func (n *Namespace) follows(what string, loads ...string) {
	n.t.Helper()
	for _, edit := range []struct{ line, cluster string }{
		{httpbinEntry, "outbound|80||httpbin.org"}, {"kubectl delete serviceentry httpbin-ext", "PassthroughCluster"},
	} {
		n.run(edit.line)
		for _, name := range loads {
			start := time.Now()
			eventually(n.t, what+": the sidecar of "+name+" uses "+edit.cluster, func() error {
				lines := strings.Split(strings.TrimSpace(n.run("kubectl logs "+name+" -c istio-proxy --tail=4")), "\n")
				if !slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, "httpbin.org") && strings.Contains(l, edit.cluster) }) {
					return fmt.Errorf("%s", strings.Join(lines, "\n"))
				}
				return nil
			})
			n.t.Logf("%s: the sidecar of %s uses %s after %s", what, name, edit.cluster, time.Since(start).Round(100*time.Millisecond))
		}
	}
	for _, name := range loads {
		n.unharmed(name, time.Time{}, 10)
	}
}
