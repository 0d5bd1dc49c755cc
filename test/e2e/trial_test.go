package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/outrider-mesh/outrider/check"
)

// tried: "outrider check --traffic" finds a bypass and a block that should not be, as
// docs/traffic.md has it, and nothing without them; an interrupt leaves nothing behind; every
// check of "outrider check --proxy" passes, and with -whole a control plane that is down is found.
func tried(t *testing.T, s *Suite) {
	if !s.Own() {
		t.Skip("it excludes the range of pods, which is that of a cluster of its own")
	}
	n := s.Namespace(t, "tried", injected)
	t.Cleanup(func() {
		s.undo(t, "kubectl -n istio-system delete virtualservice maintenance --ignore-not-found; kubectl apply -f deploy/settings.yaml; kubectl -n istio-system scale deployment/outrider-xds --replicas=2")
	})
	n.run("kubectl apply -f samples/sleep/sleep.yaml")
	if ran := n.follow("docs/traffic.md", nil); ran != 4 {
		t.Errorf("%d commands were run; the page has lost its blocks", ran)
	}
	n.interrupted()
	n.rolledOut("deployment/sleep")
	n.proxied()
}

// interrupted interrupts a run while its pods start.
func (n *Namespace) interrupted() {
	n.t.Helper()
	out := n.fails(`outrider check --traffic 2>&1 & run=$!
until kubectl get pods -A -l outrider/check-run -o name | grep -q client; do sleep 0.1; done
kill -INT $run; wait $run`)
	if !strings.Contains(out, "error: interrupted") {
		n.t.Errorf("an interrupted run: %s", out)
	}
	// The cluster removes what is in a namespace that is deleted, in some seconds.
	look := "kubectl get namespaces -l outrider/check-run --field-selector status.phase=Active -o name"
	if *whole {
		look = "kubectl get namespaces,pods,serviceentries -A -l outrider/check-run -o name"
	}
	eventually(n.t, "nothing is left", func() error {
		if left := n.run(look); left != "" {
			return fmt.Errorf("left: %s", left)
		}
		return nil
	})
}

// proxied checks the sidecar of the sample, with the control plane and without it.
func (n *Namespace) proxied() {
	n.t.Helper()
	pod := n.pod("-l app=sleep").name
	worst := func() map[string]check.Result {
		var r check.Report
		text := n.run("outrider check --proxy " + pod + " -o json 2>/dev/null || true")
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			n.t.Fatalf("%v: %s", err, text)
		}
		worst := map[string]check.Result{}
		for _, found := range r.Results {
			if found.Status.Compare(worst[found.Check].Status) >= 0 {
				worst[found.Check] = found
			}
		}
		return worst
	}
	eventually(n.t, "every check of the sidecar passes", func() error {
		found := worst()
		for _, r := range found {
			if r.Status != check.Passed && r.Check != "proxy-configuration" { // replicas report each minute
				return fmt.Errorf("%+v", r)
			}
		}
		if r := found["proxy-redirect"]; len(found) != 13 || !strings.Contains(strings.Join(r.Details, ""), "test connections passed") {
			return fmt.Errorf("%+v", found)
		}
		return nil
	})
	if !*whole {
		return
	}
	n.run("kubectl -n istio-system scale deployment/outrider-xds --replicas=0")
	eventually(n.t, "the sidecar is found without its control plane", func() error {
		if r := worst()["proxy-xds"]; r.Status != check.Failed || r.Fix == "" {
			return fmt.Errorf("%+v", r)
		}
		return nil
	})
	n.run("kubectl -n istio-system scale deployment/outrider-xds --replicas=2")
	eventually(n.t, "the sidecar is connected again", func() error {
		if r := worst()["proxy-xds"]; r.Status != check.Passed {
			return fmt.Errorf("%+v", r)
		}
		return nil
	})
}
