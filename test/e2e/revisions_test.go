package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	realhelm "github.com/outrider-mesh/outrider/test/helm"
	"github.com/outrider-mesh/outrider/test/istio"
)

const upgradePage = "docs/upgrade.md"

// revisions follows docs/upgrade.md: a second revision beside the first one, and beside
// one of Istio, after the chart has adopted the installation by kubectl. A namespace moves
// and moves back; the pods of the first revision, and their starts, are not affected, and
// no object of it or of Istio changes. With -upgrades a tag and the default revision move,
// too, and the second revision fails. It leaves no installation.
func revisions(t *testing.T, s *Suite) {
	if err := s.AddProgram(realhelm.Require(t)); err != nil {
		t.Fatal(err)
	}
	charts := istio.RequireCharts(t)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(s.controlPlane(), s.show("kubectl -n istio-system logs -l job-name --tail=100 --prefix", "helm list -A", "kubectl get mutatingwebhookconfigurations -o yaml"))
			s.undo(t, "for r in outrider-canary outrider istiod istio-base; do helm uninstall $r -n istio-system --no-hooks --ignore-not-found; done; "+
				"outrider uninstall --purge --yes --revision canary; outrider uninstall --purge --yes; kubectl delete mutatingwebhookconfiguration -l istio.io/tag; kubectl delete namespace istio-system --ignore-not-found")
		}
	})
	s.adopt(t)
	if *upgrades {
		s.replaceAdopted(t, charts)
	}
	s.bash(t, "helm install istiod "+charts+"/istiod -n istio-system --set revision=stable,nodeSelector.no=node")
	stay, shop, theirs := s.Namespace(t, "stay", injected), s.Namespace(t, "shop", injected), s.Namespace(t, "theirs", "istio.io/rev=stable")
	stay.load("load", server+"/get")
	shop.run("kubectl apply -f samples/sleep/sleep.yaml")
	stay.ready("load")
	shop.rolledOut("deployment/sleep")
	s.bash(t, "("+lasting+`) > "$WORK/all"; (`+ofFirst+`) > "$WORK/first"; (`+ofIstio+`) > "$WORK/istio"`)

	began := time.Now()
	if *upgrades {
		shop.upgrades(stay)
	} else {
		stay.meanwhile([]string{"default"}, func() {
			shop.followed("By revision", 5)
			shop.run(once)
			shop.followed("Remove a revision", 6)
		})
		s.bash(t, unchanged(ofFirst, "first"))
	}
	stay.unharmed("load", began, 100)
	// The removed revision has left nothing, and taken nothing with it.
	s.bash(t, unchanged(lasting, "all"))
	s.bash(t, unchanged(ofIstio, "istio"))
	if out := theirs.fails("kubectl run pod --image=app --dry-run=server"); !strings.Contains(out, "istiod-stable") {
		t.Errorf("a pod of Istio's revision, which does not run here:\n%s", out)
	}
	if out := theirs.run("kubectl get configmaps"); strings.Contains(out, "outrider") {
		t.Errorf("a namespace of Istio's revision has:\n%s", out)
	}
	s.bash(t, "helm uninstall outrider -n istio-system --wait")
	s.bash(t, unchanged(ofIstio, "istio"))
	s.bash(t, "for r in $(helm list -q -n istio-system); do helm uninstall $r -n istio-system; done; kubectl delete namespace istio-system")
}

// adopt has the chart take over the installation by kubectl, as docs/helm.md shows.
func (s *Suite) adopt(t *testing.T) {
	t.Helper()
	refused := s.fails(t, "helm install outrider deploy/chart -n istio-system")
	if !strings.Contains(refused, "Outrider is installed already, by kubectl apply; adopt it: add --take-ownership") {
		t.Errorf("an installation beside that by kubectl:\n%s", refused)
	}
	text, err := os.ReadFile(filepath.Join(s.Dir, "docs", "helm.md"))
	if err != nil {
		t.Fatal(err)
	}
	s.bash(t, adoption.FindString(string(text)))
	s.bash(t, "outrider uninstall | grep 'would remove mutatingwebhookconfigurations outrider-sidecar-injector'")
}

// replaceAdopted replaces the adopted installation by one that Helm alone has applied,
// beside Istio's CustomResourceDefinitions.
func (s *Suite) replaceAdopted(t *testing.T, charts string) {
	t.Helper()
	// kubectl owns the fields, too.
	const upgrade = "helm upgrade outrider deploy/chart -n istio-system --reuse-values --set hooks.verify=false,meshConfig.accessLogFile=/dev/stderr"
	if out := s.fails(t, upgrade); !strings.Contains(out, `conflict with "kubectl-client-side-apply"`) {
		t.Errorf("an upgrade after the adoption:\n%s", out)
	}
	s.bash(t, upgrade+" --force-conflicts")
	s.bash(t, "helm uninstall outrider -n istio-system --wait")
	s.bash(t, "helm install istio-base "+charts+"/base -n istio-system --set defaultRevision=stable")
	s.bash(t, "helm install outrider deploy/chart -n istio-system --wait")
}

// upgrades does all that the page has.
func (n *Namespace) upgrades(stay *Namespace) {
	n.t.Helper()
	first, both := []string{"default"}, []string{"default", "canary"}
	stay.meanwhile(first, func() {
		n.followed("In place", 1)
		n.followed("By revision", 5)
		n.run(once + deadCanary + failedVerification)
		n.meanwhile(both, func() {
			n.follow(upgradePage, map[string]string{"--take-ownership": movedTag}, "Tags")
			n.run(tagBack)
		})
	})
	stay.meanwhile(both, func() { n.meanwhile(both, func() { n.followed("The default revision", 9) }) })
	stay.meanwhile(first, func() { n.followed("Remove a revision", 6) })
	if ran := n.follow(upgradePage, nil, "Versions of Envoy"); ran > 0 {
		n.t.Errorf("%d commands of the page are in a section without a test", ran)
	}
}

// followed follows a section of the page.
func (n *Namespace) followed(heading string, commands int) {
	n.t.Helper()
	if ran := n.follow(upgradePage, nil, heading); ran < commands {
		n.t.Errorf("%s: %d commands were run; the page has lost its blocks", heading, ran)
	}
}

// lasting are all objects but those of pods, of Helm's history, and what sidecars report.
const lasting = allObjects + ` | grep -vE '^(Pod|ReplicaSet|EndpointSlice|Endpoints|Lease|PodMetrics|ControllerRevision|EgressReport) |/sh\.helm\.release'`

// ofIstio prints the objects of Istio's releases, and ofFirst those of the release
// outrider, with their managers and versions.
const (
	ofIstio   = `for r in $(helm list -q -n istio-system | grep istio); do ` + ofRelease + `; done`
	ofFirst   = `r=outrider; ` + ofRelease
	ofRelease = `helm get manifest $r -n istio-system | kubectl get -f - -n istio-system -o yaml --show-managed-fields`
)

// unchanged is a command line that fails if a command prints something else than is in the file.
func unchanged(command, file string) string {
	return `for try in $(seq 50); do
  diff "$WORK/` + file + `" <(` + command + `) > "$WORK/differs" && break
  sleep 0.3
done
cat "$WORK/differs"; [ ! -s "$WORK/differs" ]`
}

// pause stops the creations of meanwhile while it exists.
const pause = `"$WORK/pause"`

// once: a pod of a namespace of the canary is injected by one webhook, the canary's,
// and a pod of the first revision by that one's.
const once = `
calls() {
  for p in $(kubectl -n istio-system get pods -l app=$1 -o name --field-selector=status.phase=Running); do
    kubectl get --raw /api/v1/namespaces/istio-system/${p/pod/pods}:15014/proxy/metrics
  done | awk '/^sidecar_injection_requests_total/ { n += $2 } END { print n + 0 }'
}
touch ` + pause + `; sleep 1
for at in shop:0:1 stay:1:0; do
  IFS=: read -r ns first canary <<< $at
  was="$(calls outrider) $(calls outrider-canary)"
  names=$(kubectl -n $ns run once --image=app --dry-run=server -o jsonpath='{.spec.initContainers[*].name} {.spec.containers[*].name}')
  [ "$(grep -o istio-proxy <<< "$names" | wc -l)" = 1 ] || { echo "a pod in $ns: containers $names"; exit 1; }
  read -r a b <<< $was
  [ "$(calls outrider) $(calls outrider-canary)" = "$((a + first)) $((b + canary))" ] || { echo "a pod in $ns: calls $was, then $(calls outrider) $(calls outrider-canary)"; exit 1; }
done
rm ` + pause + `
`

// deadCanary: without a replica the canary affects its own namespaces only, and only
// ephemeral containers of its own pods.
const deadCanary = `
kubectl -n istio-system scale deployment outrider-canary outrider-xds-canary --replicas=0
kubectl -n istio-system wait pod -l app.kubernetes.io/part-of=outrider-canary --for=delete --timeout=60s
fails() { out=$("$@" 2>&1) && { echo "$* was to fail"; exit 1; }; grep "failed calling webhook" <<< "$out" || { echo "$out"; exit 1; }; }
fails kubectl -n shop run denied --image=app --dry-run=server
fails kubectl -n shop debug $(kubectl -n shop get pods -l app=sleep -o name) --image=curlimages/curl --image-pull-policy=IfNotPresent -- /bin/true
kubectl -n shop exec deployment/sleep -c sleep -- curl -sS --fail -o /dev/null ` + server + `/get || exit 1
kubectl -n stay run admitted --image=app --dry-run=server -o jsonpath='{.spec.initContainers[*].name}' | grep istio-proxy || exit 1
kubectl -n stay debug load --image=curlimages/curl --image-pull-policy=IfNotPresent -- /bin/true || exit 1
kubectl -n istio-system scale deployment outrider-canary outrider-xds-canary --replicas=2
kubectl -n istio-system rollout status deployment outrider-canary && kubectl -n istio-system rollout status deployment outrider-xds-canary || exit 1
`

// failedVerification: a release whose pods would not start fails, and its Job has the
// reason. The first revision is not affected.
const failedVerification = `
kubectl apply -f - <<EOF
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: no-pods}
spec:
  matchConstraints:
    namespaceSelector: {matchLabels: {app: outrider-verify-canary}}
    resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods]}]
  validations: [{expression: "false", message: no pods today}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: no-pods}
spec: {policyName: no-pods, validationActions: [Deny]}
EOF
out=$(helm upgrade outrider-canary deploy/chart -n istio-system --reuse-values --wait 2>&1) && { echo "an upgrade with pods that are rejected was to fail: $out"; exit 1; }
grep "UPGRADE FAILED: post-upgrade hooks failed" <<< "$out" || { echo "$out"; exit 1; }
kubectl -n istio-system logs job/outrider-verify-canary > "$WORK/verify" 2>&1
cat "$WORK/verify"
grep "ValidatingAdmissionPolicy no-pods rejects the pod" "$WORK/verify" || exit 1
kubectl delete validatingadmissionpolicybinding,validatingadmissionpolicy no-pods
`

// movedTag: the release that a tag was taken from does not take it back by accident.
const movedTag = `out=$(helm upgrade outrider deploy/chart -n istio-system --reuse-values 2>&1) && { echo "$out"; exit 1; }
grep 'tag "prod" was moved to Helm release outrider-canary in namespace istio-system; remove it' <<< "$out" || { echo "$out"; exit 1; }`

// tagBack moves the tag back, and removes it.
const tagBack = `set -e
helm upgrade outrider deploy/chart -n istio-system --reuse-values --set 'revisionTags={prod}' --take-ownership --force-conflicts --wait
helm upgrade outrider-canary deploy/chart -n istio-system --reuse-values --set 'revisionTags={}' --wait
[ "$(kubectl run pod --image=app --dry-run=server -o jsonpath='{.metadata.annotations.istio\.io/rev}')" = default ]
kubectl label namespace shop istio-injection=enabled istio.io/rev-
helm upgrade outrider deploy/chart -n istio-system --reuse-values --set 'revisionTags={}' --wait
kubectl delete mutatingwebhookconfiguration istio-revision-tag-prod`

// meanwhile creates pods of the namespace in dry run while something is done. Each must
// be admitted, with one sidecar, of one of the revisions.
func (n *Namespace) meanwhile(revisions []string, do func()) {
	n.t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", n.Kubeconfig)
	if err != nil {
		n.t.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		n.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(ended)
	var running sync.WaitGroup
	count := map[string]int{}
	running.Go(func() {
		ticks := time.NewTicker(200 * time.Millisecond)
		defer ticks.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticks.C:
			}
			if _, err := os.Stat(filepath.Join(n.Work, "pause")); err == nil {
				continue
			}
			p, err := client.CoreV1().Pods(n.name).Create(context.WithoutCancel(ctx), &corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{GenerateName: "meanwhile-"},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "app"}}},
			}, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
			if err == nil {
				count[p.Annotations["istio.io/rev"]]++
				err = injectedOnce(p, revisions)
			}
			if err != nil {
				n.t.Errorf("%s: a pod of namespace %s: %v", time.Now().Format("15:04:05.000"), n.name, err)
			}
		}
	})
	defer running.Wait()
	defer cancel()
	do()
	cancel()
	running.Wait()
	n.t.Logf("pods of namespace %s were created meanwhile, by revision: %v", n.name, count)
	for _, r := range revisions {
		if count[r] < 20 {
			n.t.Errorf("only %d pods of revision %s were created in namespace %s", count[r], r, n.name)
		}
	}
}

// injectedOnce fails unless the pod has one sidecar, of one of the revisions.
func injectedOnce(p *corev1.Pod, revisions []string) error {
	containers := slices.Concat(p.Spec.InitContainers, p.Spec.Containers)
	sidecars := 0
	for _, c := range containers {
		if c.Name == "istio-proxy" {
			sidecars++
		}
	}
	if got := p.Annotations["istio.io/rev"]; sidecars != 1 || len(containers) != 3 || !slices.Contains(revisions, got) {
		return fmt.Errorf("%d sidecars of revision %q, %d containers in all; want one of %v", sidecars, got, len(containers), revisions)
	}
	return nil
}
