package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// kubeInject: the sample by hand in a namespace without the label and in one
// with it, and by the webhook, are the same pod, and all work.
func kubeInject(t *testing.T, s *Suite) {
	const byHand, byLabel = "kubectl apply -f <(outrider kube-inject -f samples/sleep/sleep.yaml)", "kubectl apply -f samples/sleep/sleep.yaml"
	plain, twice, label := s.Namespace(t, "by-hand"), s.Namespace(t, "by-both", injected), s.Namespace(t, "by-label", injected)
	plain.run(byHand)
	twice.run(byHand)
	label.run(byLabel)
	var first string
	for _, n := range []*Namespace{label, plain, twice} {
		n.rolledOut("deployment/sleep")
		p := n.pod("-l app=sleep")
		if got := n.run("kubectl get pod " + p.name + " --no-headers"); !strings.Contains(got, " 2/2 ") {
			t.Errorf("%s: %s", n.name, got)
		}
		p.goes(request{url: "http://httpbin.org/anything", args: "-4", through: "PassthroughCluster", rule: "everything", world: true})
		p.separate(s)
		if first == "" {
			first = decided(t, &p.Pod)
		} else if line := difference(first, decided(t, &p.Pod)); line != "" {
			t.Errorf("the webhook's pod and the one in namespace %s differ: %s", n.name, line)
		}
	}
}

// separate: the sidecar does not have the pod's API token, and the application cannot change
// the sidecar.
func (p *Pod) separate(s *Suite) {
	t := p.n.t
	t.Helper()
	const token = "/var/run/secrets/kubernetes.io/serviceaccount"
	if out := p.n.run("kubectl exec " + p.name + " -c sleep -- ls " + token); !strings.Contains(out, "token") {
		t.Errorf("%s: the application's %s has %q", p.name, token, out)
	}
	for path, want := range map[string]string{
		"/ready": "LIVE\n200", "-X POST /quitquitquit": "403", "-X POST /drain_listeners": "403", "-X POST /logging?level=trace": "403", "-I /server_info": "200",
		"--path-as-is /ready/../quitquitquit": "403", "--unix-socket /var/run/outrider/admin.sock /ready": "connect",
	} {
		at := strings.LastIndexByte(path, ' ') + 1
		out, err := p.curl("-w '%{http_code}' " + path[:at] + " http://localhost:15000" + path[at:])
		if err != nil {
			out += err.Error()
		}
		if !strings.Contains(out, want) {
			t.Errorf("%s: curl %s: %s, want %s", p.name, path, out, want)
		}
	}
	if !s.Own() {
		return
	}
	for dir, want := range map[string]string{
		token + "/token": "", "/var/run/secrets/outrider/token": "./var/run/secrets/outrider/token\n", "/var/run/outrider": "./var/run/outrider/admin.sock\n",
	} {
		if got, err := s.SidecarFiles(string(p.UID), dir); got != want || err != nil && want != "" {
			t.Errorf("%s: %s in the sidecar: %q, %v; want %q", p.name, dir, got, err, want)
		}
	}
}

// difference is the first place where two texts differ, "" where they do not.
func difference(a, b string) string {
	left, right := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(left), len(right)) {
		if left[i] != right[i] {
			return fmt.Sprintf("line %d:\n%s\n%s", i+1, left[i], right[i])
		}
	}
	if len(left) != len(right) {
		return fmt.Sprintf("%d and %d lines", len(left), len(right))
	}
	return ""
}

// decided is what injection decides of a pod, as text. The API server makes
// up the name of the volume with the pod's own token, and adds it before the
// webhook is called and after a file was injected.
func decided(t *testing.T, p *corev1.Pod) string {
	t.Helper()
	labels := map[string]string{}
	for k, v := range p.Labels {
		if k != "pod-template-hash" {
			labels[k] = v
		}
	}
	annotations := map[string]string{}
	for k, v := range p.Annotations {
		if k != "sidecar.istio.io/status" { // has the configuration's hash, which the access log changes
			annotations[k] = v
		}
	}
	spec := p.Spec.DeepCopy()
	slices.SortFunc(spec.Volumes, func(a, b corev1.Volume) int { return strings.Compare(a.Name, b.Name) })
	text, err := json.MarshalIndent(map[string]any{"labels": labels, "annotations": annotations, "spec": spec}, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	out := string(text)
	for _, v := range spec.Volumes {
		if strings.HasPrefix(v.Name, "kube-api-access-") {
			out = strings.ReplaceAll(out, v.Name, "kube-api-access")
		}
	}
	return out
}

// untouched: pods that are to have no sidecar have none, and run.
func untouched(t *testing.T, s *Suite) {
	in, plain := s.Namespace(t, "untouched-in", injected), s.Namespace(t, "untouched-plain")
	system := s.namespace(t, "kube-system")
	t.Cleanup(func() { s.undo(t, "kubectl -n kube-system delete pod asks --ignore-not-found --wait=false") })
	pod := func(n *Namespace, name, labels, spec string) {
		n.apply(fmt.Sprintf(`{apiVersion: v1, kind: Pod, metadata: {name: %s, labels: {%s}}, spec: {%s terminationGracePeriodSeconds: 0,
  containers: [{name: sleep, image: curlimages/curl, imagePullPolicy: IfNotPresent, command: [/bin/sleep, infinity]}]}}`, name, labels, spec))
	}
	pod(system, "asks", `sidecar.istio.io/inject: "true"`, "")
	pod(in, "host", "", "hostNetwork: true,")
	pod(in, "opted-out", `sidecar.istio.io/inject: "false"`, "")
	pod(plain, "plain", "", "")
	pod(plain, "asks", `sidecar.istio.io/inject: "true"`, "")
	for _, c := range []struct {
		n       *Namespace
		pod     string
		sidecar bool
	}{
		{system, "asks", false},
		{in, "host", false},
		{in, "opted-out", false},
		{plain, "plain", false},
		{plain, "asks", true}, // otherwise the others could be untouched because no webhook is called
	} {
		c.n.ready(c.pod)
		if got := c.n.pod("pod/" + c.pod).sidecar(); got != c.sidecar {
			t.Errorf("pod %s in namespace %s has a sidecar: %v, want %v", c.pod, c.n.name, got, c.sidecar)
		}
	}
	for _, p := range system.pods("-l k8s-app=kube-dns") {
		if p.sidecar() {
			t.Errorf("pod %s in kube-system has a sidecar", p.name)
		}
	}
}
