package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	realhelm "github.com/outrider-mesh/outrider/test/helm"
)

// helm is the life of a release, from the chart's lint to the uninstallation, after
// which nothing of it is left. Before it, the installation by kubectl is removed as
// its users do.
func helm(t *testing.T, s *Suite) {
	if err := s.AddProgram(realhelm.Require(t)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(s.controlPlane(), s.show("kubectl -n istio-system logs -l job-name --tail=100 --prefix", "helm list -A"))
			s.undo(t, "helm uninstall outrider -n istio-system --no-hooks --ignore-not-found; outrider uninstall --yes; kubectl delete namespace istio-system --ignore-not-found")
		}
	})
	s.removeManifests(t)
	before := s.objects(t)
	if left := ofOurs(before); len(left) > 0 {
		t.Fatalf("after kubectl delete -f deploy/ these are left:\n%s", strings.Join(left, "\n"))
	}

	s.bash(t, "helm lint --strict deploy/chart && helm template outrider deploy/chart -n istio-system | kubectl apply --dry-run=client -f - >/dev/null")
	step := func(what string, since time.Time) {
		t.Logf("%s: %s", what, time.Since(since).Round(100*time.Millisecond))
	}
	start := time.Now()
	s.helmInstall(t)
	step("install", start)
	n := s.Namespace(t, "helm", injected)
	s.helmWorks(t, n)
	start = time.Now()
	s.helmUpgrade(t)
	step("upgrade and rollback", start)
	start = time.Now()
	s.helmUninstall(t, before, n)
	step("uninstall", start)
}

// removeManifests removes an installation by kubectl apply.
func (s *Suite) removeManifests(t *testing.T) {
	t.Helper()
	refused := s.fails(t, "helm install outrider deploy/chart -n istio-system")
	if !strings.Contains(refused, "Outrider is installed already, by kubectl apply; adopt it: add --take-ownership") {
		t.Errorf("an installation beside that by kubectl:\n%s", refused)
	}
	s.bash(t, "outrider uninstall | grep 'would remove mutatingwebhookconfigurations outrider-sidecar-injector'")
	s.bash(t, "outrider uninstall --yes && kubectl delete --ignore-not-found -f deploy/")
}

// fails runs a command line that must fail, and returns what it printed.
func (s *Suite) fails(t *testing.T, line string) string {
	t.Helper()
	out, err := s.Bash(ended, line).CombinedOutput()
	if err == nil {
		t.Fatalf("$ %s\n%sthis was to fail", line, out)
	}
	return string(out)
}

// objects are all objects of all kinds, but those that the cluster makes by itself
// all the time.
func (s *Suite) objects(t *testing.T) []string {
	t.Helper()
	out := s.bash(t, `kubectl get "$(kubectl api-resources --verbs=list -o name | grep -vE '^(events|componentstatuses)' | paste -sd,)" -A --ignore-not-found `+
		`-o jsonpath='{range .items[*]}{.kind} {.metadata.namespace}/{.metadata.name}{"\n"}{end}'`)
	list := strings.Split(strings.TrimSpace(out), "\n")
	slices.Sort(list)
	return slices.Compact(list)
}

// ofOurs are the objects of which we could be the owner, by their names.
func ofOurs(objects []string) (list []string) {
	for _, o := range objects {
		for _, part := range []string{"outrider", "istio"} {
			if strings.Contains(o, part) && !strings.Contains(o, "outrider-e2e-world") {
				list = append(list, o)
				break
			}
		}
	}
	return list
}

func (s *Suite) helmInstall(t *testing.T) {
	t.Helper()
	out := s.bash(t, "helm install outrider deploy/chart -n istio-system --create-namespace --wait 2>&1")
	if !strings.Contains(out, "A pod in a namespace with istio-injection=enabled is injected.") {
		t.Errorf("helm install does not print what the hook has verified:\n%s", out)
	}
}

// helmWorks starts an injected pod.
func (s *Suite) helmWorks(t *testing.T, n *Namespace) {
	t.Helper()
	n.run("kubectl apply -f samples/sleep/sleep.yaml")
	n.rolledOut("deployment/sleep")
	if p := n.pod("-l app=sleep"); !p.sidecar() {
		t.Errorf("pod %s has no sidecar", p.name)
	}
}

// helmUpgrade upgrades to other ranges, which restarts nothing; then to an image that
// does not exist, with which the old replicas keep serving; and returns to the first.
func (s *Suite) helmUpgrade(t *testing.T) {
	t.Helper()
	const (
		upgrade  = "helm upgrade outrider deploy/chart -n istio-system --reuse-values --wait "
		replicas = "kubectl -n istio-system get pods -l app.kubernetes.io/part-of=outrider --field-selector=status.phase=Running -o jsonpath='{.items[*].metadata.uid}'"
		values   = "kubectl -n istio-system get configmap istio-sidecar-injector -o jsonpath='{.data.values}'"
	)
	before, first := s.bash(t, replicas), s.bash(t, values)
	s.bash(t, upgrade+"--set global.proxy.includeIPRanges=10.0.0.0/8")
	if after := s.bash(t, values); !strings.Contains(after, "10.0.0.0/8") {
		t.Errorf("the upgrade did not change the ConfigMap:\n%s", after)
	}
	refused := s.fails(t, upgrade+"--set global.proxy.includeIPRanges=10.0.0.0/40 2>&1")
	if !strings.Contains(refused, "10.0.0.0/40") {
		t.Errorf("an upgrade to a bad range:\n%s", refused)
	}
	s.fails(t, upgrade+"--set global.tag=missing --timeout 3s")
	s.bash(t, "kubectl -n istio-system get deployment outrider -o jsonpath='{.status.readyReplicas}' | grep 2")
	s.bash(t, "helm rollback outrider 1 -n istio-system --wait")
	if after := s.bash(t, values); after != first {
		t.Errorf("after the rollback the ConfigMap has\n%s\nbefore\n%s", after, first)
	}
	if after := s.bash(t, replicas); after != before {
		t.Errorf("replicas were restarted: %s, before %s", after, before)
	}
}

// helmUninstall uninstalls, and compares all objects with those before.
func (s *Suite) helmUninstall(t *testing.T, before []string, n *Namespace) {
	t.Helper()
	out := s.bash(t, "helm uninstall outrider -n istio-system --wait 2>&1")
	for _, want := range []string{
		"removed mutatingwebhookconfigurations outrider-sidecar-injector", "removed configmaps " + n.name + "/outrider-ca", "keep their sidecars until they are restarted",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("helm uninstall does not print %q:\n%s", want, out)
		}
	}
	s.bash(t, "kubectl delete namespace istio-system")
	eventually(t, "nothing is left", func() error {
		for _, o := range s.objects(t) {
			_, there := slices.BinarySearch(before, o)
			// The namespace of this test has an application, which stays.
			tests := strings.HasSuffix(o, " /"+n.name) || strings.Contains(o, " "+n.name+"/") && len(ofOurs([]string{o})) == 0
			if !there && !tests {
				return fmt.Errorf("left: %s", o)
			}
		}
		return nil
	})
}
