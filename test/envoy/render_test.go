package envoy

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/inject"
)

// secrets is where the sidecar finds what it shows to its control plane.
const secrets = "/var/run/secrets/outrider"

// runDir is where the sidecar has the socket of its administration interface.
const runDir = "/var/run/outrider"

// setup is a pod and the configuration it is injected by.
type setup struct {
	values      string            // ConfigMap istio-sidecar-injector, key "values"
	annotations map[string]string // of the pod
	labels      map[string]string // of the pod
	ip          string            // of the pod
	kubernetes  inject.Version    // the zero value gives a native sidecar
}

// sidecar is the program and its arguments and environment as the kubelet
// starts it: references to variables are expanded.
type sidecar struct {
	command, args, env []string
	uid, gid           uint32
}

func render(t testing.TB, s setup) sidecar {
	t.Helper()
	cfg, problems := config.Parse(config.Texts{Values: s.values}, config.Labels{})
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	injector, problems := inject.Compile(cfg, inject.Environment{Kubernetes: s.kubernetes})
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	pod := corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "app"}}}}
	pod.Name, pod.Namespace, pod.Annotations, pod.Labels = "sleep-7d4b-x2x", "shop", s.annotations, s.labels
	data, err := json.Marshal(pod)
	if err != nil {
		t.Fatal(err)
	}
	result, err := injector.Inject(inject.Request{Pod: data, Namespace: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	var injected corev1.Pod
	if err := json.Unmarshal(result.Tree().AppendTo(nil), &injected); err != nil {
		t.Fatal(err)
	}
	injected.Status.PodIP = s.ip
	for _, c := range append(injected.Spec.InitContainers, injected.Spec.Containers...) {
		if c.Name == "istio-proxy" {
			return start(t, &injected, c)
		}
	}
	t.Fatalf("no container istio-proxy in %s", result.Tree().AppendTo(nil))
	return sidecar{}
}

// start does the kubelet's part: values for the variables, then expansion.
func start(t testing.TB, pod *corev1.Pod, c corev1.Container) sidecar {
	t.Helper()
	fields := map[string]string{
		"metadata.name": pod.Name, "metadata.namespace": pod.Namespace, "status.podIP": pod.Status.PodIP,
		"metadata.labels['app']": pod.Labels["app"],
	}
	vars := map[string]string{}
	s := sidecar{command: c.Command, uid: uint32(*c.SecurityContext.RunAsUser), gid: uint32(*c.SecurityContext.RunAsGroup)}
	for _, e := range c.Env {
		value := expand(e.Value, vars)
		if e.ValueFrom != nil {
			var known bool
			if value, known = fields[e.ValueFrom.FieldRef.FieldPath]; !known {
				t.Fatalf("variable %s: this test lacks the field %s", e.Name, e.ValueFrom.FieldRef.FieldPath)
			}
		}
		vars[e.Name] = value
		s.env = append(s.env, e.Name+"="+value)
	}
	for _, a := range c.Args {
		s.args = append(s.args, expand(a, vars))
	}
	return s
}

var reference = regexp.MustCompile(`\$(\$|\([^)]*\))`)

// expand replaces $(NAME) where NAME is known, and $$ by $, as Kubernetes does
// in commands, arguments and variables.
func expand(text string, vars map[string]string) string {
	return reference.ReplaceAllStringFunc(text, func(ref string) string {
		if ref == "$$" {
			return "$"
		}
		if value, known := vars[ref[2:len(ref)-1]]; known {
			return value
		}
		return ref
	})
}

func TestExpand(t *testing.T) {
	vars := map[string]string{"A": "1", "B": "$(A)", "E": ""}
	for in, want := range map[string]string{
		"x$(A)y": "x1y", "$(B)": "$(A)", "$(E)": "", "$(C)": "$(C)", "$$(A)": "$(A)", "$$$(A)": "$1",
		"$A $ $(": "$A $ $(", "$(A": "$(A",
	} {
		if got := expand(in, vars); got != want {
			t.Errorf("expand(%q) = %q, want %q", in, got, want)
		}
	}
}

// withSecrets puts another directory in the place of secrets.
func (s sidecar) withSecrets(dir string) sidecar {
	args := make([]string, len(s.args))
	for i, a := range s.args {
		args[i] = strings.ReplaceAll(a, secrets, dir)
	}
	s.args = args
	return s
}

// bootstrap is the argument of --config-yaml.
func (s sidecar) bootstrap(t testing.TB) string {
	t.Helper()
	for i, a := range s.args[:len(s.args)-1] {
		if a == "--config-yaml" {
			return s.args[i+1]
		}
	}
	t.Fatalf("no --config-yaml in %q", s.args)
	return ""
}
