package e2e

import (
	"regexp"
	"strings"
	"testing"

	realhelm "github.com/outrider-mesh/outrider/test/helm"
)

// helm follows docs/helm.md, the life of a release from its installation to its
// uninstallation. After each way to uninstall it, nothing of it is left. `make e2e` has
// all three ways; otherwise the one by hand is omitted: what it runs is what the Job runs.
func helm(t *testing.T, s *Suite) {
	if err := s.AddProgram(realhelm.Require(t)); err != nil {
		t.Fatal(err)
	}
	n := s.namespace(t, "default")
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(n.report(), s.controlPlane(), s.show("kubectl -n istio-system logs -l job-name --tail=100 --prefix", "helm list -A"))
			s.undo(t, "helm uninstall outrider -n istio-system --no-hooks --ignore-not-found; outrider uninstall --purge --yes; kubectl delete namespace istio-system --ignore-not-found")
		}
	})
	// Run alone, the scenario begins with the suite's own installation. An earlier one leaves
	// CRDs that had objects when its installation was removed.
	s.bash(t, "outrider uninstall --purge --yes && kubectl delete namespace istio-system --ignore-not-found")
	before := s.bash(t, allObjects+` | tee "$WORK/before"`)
	if left := ofOurs(before); len(left) > 0 {
		t.Fatalf("after the scenario before these are left:\n%s", strings.Join(left, "\n"))
	}
	s.bash(t, "helm lint --strict deploy/chart && helm template outrider deploy/chart -n istio-system | kubectl apply --dry-run=client -f - >/dev/null")

	const (
		replicas = "kubectl -n istio-system get pods -l app.kubernetes.io/part-of=outrider --field-selector=status.phase=Running -o jsonpath='{.items[*].metadata.uid}'"
		again    = " && helm install outrider deploy/chart -n istio-system --create-namespace --set hooks.verify=false"
		same     = "[ \"$(" + replicas + ")\" = \"$(cat $WORK/replicas)\" ] # a replica was restarted"
	)
	const gone, left = "kubectl delete namespace istio-system && " + nothingLeft, " && kubectl delete namespace istio-system"
	after := map[string]string{
		"helm install outrider":    replicas + " > $WORK/replicas",
		"helm rollback outrider 2": same,
		"helm uninstall outrider -n istio-system --wait": gone + again +
			// The webhook does not run when the release is uninstalled.
			" && kubectl -n istio-system rollout status deployment outrider && kubectl -n istio-system scale deployment outrider --replicas=0",
		"outrider uninstall --yes":         gone + again + left,
		"outrider uninstall --purge --yes": nothingLeft,
	}
	commands := 20
	if !*whole {
		after["helm uninstall outrider -n istio-system --wait"] = gone + again + left
		after["--no-hooks"], after["outrider uninstall --yes"] = omitted, omitted
		commands -= 2
	}
	if ran := n.follow("docs/helm.md", after); ran < commands {
		t.Errorf("%d commands were run; the page has lost its blocks", ran)
	}
}

// adoption is the command that adopts an installation by kubectl.
var adoption = regexp.MustCompile(`(?m)^helm upgrade --install .* --take-ownership .*$`)

// fails runs a command line that must fail, and returns what it printed.
func (s *Suite) fails(t *testing.T, line string) string {
	t.Helper()
	out, err := s.Bash(ended, line).CombinedOutput()
	if err == nil {
		t.Fatalf("$ %s\n%sthis was to fail", line, out)
	}
	return string(out)
}

// ofOurs are the objects of which we could be the owner, by their names.
func ofOurs(objects string) (list []string) {
	for o := range strings.Lines(objects) {
		for _, part := range []string{"outrider", "istio"} {
			if strings.Contains(o, part) && !strings.Contains(o, "outrider-e2e-world") {
				list = append(list, o)
				break
			}
		}
	}
	return list
}

// allObjects prints all objects of all kinds, but those that the cluster makes by
// itself all the time. It tries again: a kind whose CRD has just been deleted is in the
// API server's discovery for a moment longer, and kubectl then lists nothing at all. In
// place of a list that it does not get, it prints the error.
const allObjects = `{ for try in $(seq 30); do
  objects=$(kubectl get "$(kubectl api-resources --verbs=list -o name | grep -vE '^(events|componentstatuses)' | paste -sd,)" -A --ignore-not-found ` +
	`-o jsonpath='{range .items[*]}{.kind} {.metadata.namespace}/{.metadata.name}{"\n"}{end}' 2>"$WORK/unlisted") && break
  objects=; sleep 0.5
done; sort -u <<< "${objects:-outrider-e2e cannot list the objects: $(cat "$WORK/unlisted")}"; }`

// nothingLeft is a command line that fails while there are objects that were not
// there before, and shows them.
const nothingLeft = `for try in $(seq 100); do
  left=$(` + allObjects + ` | grep -vxFf "$WORK/before")
  [ -z "$left" ] && break
  sleep 0.3
done
echo "left: $left"; [ -z "$left" ]`
