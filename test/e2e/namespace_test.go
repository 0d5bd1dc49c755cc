package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/outrider-mesh/outrider/test/mesh"
)

// injected are the labels of a namespace whose pods get sidecars.
const injected = "istio-injection=enabled"

// Namespace is a namespace of a scenario, as a user sees it who has it as the
// default one.
type Namespace struct {
	*mesh.Mesh
	t     *testing.T
	suite *Suite
	name  string
}

// Namespace makes a namespace with labels, as kubectl writes them. It is deleted with
// the test, whose failure shows what is in it.
func (s *Suite) Namespace(t *testing.T, name string, labels ...string) *Namespace {
	t.Helper()
	s.bash(t, "kubectl create namespace "+name)
	if len(labels) > 0 {
		s.bash(t, "kubectl label namespace "+name+" "+strings.Join(labels, " "))
	}
	n := s.namespace(t, name)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(n.report())
		}
		// Nobody waits for its end but the next run on a borrowed cluster. What it
		// declared holds for all namespaces, and goes before the next scenario.
		s.undo(t, fmt.Sprintf("kubectl -n %s delete virtualservices,serviceentries --all 2>&1 || true; kubectl delete namespace %[1]s --wait=%v", name, !s.Own()))
	})
	return n
}

// namespace is one that is there.
func (s *Suite) namespace(t *testing.T, name string) *Namespace {
	t.Helper()
	m, err := s.In(name)
	if err != nil {
		t.Fatal(err)
	}
	return &Namespace{m, t, s, name}
}

// report describes the namespace's pods.
func (n *Namespace) report() string {
	return showOn(n.Mesh,
		"kubectl get pods,replicasets,services,configmaps -o wide",
		"kubectl get events --sort-by=.lastTimestamp",
		"kubectl describe pods | grep -vE '^ +(node:|admin:|dynamic_resources)' | head -400",
		`for p in $(kubectl get pods -o name); do for c in istio-init istio-proxy; do echo "== $p $c"; kubectl logs "$p" -c "$c" --tail=40 2>&1; done; done`,
	)
}

// run runs a command line that must succeed, and returns what it printed.
func (n *Namespace) run(line string) string {
	n.t.Helper()
	return bashOn(n.t, n.Mesh, line)
}

// fails runs a command line that must fail, and returns what it printed.
func (n *Namespace) fails(line string) string {
	n.t.Helper()
	out, err := n.Bash(ended, line).CombinedOutput()
	if err == nil {
		n.t.Fatalf("$ %s\n%sthis was to fail", line, out)
	}
	return string(out)
}

// apply applies a manifest, whose pods resolve the internet's names.
func (n *Namespace) apply(manifest string) {
	n.t.Helper()
	manifest, err := n.WithExternalHosts(manifest)
	if err != nil {
		n.t.Fatal(err)
	}
	file := filepath.Join(n.Work, n.name+".yaml")
	if err := os.WriteFile(file, []byte(manifest), 0o600); err != nil {
		n.t.Fatal(err)
	}
	n.run("kubectl apply -f " + file)
}

// rolledOut waits for workloads such as "deployment/sleep", all at once.
func (n *Namespace) rolledOut(workloads ...string) {
	n.t.Helper()
	for _, w := range workloads {
		n.run(fmt.Sprintf("kubectl rollout status %s --timeout=%s", w, patience))
	}
}

// ready waits for single pods.
func (n *Namespace) ready(pods ...string) {
	n.t.Helper()
	n.run(fmt.Sprintf("kubectl wait pod --for=condition=Ready --timeout=%s %s", patience, strings.Join(pods, " ")))
}

// pod is the one pod that a name, such as "pod/sleep", or a selector, such as
// "-l app=sleep", finds and that is not on its way out.
func (n *Namespace) pod(selector string) *Pod {
	n.t.Helper()
	pods := n.pods(selector)
	if len(pods) != 1 {
		n.t.Fatalf("%d pods are %s, want 1:\n%s", len(pods), selector, n.run("kubectl get pods -o wide"))
	}
	return pods[0]
}

func (n *Namespace) pods(selector string) (list []*Pod) {
	n.t.Helper()
	// A single name gives an object, a selector a list; this gives lines for both.
	names := n.run("kubectl get " + withKind(selector) + ` -o jsonpath='{range .items[*]}{.metadata.name} {end}{.metadata.name}'`)
	for _, name := range strings.Fields(names) {
		p := &Pod{n: n, name: name, always: server + "/get"}
		if err := json.Unmarshal([]byte(n.run("kubectl get pod "+name+" -o json")), &p.Pod); err != nil {
			n.t.Fatal(err)
		}
		if p.DeletionTimestamp == nil {
			list = append(list, p)
		}
	}
	return list
}

func withKind(selector string) string {
	if strings.HasPrefix(selector, "pod/") {
		return selector
	}
	return "pods " + selector
}

// Pod is a pod as it was when it was asked for.
type Pod struct {
	corev1.Pod
	n      *Namespace
	name   string
	always string // a URL that the pod's sidecar captures

	watched bool // the kernel counts its connections
}

// sidecar reports whether the pod has one.
func (p *Pod) sidecar() bool {
	for _, c := range append(p.Spec.InitContainers, p.Spec.Containers...) {
		if c.Name == "istio-proxy" {
			return true
		}
	}
	return false
}

// status is what the injector wrote down on the pod.
type status struct {
	ConfigHash string
	Effective  map[string]struct{ Value, Source string }
}

func (p *Pod) status() (s status) {
	p.n.t.Helper()
	if err := json.Unmarshal([]byte(p.Annotations["sidecar.istio.io/status"]), &s); err != nil {
		p.n.t.Fatalf("pod %s: annotation sidecar.istio.io/status: %v", p.Name, err)
	}
	return s
}
